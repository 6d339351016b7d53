import type { StackConfig } from "../../plan/config.ts";
import { notBuilt, refuseNotBuilt } from "../../plan/stages.ts";
import type { LastOutputs, Topology } from "../../plan/topology.ts";
import { STAGES, type Stage, type Target } from "../../plan/types.ts";
import { announceRestarts, describeChanges, wantedParameters } from "../announce.ts";
import { announceAws, describeAws } from "../announce-aws.ts";
import { refuseConflicts } from "../conflicts.ts";
import { checkEngine } from "../engine.ts";
import { alone, releaseStaleLock } from "../lock.ts";
import { type MoverStatus, runningOn, untilSettled } from "../mover.ts";
import { operate } from "../operate.ts";
import { planned, readConfig, readLast } from "../planning.ts";
import type { Change } from "../progress.ts";
import { repair } from "../repair.ts";
import type { Report } from "../report.ts";
import { type Opened, type Overrides, openStack, writeConfig } from "../stack.ts";
import type { Routed } from "./doctor.ts";
import { refuseUnready } from "./ready.ts";

export interface UpOptions {
  stack: string;
  /** Written into the stack's file when the look ahead finds nothing wrong with it. */
  stage?: Stage | undefined;
  /** Shows what would happen and ends. */
  preview?: boolean | undefined;
  /** What the doctor is told before a climb onto shards. */
  routed?: Routed;
}

/** `bin/up`: brings the stack to what its configuration says, and waits until it is there. */
export async function up(
  { stack: name, stage, preview = false, routed = { routed: 0, routedRole: [] } }: UpOptions,
  { say, result }: Report,
): Promise<void> {
  const overrides: Overrides = stage === undefined ? {} : { stage: String(stage) };
  await alone(name);
  await checkEngine();
  const opened = await openStack(name, { create: true, overrides });
  const config = await readConfig(opened);
  if (!preview) runningOn(config.target, name);
  await releaseStaleLock(opened, say);
  // On aws a step that was begun may have made something: Pulumi itself asks what became of it.
  if (config.target === "docker") await repair(opened, say);
  const ahead = await lookAhead(opened, say, config);
  const late = await refuseConflicts(opened, ahead.changes);
  if (preview) {
    result(previewLines(ahead), previewValue(ahead));
    return;
  }
  await refuseUnready(config, ahead.last, routed, say);
  if (late) await repair(opened, say);
  writeConfig(name, overrides);
  for (const line of restartLines(ahead)) say(line);
  const { changes, status } = await upAndSettle(opened, ahead, say);
  const { lines, value } = await summary(opened, ahead.topology.target, changes, status);
  result(lines, value);
}

export interface Ahead {
  changes: readonly Change[];
  restarts: readonly string[];
  /** The longest that writes wait, in words; null where the target promises it once for all changes (docs/stages.md). */
  stall: string | null;
  topology: Topology;
  last: LastOutputs | undefined;
  /** Folder of the application's migrations. */
  schema: string;
}

/** What the next `up` does, without doing it. @throws InputError, Failure where it could not. */
export async function lookAhead(opened: Opened, say: (line: string) => void, known?: StackConfig): Promise<Ahead> {
  const config = known ?? (await readConfig(opened));
  refuseNotBuilt(config);
  const last = await readLast(opened);
  const topology = planned(config, last);
  // Memory that cannot hold is refused here, before the program begins to make things.
  wantedParameters(topology);
  say(`stack ${opened.name}, stage ${config.stage} on ${config.target}: looking ahead`);
  const changes = await operate(opened, "preview", { say });
  const ahead = { changes, topology, last, schema: config.schema };
  if (config.target === "aws") return { ...ahead, ...announceAws(changes) };
  return { ...ahead, restarts: announceRestarts(changes, topology, last, await runningParameters(ahead, opened.name)), stall: null };
}

/** What the clusters that are there run with, by cluster. */
async function runningParameters({ topology, last }: Pick<Ahead, "topology" | "last">, stack: string) {
  const found: Record<string, Readonly<Record<string, string>>> = {};
  for (const { name } of last?.clusters ?? []) {
    const nodes = topology.nodes.filter(({ cluster }) => cluster === name).map((node) => node.name);
    const parameters = nodes.length > 0 ? await runningOn(topology.target, stack).parameters(nodes) : undefined;
    if (parameters) found[name] = parameters;
  }
  return found;
}

const restartLines = ({ restarts, stall, last }: Ahead): readonly string[] => {
  if (!last) return [];
  return [...(restarts.length > 0 ? restarts : ["nothing restarts"]), ...(stall === null ? [] : [`expected stall of writes: ${stall}`])];
};

const describe = ({ changes, topology }: Ahead): readonly string[] =>
  topology.target === "aws" ? describeAws(changes) : describeChanges(changes);

export const previewLines = (ahead: Ahead): readonly string[] => [
  ...(ahead.changes.length > 0 ? describe(ahead) : ["nothing to change"]),
  ...restartLines(ahead),
];

/** What `--json` prints of a look ahead. */
export const previewValue = ({ changes, restarts, stall }: Ahead) => ({
  changes: changes.map(({ op, kind, name, differs }) => ({ op, kind, name, differs })),
  restarts,
  stall,
});

/**
 * Runs `up` and waits for the mover. Memory limits that shrink follow one `up` after the settings that need less: then a second
 * `up` follows.
 */
export async function upAndSettle(
  opened: Opened,
  { topology, last, schema }: Pick<Ahead, "topology" | "last" | "schema">,
  say: (line: string) => void,
): Promise<{ changes: readonly Change[]; status: MoverStatus }> {
  const running = runningOn(topology.target, opened.name);
  const first = await operate(opened, "up", { say, schema });
  const status = await untilSettled(running, say);
  if (!shrinks(topology, last)) return { changes: first, status };
  say("lowering memory limits, now that the settings need less");
  const second = await operate(opened, "up", { say, schema });
  return { changes: [...first, ...second], status: await untilSettled(running, say) };
}

/** Whether a database or cache node that was there before gets less memory. */
export function shrinks(
  { nodes, cache }: Pick<Topology, "nodes" | "cache">,
  last: Pick<LastOutputs, "nodes" | "cache"> | undefined,
): boolean {
  const before = new Map([
    ...(last?.nodes ?? []).map(({ name, machine }) => [name, machine.memory] as const),
    ...(last?.cache ?? []).map(({ name, memory }) => [name, memory] as const),
  ]);
  const less = (name: string, memory: number) => (before.get(name) ?? 0) > memory;
  return nodes.some(({ name, machine }) => less(name, machine.memory)) || cache.some(({ name, memory }) => less(name, memory));
}

async function summary({ name, stack }: Opened, target: Target, changes: readonly Change[], status: MoverStatus) {
  const outputs = await stack.outputs();
  const text = (key: string) => String(outputs[key]?.value ?? "");
  const own = name === "dev" ? "" : ` --stack ${name}`;
  const value = {
    stack: name,
    stage: status.stage,
    phase: status.phase,
    held: status.held,
    changes: changes.length,
    writeUrl: text("writeUrl"),
    readUrl: text("readUrl"),
    cacheUrl: text("cacheUrl"),
  };
  const next = (status.stage + 1) as Stage;
  const lines = [
    `${changes.length === 0 ? "nothing to change: " : ""}stack ${name} is at stage ${status.stage} and settled`,
    "",
    `write  ${value.writeUrl}`,
    `read   ${value.readUrl}`,
    ...(value.cacheUrl === "" ? [] : [`cache  ${value.cacheUrl}`]),
    "",
    `psql         bin/ladder${own} psql`,
    ...(status.held.length > 0 ? [`finish       bin/ladder${own} finish    lets go of what is held: ${status.held.join(", ")}`] : []),
    ...(STAGES.includes(next) && !notBuilt(target, next) ? [`next stage   bin/up${own} --stage ${next}`] : []),
    `what it is   bin/ladder${own} status`,
  ];
  return { lines, value };
}
