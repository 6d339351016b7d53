/** Tables that hold data become partitioned, or whole again, while they are in use. See docs/guide/conversion.md. */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type pg from "pg";
import type { Partition, TableConfig } from "../../plan/config/tables.ts";
import { type Ms, ms } from "../../plan/types.ts";
import { connectPrimary, withClient } from "../connections.ts";
import type { SideWork } from "../move/side.ts";
import { dropCopy } from "./build.ts";
import { findTable } from "./catalog.ts";
import { describeProgress, nameOf } from "./progress.ts";
import { inTransaction, isBusy, isLost, prepareSession, replicaDelay } from "./session.ts";
import { STEPS, sourceOf } from "./steps.ts";
import { beginConversion, type Conversion, type Direction, lastRuns, remember, UNDER_WAY } from "./store.ts";

export interface ConvertOptions {
  /** To the primary, the application's database, as the platform's administrator. */
  connect: () => Promise<pg.Client>;
  tables: Readonly<Record<string, TableConfig>>;
  /** The stage partitions the tables that are declared so. */
  partitions: boolean;
  log: (line: string) => void;
  done: (what: string) => void;
  /** Work is broken off after about this time. @default 2000 ms */
  slice?: Ms;
  /** The stage has shards: what is swapped now is finished at once. What was swapped before waits for the operator. @default false */
  onward?: boolean;
  /** Seconds after which a table that could not be converted is checked again. @default 60 */
  recheck?: number;
}

interface Wish {
  oid: number;
  schema: string;
  table: string;
  direction: Direction;
  declaration: Partition | null;
}

/** A replica that is further behind than this, in seconds, holds up the copy. */
const MOST_DELAY = 5;
const BUSY_TRIES = 5;

/**
 * Does the next bounded piece of work on the first table that needs some, and says what is under way; undefined when there is nothing to do.
 * Another process can go on where this one was killed. One table at a time; tables that cannot be converted hold up no other.
 */
export async function advanceConversions(options: ConvertOptions): Promise<string | undefined> {
  const client = await options.connect();
  try {
    if (!(await prepareSession(client))) return "tables: another process is converting";
    return await advance(client, options);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function advance(client: pg.Client, options: ConvertOptions): Promise<string | undefined> {
  const runs = await lastRuns(client);
  const wishes = await readWishes(client, options);
  for (const run of runs) {
    const gone = await withdraw(client, run, wishes, options);
    if (gone !== undefined) return gone;
  }
  for (const run of runs) {
    const left = await tidy(client, run, options);
    if (left !== undefined) return left;
  }
  for (const wish of wishes) {
    const last = runs.find(({ schema, table }) => schema === wish.schema && table === wish.table);
    const run = await current(client, wish, last);
    const moving = run && (await work(client, run, options));
    if (moving !== undefined) return moving;
  }
  return undefined;
}

/** Declared tables that are not as declared. Without partitions at this stage, partitioned tables stay as they are. */
async function readWishes(client: pg.Client, { tables, partitions }: ConvertOptions): Promise<Wish[]> {
  const wishes: Wish[] = [];
  for (const [name, { partition, plain }] of Object.entries(tables)) {
    if (!plain && !(partition && partitions)) continue;
    const found = await findTable(client, name);
    if (found && (plain ? found.kind === "p" : found.kind === "r"))
      wishes.push({ ...found, direction: plain ? "plain" : "partition", declaration: plain ? null : partition });
  }
  return wishes;
}

const isFor = (run: Conversion, wish: Wish): boolean =>
  run.schema === wish.schema &&
  run.table === wish.table &&
  run.direction === wish.direction &&
  isDeepStrictEqual(run.declaration, wish.declaration);

/** Ends a conversion that has not swapped and that nobody wants any more; one that has swapped goes back when the opposite is declared. */
async function withdraw(
  client: pg.Client,
  run: Conversion,
  wishes: readonly Wish[],
  { done, log }: ConvertOptions,
): Promise<string | undefined> {
  if (UNDER_WAY.includes(run.state) && !wishes.some((wish) => isFor(run, wish))) {
    await remember(client, run, { state: "undone", error: "no longer declared", detail: { again: true } });
    log(`${nameOf(run)}: conversion given up: no longer declared`);
  }
  const opposite = wishes.find((wish) => wish.schema === run.schema && wish.table === run.table && wish.direction !== run.direction);
  if (run.state !== "kept" || !opposite) return undefined;
  try {
    await client.query("select ladder.undo_conversion($1::oid::regclass)", [run.target]);
  } catch (error) {
    if (isLost(error)) throw error;
    return `${nameOf(run)}: going back, ${(error as Error).message}`;
  }
  done(`${nameOf(run)}: as it was before, the old table has taken its place again`);
  return `${nameOf(run)}: gone back, the rest follows`;
}

/** Validates foreign keys that a swap has made again: one that cannot be had now is tried again with the next look. */
async function validate(client: pg.Client, run: Conversion, log: (line: string) => void): Promise<string | undefined> {
  const waiting = run.detail.unvalidated ?? [];
  for (const [at, { table, name }] of waiting.entries()) {
    try {
      await client.query("select ladder.validate_reference($1::oid, $2)", [table, name]);
    } catch (error) {
      if (isLost(error)) throw error;
      if (isBusy(error)) return `${nameOf(run)}: validating foreign key ${name}, waits for a lock`;
      log(`${nameOf(run)}: foreign key ${name} is not valid for all rows: ${(error as Error).message}`);
    }
    await remember(client, run, { detail: { unvalidated: waiting.slice(at + 1) } });
  }
  return undefined;
}

/** Drops the copy of what was given up; tells the upkeep of partitions about a table that is there now. */
async function tidy(client: pg.Client, run: Conversion, { connect, log, done, recheck = 60 }: ConvertOptions): Promise<string | undefined> {
  if ((run.state === "failed" || run.state === "undone") && run.target !== null) {
    try {
      await inTransaction(client, () => dropCopy(client, run.id, run.source, run.target));
      run.target = null;
    } catch (error) {
      if (!isBusy(error)) throw error;
      return `${nameOf(run)}: removing the copy, waits for a lock`;
    }
  }
  const waits = await validate(client, run, log);
  if (waits !== undefined) return waits;
  const isNew = (run.state === "kept" || run.state === "done") && run.direction === "partition" && !run.detail.adopted;
  if (isNew && (run.error === null || run.idle > recheck)) {
    try {
      // A connection of its own: event triggers do not fire in one that replicates.
      await withClient(connect(), (other) =>
        other.query(
          "select ladder.adopt_partitions(to_regclass(relation)) from ladder.declared_table where to_regclass(relation) = $1::oid and kind is not null",
          [run.target],
        ),
      );
      await remember(client, run, { error: null, detail: { adopted: true } });
    } catch (error) {
      if (isLost(error)) throw error;
      log(`${nameOf(run)}: not yet in the upkeep of partitions: ${(error as Error).message}`);
      await remember(client, run, { error: (error as Error).message });
    }
  }
  return run.state === "kept" && run.detail.onward ? letGo(run, connect, done) : undefined;
}

/** Drops the old table, which can wait as long as it is in use. */
async function letGo(run: Conversion, connect: ConvertOptions["connect"], done: ConvertOptions["done"]): Promise<string | undefined> {
  try {
    const { rows } = await withClient(connect(), (other) =>
      other.query<{ line: string }>("select ladder.finish_conversion($1::oid::regclass) as line", [run.target]),
    );
    done(rows[0]!.line);
    run.state = "done";
    return undefined;
  } catch (error) {
    if (isLost(error)) throw error;
    return `${nameOf(run)}: dropping the old table, ${(error as Error).message}`;
  }
}

/** The run that the wish is worked on with; undefined when it is held back. */
async function current(client: pg.Client, wish: Wish, last: Conversion | undefined): Promise<Conversion | undefined> {
  if (last && UNDER_WAY.includes(last.state)) return last.paused ? undefined : last;
  const ended = last?.state === "failed" || last?.state === "undone";
  if (last && ended && isFor(last, wish) && !last.detail.again) return undefined;
  if (last?.state === "kept") return undefined;
  return beginConversion(client, { ...wish, source: wish.oid });
}

async function work(client: pg.Client, run: Conversion, options: ConvertOptions): Promise<string | undefined> {
  const { log, done, slice = ms(2_000), recheck = 60 } = options;
  if (run.state === "blocked") {
    if (run.idle < recheck) return undefined;
    run.state = "checking";
  }
  const table = await sourceOf(client, run);
  if (!table) return giveUp(client, run, "the table is gone", log);
  const delay = await replicaDelay(client);
  if (delay > MOST_DELAY) return `${describeProgress(run)}, waits for a replica that is ${Math.round(delay)} s behind`;
  const end = performance.now() + slice;
  const begun = { at: performance.now(), state: run.state, rows: run.rowsDone, idle: Math.min(run.idle, 10) };
  for (let busy = 0; ; ) {
    const step = STEPS[run.state];
    if (!step) break;
    try {
      const outcome = await step({ client, run, table, log, done });
      if (outcome === "rest") break;
      if (outcome !== "again") return `${describeProgress(run)}, waits for ${outcome.waits}`;
      busy = 0;
    } catch (error) {
      if (isLost(error)) throw error;
      if (!isBusy(error)) return giveUp(client, run, (error as Error).message, log);
      busy += 1;
      if (busy >= BUSY_TRIES) return `${describeProgress(run)}, waits for a lock`;
      await sleep(50 * busy);
    }
    if (performance.now() >= end) break;
  }
  const state: string = run.state;
  if (state === "failed") log(`${nameOf(run)}: conversion failed, the table is as it was: ${run.error}`);
  if (state === "undone") return `${nameOf(run)}: begins again`;
  if (state === "kept" && options.onward) await remember(client, run, { detail: { onward: true } });
  if (state === "kept") return `${nameOf(run)}: swapped, the rest follows`;
  if (state === "blocked" || !UNDER_WAY.includes(state)) return undefined;
  if (run.state === begun.state && run.rowsDone > begun.rows) {
    const rate = (run.rowsDone - begun.rows) / (begun.idle + (performance.now() - begun.at) / 1_000);
    await remember(client, run, { rate });
  }
  return describeProgress(run);
}

async function giveUp(client: pg.Client, run: Conversion, error: string, log: (line: string) => void): Promise<undefined> {
  await remember(client, run, { state: "failed", error });
  log(`${nameOf(run)}: conversion failed, the table is as it was: ${error}`);
  return undefined;
}

/** The mover's work on declared tables. */
export const conversions: SideWork = {
  advance: ({ desired, ...context }, done) =>
    advanceConversions({
      ...{ tables: desired.tables, partitions: desired.partitions, log: context.log, done },
      onward: desired.shards.some((shard) => shard.class !== null),
      connect: () => connectPrimary({ desired, ...context }, desired.database),
    }),
};
