import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type pg from "pg";
import { withGeneration } from "../configure.ts";
import { AGENT_LOCK, type Context, connectPrimary, readContext, shardContexts } from "../connections.ts";
import { StillBusy } from "../logins.ts";
import { Patroni } from "../patroni.ts";
import { observe } from "./observe.ts";
import { describeStep, nextStep, type Step } from "./plan.ts";
import { entryWork, type SideWork, shardWork } from "./side.ts";
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

/** Steps that hold up clients: not while another command of the agent is at work. */
const ALONE: readonly Step["kind"][] = ["switchover", "restart-replica", "restart-primary"];
const PAUSE_BETWEEN_LOOKS = 2_000;
const STALE_AFTER = 60_000;

/** What the mover remembers of one cluster between two looks. */
interface Memory {
  generation: string;
  restarted: Set<string>;
  pausedFor: number;
  work: readonly SideWork[];
}

/** Looks at the clusters for ever and does the next step of each towards what is desired. Ends at SIGTERM between two steps. */
export async function runMover(files: string, statusFile: string, stop: AbortSignal, log: (line: string) => void): Promise<void> {
  const mover = new Mover();
  while (!stop.aborted) {
    try {
      writeStatus(statusFile, await mover.look(readContext(files, log)));
    } catch (error) {
      log(`will look again: ${(error as Error).message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_BETWEEN_LOOKS));
  }
}

class Mover {
  readonly #memories = new Map<string, Memory>();
  #done: string[] = [];

  /** Looks at every cluster, one after another: they share the pooler, and one of them pauses at a time. */
  async look(context: Context): Promise<Status> {
    const { desired } = context;
    const moving: string[] = [];
    const first = await this.#advance(context, entryWork);
    if (first !== null) moving.push(first);
    for (const { shard, context: its } of shardContexts(context)) {
      const under = await this.#advance(its, shardWork).catch((error: Error) => {
        its.log(`will look again: ${error.message}`);
        return `will look again: ${error.message}`;
      });
      if (under !== null) moving.push(`${shard.name}: ${under}`);
    }
    return {
      stage: desired.stage,
      phase: moving.length === 0 ? "settled" : "moving",
      moving: moving.join("; ") || null,
      held: desired.held,
      desired: desiredHash(context.files),
      done: this.#done,
    };
  }

  /** Does the next step of one cluster; answers what is under way on it, null when nothing is. */
  async #advance(context: Context, work: () => readonly SideWork[]): Promise<string | null> {
    const { name, nodes, dynamic } = context.desired.cluster;
    const { generation } = withGeneration(dynamic);
    const memory = this.#memories.get(name) ?? { generation, restarted: new Set(), pausedFor: 0, work: work() };
    this.#memories.set(name, memory);
    if (memory.generation !== generation) Object.assign(memory, { generation, restarted: new Set<string>() });
    const patroni = new Patroni(nodes, context.files);
    const seen = await observe(context, patroni, memory);
    memory.pausedFor = seen.pausedFor;
    const step = nextStep(context.desired.cluster, generation, seen, memory.restarted);
    return step ? this.#take(context, patroni, step, memory) : this.#besides(context, memory);
  }

  /** What the first unfinished work beside the cluster shows; null when all is done. */
  async #besides(context: Context, memory: Memory): Promise<string | null> {
    const done = (what: string) => {
      context.log(what);
      this.#remember(context, what);
    };
    for (const work of memory.work) {
      const moving = await work.advance(context, done);
      if (moving !== undefined) return moving;
    }
    return null;
  }

  /** Does the step, alone; answers what to show. */
  async #take(context: Context, patroni: Patroni, step: Step, memory: Memory): Promise<string> {
    if (step.kind === "wait") return step.reason;
    context.log(describeStep(step));
    try {
      const alone = ALONE.includes(step.kind) ? await lock(context) : undefined;
      if (alone === null) return `${describeStep(step)}: waits for another command of the agent`;
      const result = await perform(context, patroni, step).finally(() => alone?.end().catch(() => undefined));
      if (step.kind === "restart-replica") memory.restarted.add(step.node);
      if (step.kind === "restart-primary") memory.restarted.clear();
      context.log(result);
      this.#remember(context, result);
      return result;
    } catch (error) {
      if (!(error instanceof StillBusy)) throw error;
      const leader = await patroni.leader();
      const who = leader ? await longestTransaction(context, leader) : "unknown";
      context.log(`put off, ${error.message}: ${who}`);
      return `${describeStep(step)}: waits for ${who}`;
    }
  }

  #remember({ entry, desired }: Context, what: string): void {
    this.#done = [...this.#done, entry ? `${desired.cluster.name}: ${what}` : what].slice(-50);
  }
}

/** The agent's lock, or null when another command holds it. */
async function lock(context: Context): Promise<pg.Client | null> {
  const client = await connectPrimary(context.entry ?? context, "postgres");
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
