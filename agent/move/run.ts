import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type pg from "pg";
import { withGeneration } from "../configure.ts";
import { AGENT_LOCK, type Context, connectPrimary, readContext } from "../connections.ts";
import { Patroni } from "../patroni.ts";
import { StillBusy } from "../pooler.ts";
import { observe } from "./observe.ts";
import { describeStep, nextStep, type Step } from "./plan.ts";
import { SIDE_WORK } from "./side.ts";
import { longestTransaction, perform } from "./steps.ts";

/** What `ladder status` shows; written by the mover after every look at the cluster. */
export interface Status {
  stage: number;
  phase: "moving" | "settled";
  /** What is under way or waited for. */
  moving: string | null;
  held: readonly string[];
  /** Hash of the desired state that this status is about. */
  desired: string;
  /** Steps done since the mover started, newest last. */
  done: readonly string[];
}

const PAUSE_BETWEEN_LOOKS = 2_000;
const STALE_AFTER = 60_000;

interface Memory {
  generation: string;
  restarted: Set<string>;
  pausedFor: number;
  done: string[];
}

/** Looks at the cluster for ever and does the next step towards what is desired. Ends at SIGTERM between two steps. */
export async function runMover(files: string, statusFile: string, stop: AbortSignal, log: (line: string) => void): Promise<void> {
  const memory: Memory = { generation: "", restarted: new Set(), pausedFor: 0, done: [] };
  while (!stop.aborted) {
    try {
      const context = readContext(files, log);
      writeStatus(statusFile, await look(context, memory));
    } catch (error) {
      log(`will look again: ${(error as Error).message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_BETWEEN_LOOKS));
  }
}

async function look(context: Context, memory: Memory): Promise<Status> {
  const { desired } = context;
  const patroni = new Patroni(desired.cluster.nodes, context.files);
  const { generation } = withGeneration(desired.cluster.dynamic);
  if (memory.generation !== generation) Object.assign(memory, { generation, restarted: new Set<string>() });
  const seen = await observe(context, patroni, memory);
  memory.pausedFor = seen.pausedFor;
  const step = nextStep(desired.cluster, generation, seen, memory.restarted);
  const moving = step ? await advance(context, patroni, step, memory) : await besides(context, memory);
  const base = { stage: desired.stage, held: desired.held, desired: desiredHash(context.files), done: memory.done };
  return { ...base, phase: moving === null ? "settled" : "moving", moving };
}

/** What the first unfinished work beside the cluster shows; null when all is done. */
async function besides(context: Context, memory: Memory): Promise<string | null> {
  const done = (what: string) => {
    context.log(what);
    memory.done = [...memory.done, what].slice(-50);
  };
  for (const work of SIDE_WORK) {
    const moving = await work.advance(context, done);
    if (moving !== undefined) return moving;
  }
  return null;
}

/** Does the step, alone; answers what to show. */
async function advance(context: Context, patroni: Patroni, step: Step, memory: Memory): Promise<string> {
  if (step.kind === "wait") return step.reason;
  context.log(describeStep(step));
  try {
    const alone = step.kind === "resume" || step.kind === "spread-reads" ? undefined : await lock(context);
    if (alone === null) return `${describeStep(step)}: waits for another command of the agent`;
    const result = await perform(context, patroni, step).finally(() => alone?.end().catch(() => undefined));
    if (step.kind === "restart-replica") memory.restarted.add(step.node);
    if (step.kind === "restart-primary") memory.restarted.clear();
    context.log(result);
    memory.done = [...memory.done, result].slice(-50);
    return result;
  } catch (error) {
    if (!(error instanceof StillBusy)) throw error;
    const leader = await patroni.leader();
    const who = leader ? await longestTransaction(context, leader) : "unknown";
    context.log(`put off, ${error.message}: ${who}`);
    return `${describeStep(step)}: waits for ${who}`;
  }
}

/** The agent's lock on the primary, or null when another command holds it. */
async function lock(context: Context): Promise<pg.Client | null> {
  const client = await connectPrimary(context, "postgres");
  const { rows } = await client.query<{ held: boolean }>("select pg_try_advisory_lock($1) as held", [AGENT_LOCK]);
  if (rows[0]?.held) return client;
  await client.end();
  return null;
}

function desiredHash(files: string): string {
  return createHash("sha256")
    .update(readFileSync(`${files}/desired.json`))
    .digest("hex");
}

function writeStatus(file: string, status: Status): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, JSON.stringify(status));
  renameSync(`${file}.new`, file);
}

/**
 * The mover's last word, or "moving" while it has not yet looked at what is desired now.
 *
 * @throws when the mover has not written for a minute.
 */
export function readStatus(files: string, statusFile: string): Status {
  const { stage, held } = readContext(files, () => undefined).desired;
  const desired = desiredHash(files);
  const fresh: Status = { stage, phase: "moving", moving: "the mover has not looked yet", held, desired, done: [] };
  const written = statSync(statusFile, { throwIfNoEntry: false });
  if (!written) return fresh;
  const status = JSON.parse(readFileSync(statusFile, "utf8")) as Status;
  if (status.desired !== desired) return fresh;
  const age = Date.now() - written.mtimeMs;
  if (age > STALE_AFTER) throw new Error(`the mover wrote its last status ${Math.round(age / 1000)} s ago: look at the agent's log`);
  return status;
}
