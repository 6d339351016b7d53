import type { DesiredCache } from "../../plan/desired.ts";
import { CACHE_ADDRESS } from "../../plan/render/valkey.ts";

/** Looks that a primary may miss before its replica takes over. */
const MISSED = 3;

/** What one node says about itself and the others. */
export interface SeenNode {
  name: string;
  /** Its name in the cluster, made by Valkey. */
  id: string;
  role: "primary" | "replica";
  /** Id of the primary that a replica copies from. */
  follows: string | undefined;
  /** Key slots that it holds; the cluster has 16,384. */
  slots: number;
  /** A replica that has copied everything and goes on copying. */
  linked: boolean;
  /** How far it has copied. */
  offset: number;
  /** Ids of the others that it knows and reaches. */
  reaches: readonly string[];
  /** Ids of all others in its table. */
  lists: readonly string[];
  /** The address that it gives to clients. */
  announced: string;
  /** Most that its data may take, in KiB. */
  memory: number;
  /** The users are as desired. */
  users: boolean;
}

export interface SeenCache {
  /** Nodes that answer. */
  nodes: readonly SeenNode[];
  /** For how many looks in a row the others have not, by name. */
  missed: Readonly<Record<string, number>>;
  /** The door leads to a primary. */
  door: boolean;
}

export type CacheStep =
  | { kind: "wait"; reason: string }
  | { kind: "settings"; node: string }
  | { kind: "announce"; node: string }
  | { kind: "meet"; from: string; to: string }
  | { kind: "assign"; node: string }
  | { kind: "follow"; node: string; primary: string; primaryId: string }
  | { kind: "take-over"; node: string; from: readonly string[] }
  | { kind: "hand-over"; node: string; from: string }
  | { kind: "forget"; id: string; nodes: readonly string[] };

/**
 * The next thing to do so that the cache becomes one primary that holds all slots and replicas that copy from it; undefined when it is.
 * Looks only at what is there, so a run that was killed goes on where the cache stands.
 */
export function nextCacheStep(desired: DesiredCache, { nodes, missed, door }: SeenCache): CacheStep | undefined {
  const unset = nodes.find(({ name, memory, users }) => !users || memory !== desired.nodes.find((node) => node.name === name)?.memory);
  if (unset) return { kind: "settings", node: unset.name };
  const unknown = nodes.find(({ announced }) => announced !== CACHE_ADDRESS);
  if (unknown) return { kind: "announce", node: unknown.name };
  const silent = desired.nodes.map(({ name }) => name).filter((name) => !nodes.some((node) => node.name === name));
  const [primary] = nodes.filter(({ role, slots }) => role === "primary" && slots > 0).sort((a, b) => b.slots - a.slots);
  return (
    (primary ? aroundPrimary(desired, primary, nodes) : withoutPrimary(desired, nodes, silent, missed)) ??
    silent.map((name): CacheStep => ({ kind: "wait", reason: `${name} does not answer` }))[0] ??
    forgotten(nodes) ??
    (door ? undefined : { kind: "wait", reason: "the cache's door does not lead to its primary yet" })
  );
}

function withoutPrimary(
  { wanted, nodes: desired }: DesiredCache,
  nodes: readonly SeenNode[],
  silent: readonly string[],
  missed: SeenCache["missed"],
): CacheStep | undefined {
  const replicas = nodes.filter(({ role }) => role === "replica").sort((a, b) => b.offset - a.offset);
  const [best] = replicas;
  if (best) {
    if (replicas.some(({ linked }) => linked)) return { kind: "wait", reason: "the cache's primary answers its replica only" };
    const waiting = silent.find((name) => (missed[name] ?? 0) < MISSED);
    return waiting ? { kind: "wait", reason: `${waiting} does not answer` } : { kind: "take-over", node: best.name, from: silent };
  }
  // Who was primary may be among the silent ones; only when all are there nobody ever was.
  if (silent.length > 0) return undefined;
  return { kind: "assign", node: wanted[0] ?? desired[0]!.name };
}

function aroundPrimary({ wanted }: DesiredCache, primary: SeenNode, nodes: readonly SeenNode[]): CacheStep | undefined {
  const others = nodes.filter((node) => node !== primary);
  const stranger = others.find((node) => !primary.reaches.includes(node.id) || !node.reaches.includes(primary.id));
  if (stranger) return { kind: "meet", from: stranger.name, to: primary.name };
  const astray = others.find((node) => (node.role === "replica" ? node.follows !== primary.id : node.slots === 0));
  if (astray) return { kind: "follow", node: astray.name, primary: primary.name, primaryId: primary.id };
  const second = others.find(({ role }) => role === "primary");
  if (second) return { kind: "wait", reason: `${primary.name} and ${second.name} settle who is primary` };
  const copying = others.find(({ linked }) => !linked);
  if (copying) return { kind: "wait", reason: `${copying.name} copies from ${primary.name}` };
  const heir = wanted.includes(primary.name) ? undefined : others.find(({ name }) => wanted.includes(name));
  return heir && { kind: "hand-over", node: heir.name, from: primary.name };
}

/** A node that was let go, or that came back with another id, stays in the others' tables until they are told. */
function forgotten(nodes: readonly SeenNode[]): CacheStep | undefined {
  const id = nodes.flatMap(({ lists }) => lists).find((listed) => !nodes.some((node) => node.id === listed));
  return id === undefined
    ? undefined
    : { kind: "forget", id, nodes: nodes.filter(({ lists }) => lists.includes(id)).map(({ name }) => name) };
}

/** One line for people: what a step does. */
export function describeCacheStep(step: CacheStep): string {
  switch (step.kind) {
    case "wait":
      return step.reason;
    case "settings":
      return `${step.node}: memory limit and users set`;
    case "announce":
      return `${step.node}: tells clients ${CACHE_ADDRESS} again`;
    case "meet":
      return `${step.from} and ${step.to} made acquainted`;
    case "assign":
      return `${step.node} holds the whole cache`;
    case "follow":
      return `${step.node} copies from ${step.primary}`;
    case "take-over":
      return `${step.node} is the cache's primary${step.from.length > 0 ? ` instead of ${step.from.join(", ")}` : ""}`;
    case "hand-over":
      return `${step.from} handed the cache over to ${step.node}`;
    case "forget":
      return `a cache node that is gone was struck off`;
  }
}
