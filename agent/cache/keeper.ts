import { createHash } from "node:crypto";
import { type Context, readContext } from "../connections.ts";
import type { SideWork } from "../move/side.ts";
import { observeCache } from "./observe.ts";
import { type CacheStep, describeCacheStep, nextCacheStep, type SeenCache } from "./plan.ts";
import { endSessions, performCacheStep } from "./steps.ts";

const PAUSE_BETWEEN_LOOKS = 1_000;
/** While a node does not answer: it is the time until its replica takes over. */
const SHORT_PAUSE = 300;

/**
 * Keeps the cache one primary with replicas, in a loop of its own: its fail-over must not wait for what the database's cluster is doing.
 * For the mover it is work beside the cluster's, so that `settled` means the cache too.
 */
export class CacheKeeper implements SideWork {
  #missed: SeenCache["missed"] = {};
  /** What each node was given, in which of its runs: users are not in a node's own memory after a restart. */
  readonly #users = new Map<string, string>();
  /** Nodes that led when they were seen last: who is still connected to one that no longer does has to come again. */
  readonly #led = new Set<string>();
  /** What was done and not yet told to the mover. */
  #done: string[] = [];
  #looked: { desired: string; moving: string | undefined } | undefined;

  /** Looks at the cache for ever and does the next step. Ends at SIGTERM between two looks. */
  async run(files: string, stop: AbortSignal, log: (line: string) => void): Promise<void> {
    let waitsFor = "";
    while (!stop.aborted) {
      try {
        const context = readContext(files, log);
        const moving = await this.#look(context);
        this.#looked = { desired: fingerprint(context), moving };
        waitsFor = "";
      } catch (error) {
        const reason = (error as Error).message;
        if (reason !== waitsFor) log(`the cache will be looked at again: ${reason}`);
        waitsFor = reason;
      }
      const pause = Object.keys(this.#missed).length > 0 ? SHORT_PAUSE : PAUSE_BETWEEN_LOOKS;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async advance(context: Context, done: (what: string) => void): Promise<string | undefined> {
    for (const what of this.#done.splice(0)) done(what);
    if (!context.desired.cache) return undefined;
    return this.#looked?.desired === fingerprint(context) ? this.#looked.moving : "the cache has not been looked at yet";
  }

  async #look(context: Context): Promise<string | undefined> {
    const { desired } = context;
    if (!desired.cache) return undefined;
    const users = fingerprint(context);
    const runs = new Map<string, string>();
    const seen = await observeCache(context, this.#missed, (name, run) => {
      runs.set(name, `${run} ${users}`);
      return this.#users.get(name) === runs.get(name);
    });
    this.#missed = seen.missed;
    for (const { name, role } of seen.nodes) {
      if (role === "replica" && this.#led.has(name)) await endSessions(context, name);
      if (role === "primary") this.#led.add(name);
      else this.#led.delete(name);
    }
    const step = nextCacheStep(desired.cache, seen);
    if (!step) return undefined;
    await performCacheStep(context, step);
    if (step.kind === "settings") this.#users.set(step.node, runs.get(step.node)!);
    if (step.kind !== "wait") this.#tell(context, step);
    return describeCacheStep(step);
  }

  #tell({ log }: Context, step: CacheStep): void {
    const what = describeCacheStep(step);
    log(what);
    this.#done = [...this.#done, what].slice(-50);
  }
}

/** Changes with what the cache shall be and with the passwords of its users. */
const fingerprint = ({ desired: { cache }, passwords }: Context): string =>
  createHash("sha256")
    .update(JSON.stringify([cache, cache?.users.map(({ role }) => passwords[role])]))
    .digest("hex");

/** The keeper of this agent: its loop runs beside the mover. */
export const cacheKeeper = new CacheKeeper();
