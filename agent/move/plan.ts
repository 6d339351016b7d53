import type { DesiredCluster } from "../../plan/desired.ts";

/** A pause that is there for this many looks was left behind by a run that died. */
const LEFT_BEHIND = 3;

/** What one look at the cluster showed. */
export interface Observed {
  /** Databases that the pooler holds paused. */
  paused: readonly string[];
  /** For how many looks in a row they have been paused. */
  pausedFor: number;
  nodes: readonly ObservedNode[];
  /** Replicas that may get reads. */
  readers: readonly string[];
}

export interface ObservedNode {
  name: string;
  role: "leader" | "replica";
  /** Commits wait for it. */
  synchronous: boolean;
  /** A leader that runs, or a replica that streams. */
  healthy: boolean;
  /** Generation of the configuration that this node runs with. */
  generation: string | undefined;
  /** A changed parameter waits for a restart of PostgreSQL. */
  pendingRestart: boolean;
  /** Subscriptions' slots from the time when this replica led: while they are there it cannot copy those of the primary. */
  staleSlots: readonly string[];
}

export type Step =
  | { kind: "resume"; databases: readonly string[] }
  | { kind: "wait"; reason: string }
  | { kind: "switchover"; from: string; to: string }
  | { kind: "drop-slots"; node: string; slots: readonly string[] }
  | { kind: "restart-replica"; node: string }
  | { kind: "restart-primary"; node: string }
  | { kind: "spread-reads"; readers: readonly string[] };

/**
 * The next thing to do so that the cluster becomes what is desired, or nothing when it is.
 * Looks only at what is there, so a run that was killed goes on where the cluster stands.
 *
 * @param generation the configuration that every node shall run with
 * @param restarted replicas already restarted for this generation: a lowered limit stays pending on them until the primary restarted
 */
export function nextStep(desired: DesiredCluster, generation: string, seen: Observed, restarted: ReadonlySet<string>): Step | undefined {
  const leader = seen.nodes.find((node) => node.role === "leader" && node.healthy);
  if (!leader) return { kind: "wait", reason: "no primary yet" };
  if (seen.paused.length > 0)
    return seen.pausedFor < LEFT_BEHIND
      ? { kind: "wait", reason: `${seen.paused.join(", ")} paused` }
      : { kind: "resume", databases: seen.paused };
  const waiting = desired.nodes.find((name) => !seen.nodes.some((node) => node.name === name && node.healthy));
  if (waiting) return { kind: "wait", reason: `${waiting} is not streaming yet` };
  const behind = seen.nodes.find((node) => node.generation !== generation);
  if (behind) return { kind: "wait", reason: `${behind.name} has not read the new configuration yet` };
  const replicas = seen.nodes.filter((node) => node !== leader);
  // While Patroni chooses a synchronous standby it would let a restart or a switchover wait.
  if (desired.dynamic.synchronous_mode && replicas.length > 0 && !replicas.some((node) => node.synchronous))
    return { kind: "wait", reason: "no synchronous standby yet" };
  if (!desired.wanted.includes(leader.name)) {
    const to = desired.wanted.find((name) => name !== leader.name);
    if (to) return { kind: "switchover", from: leader.name, to };
  }
  const holding = replicas.find((node) => node.staleSlots.length > 0);
  if (holding) return { kind: "drop-slots", node: holding.name, slots: holding.staleSlots };
  const outdated = replicas.find((node) => node.pendingRestart && !restarted.has(node.name));
  if (outdated) return { kind: "restart-replica", node: outdated.name };
  const readers = replicas
    .filter((node) => node.healthy)
    .map((node) => node.name)
    .sort();
  if (readers.join() !== [...seen.readers].sort().join()) return { kind: "spread-reads", readers };
  // Last: while it restarts, the replicas answer reads.
  if (leader.pendingRestart) return { kind: "restart-primary", node: leader.name };
  return undefined;
}

/** One line for people: what a step does. */
export function describeStep(step: Step): string {
  switch (step.kind) {
    case "resume":
      return `resuming ${step.databases.join(", ")}, left paused by a run that was stopped`;
    case "wait":
      return step.reason;
    case "switchover":
      return `handing the lead from ${step.from} to ${step.to}`;
    case "drop-slots":
      return `dropping ${step.slots.join(", ")} on the replica ${step.node}, left from when it led`;
    case "restart-replica":
      return `restarting PostgreSQL on the replica ${step.node} for changed parameters`;
    case "restart-primary":
      return `restarting PostgreSQL on the primary ${step.node} for changed parameters`;
    case "spread-reads":
      return step.readers.length > 0 ? `sending reads to ${step.readers.join(", ")}` : "sending reads to the primary";
  }
}
