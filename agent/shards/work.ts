/** What every step of a move is given, and what it answers. */
import type pg from "pg";
import type { Ms } from "../../plan/types.ts";
import { onServer } from "./session.ts";
import { qualified } from "./sql.ts";
import type { Run, Step } from "./store.ts";
import type { Fleet, Server, Shard } from "./types.ts";

/** A reason not to begin, as an operator reads it. */
export interface Blocker {
  object: string;
  why: string;
  fix: string;
}

export interface ShardsOptions {
  /** Servers, shards that are no longer wanted too, and what belongs on shards. */
  fleet: Fleet;
  /** Indexes of the shards that rows belong on; none: they go back to the one server. */
  wanted: readonly number[];
  /** The application's definitions onto a shard. */
  define: (shard: Shard) => Promise<void>;
  /** What stands in the way of a climb. @default nothing is looked for */
  check?: (gateway: pg.Client, fleet: Fleet) => Promise<readonly Blocker[]>;
  /** Opens sessions on the shards and connections to them, for the gateway's clients and for routers, shortly before the flip. @default when they are used */
  warm?: (gateway: pg.Client) => Promise<unknown>;
  /** Has the pooler open new sessions for reads, whose role's settings have changed. @default sessions that are there read from the primaries */
  renew?: () => Promise<unknown>;
  log: (line: string) => void;
  done: (what: string) => void;
  /** Work is broken off after about this time. @default 2000 ms */
  slice?: Ms;
  /** How long buckets are announced before they move: routers rely on it. @default 20000 ms */
  announced?: Ms;
  /** Subscriptions that copy at the same time. @default 2 */
  copies?: number;
  /** Bytes of log that a server may keep for a copy before the move is given up. @default half of max_slot_wal_keep_size, or 16 GiB */
  retained?: number;
  /** Seconds until what was refused or given up is looked at again. @default 60, 3600 */
  recheck?: number;
  retry?: number;
  /** Called before and after each step, and between its parts that are committed apart: for tests that end the process there. */
  passing?: (point: string) => Promise<void>;
}

export interface Work {
  options: ShardsOptions;
  /** As it was when the move began. */
  fleet: Fleet;
  /** Holds the mover's lock. */
  gateway: pg.Client;
  run: Run;
  step: Step;
  /** When this piece of work shall end, by performance.now. */
  end: number;
  /** Names the point of the step that is passed. */
  passing: (point: string) => Promise<void>;
}

/** "again": the next piece of the step may follow at once. */
export type Outcome = "done" | "again" | { waits: string };

export type Steps = Readonly<Record<string, (work: Work) => Promise<Outcome>>>;

/** Name of the publication, the slot and the subscription by which a shard gets its rows. */
export const forward = ({ index }: Pick<Shard, "index">): string => `ladder_shard_${index}`;

/** Name of the publication, the slot and the subscription by which the gateway's old tables get what is written on a shard. */
export const backward = ({ index }: Pick<Shard, "index">): string => `ladder_back_${index}`;

/** Schema of the tables as they were, on the gateway, and of the roots by which shards publish under the same names. */
export const BACK = "ladder_back";

/** Qualified names of the fleet's sharded tables. */
export const relationsOf = ({ tables }: Fleet, inSchema?: string): string[] => tables.map((table) => qualified(table, inSchema));

/** Does the same on every shard at once, each with a session of its own. */
export const onShards = <T>({ shards }: Fleet, use: (client: pg.Client, shard: Shard) => Promise<T>): Promise<T[]> =>
  settled(
    shards.map((shard) =>
      onServer(shard as Server, (client) => use(client, shard)).catch((error: Error) => Promise.reject(named(shard, error))),
    ),
  );

/** Waits for all, and only then fails with the first that failed. */
export async function settled<T>(all: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(all);
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed) throw failed.reason;
  return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<T>).value);
}

/** The error with the shard's name in front. */
export function named({ database }: Shard, error: Error): Error {
  if (!error.message.startsWith(`${database}: `)) error.message = `${database}: ${error.message}`;
  return error;
}
