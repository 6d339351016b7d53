/**
 * Which server answers a read. Replicas do, as long as one of these does not speak against it:
 * - The reader has written, and the replica has not replayed that yet. The read waits a moment, then goes to the primary.
 * - The replica is too far behind.
 * - No replica is to be had. Reads go to the primary, and a probe every second finds out when that is over.
 *
 * Behind the read URL stands a pooler with several replicas, and two transactions in a row may land on two of them. So the question
 * "how far are you" and the read are one transaction. Its four messages are sent in one go: it costs one round trip, as a bare statement does.
 * Where the read URL leads to a primary (stage 1, or no replica is healthy) there is nothing to wait for.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SplitNumbers } from "./config.ts";
import { PoolTimeout, sqlState } from "./errors.ts";
import { NEVER_REPLAYED, parseLsn } from "./lsn.ts";
import type { ConnectionPool } from "./pool.ts";
import { isElsewhere } from "./shards/errors.ts";
import { setTenant } from "./tenant.ts";
import { beginning, type Conditions, type Row, runTransaction } from "./transaction.ts";

/** What the split did. Counters count from the start. */
export interface ReadFigures {
  /** Reads that the read URL answered: replicas, or at stage 1 the primary. */
  replica: number;
  /** Reads that were sent to the primary because no replica had the session's writes in time, was near enough, or was there at all. */
  behind: number;
  lagging: number;
  down: number;
  /** Reads that had to wait for the session's own writes, wherever they were answered. */
  waited: number;
  /** False while reads go to the primary because no replica answers. */
  replicasUp: boolean;
}

/** What a read needs beside its statement. */
export interface ReadNeeds extends Conditions {
  /** Place in the log that the answer must include. */
  after?: bigint | undefined;
}

interface Standing {
  recovery: boolean;
  replayed: string | null;
  /** Seconds. */
  lag: number | null;
}

/**
 * A replica that has replayed all it received, and still receives, is up to date however long nothing was written; otherwise the age of the
 * last transaction that it replayed counts. Needs no privilege.
 */
const STANDING = `select pg_is_in_recovery() as recovery, pg_last_wal_replay_lsn()::text as replayed,
  case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_stat_wal_receiver) then 0
       else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 end as lag`;
const POLL_MS = 5;
const PROBE_MS = 1000;

type Obstacle = "behind" | "lagging" | "down";

export class Split {
  readonly #reads: ConnectionPool;
  readonly #writes: ConnectionPool;
  readonly #numbers: SplitNumbers;
  readonly #counts = { replica: 0, behind: 0, lagging: 0, down: 0, waited: 0 };
  #probe: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(reads: ConnectionPool, writes: ConnectionPool, numbers: SplitNumbers) {
    this.#reads = reads;
    this.#writes = writes;
    this.#numbers = numbers;
  }

  figures(): ReadFigures {
    return { ...this.#counts, replicasUp: this.#probe === undefined };
  }

  async read<R extends Row>(sql: string, values: readonly unknown[], needs: ReadNeeds): Promise<R[]> {
    const answer = this.#probe === undefined ? await this.#fromReplica<R>(sql, values, needs) : "down";
    if (typeof answer !== "string") {
      this.#counts.replica++;
      return answer;
    }
    this.#counts[answer]++;
    const { tenant, fence, timeout } = needs;
    return runTransaction(this.#writes, async (tx) => (await tx.query<R>(sql, values)).rows, { readOnly: true, tenant, fence, timeout });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#probe);
  }

  async #fromReplica<R extends Row>(sql: string, values: readonly unknown[], needs: ReadNeeds): Promise<R[] | Obstacle> {
    const giveUp = performance.now() + (needs.after === NEVER_REPLAYED ? 0 : this.#numbers.readWait);
    for (let waited = false; ; ) {
      const answer = await this.#once<R>(sql, values, needs).catch((error: unknown) => this.#obstacle(error));
      if (answer !== "behind") return answer;
      if (!waited) this.#counts.waited++;
      waited = true;
      if (performance.now() + POLL_MS > giveUp) return "behind";
      await sleep(POLL_MS);
    }
  }

  async #once<R extends Row>(
    sql: string,
    values: readonly unknown[],
    { after, tenant, fence, timeout }: ReadNeeds,
  ): Promise<R[] | Obstacle> {
    const { maxLag } = this.#numbers;
    const lease = await this.#reads.take().catch((error: unknown) => {
      throw error instanceof PoolTimeout ? error : new Gone(error);
    });
    const { client } = lease;
    try {
      const [begin, setting, standing, fenced, answer] = await Promise.allSettled([
        client.query(beginning("read committed read only", { timeout })),
        tenant !== undefined && setTenant(client, tenant),
        client.query<Standing>(STANDING),
        // Before the statement: whoever moves rows locks the map first and the tables then.
        fence !== undefined && client.query(fence),
        client.query<R>(sql, [...values]),
        client.query("commit"),
      ]);
      const obstacle = obstacleOf(result(begin, setting, standing).rows[0]!, after, maxLag);
      if (obstacle) return obstacle;
      return result(fenced, answer).rows;
    } catch (error) {
      throw lease.lost(error) ? new Gone(error) : error;
    } finally {
      lease.release();
    }
  }

  /** An error that is the replica's and not the statement's: the primary may answer. */
  #obstacle(error: unknown): Obstacle {
    if (error instanceof Gone) {
      this.#watch();
      return "down";
    }
    // Hot standby: "canceling statement due to conflict with recovery".
    if (sqlState(error) === "40001" || isElsewhere(error)) return "behind";
    throw error;
  }

  #watch(): void {
    if (this.#closed || this.#probe !== undefined) return;
    const probe = async () => {
      const found = await this.#once("select 1", [], {}).catch(() => "down" as const);
      if (this.#closed) return;
      this.#probe = found === "down" ? setTimeout(probe, PROBE_MS).unref() : undefined;
    };
    this.#probe = setTimeout(probe, PROBE_MS).unref();
  }
}

/** The way to the replica is gone; `cause` says how. */
class Gone extends Error {
  constructor(cause: unknown) {
    super("no replica", { cause });
  }
}

function obstacleOf({ recovery, replayed, lag }: Standing, after: bigint | undefined, maxLag: number): Obstacle | undefined {
  if (!recovery) return undefined;
  if (maxLag > 0 && (lag === null || lag * 1000 > maxLag)) return "lagging";
  return after !== undefined && (replayed === null || parseLsn(replayed) < after) ? "behind" : undefined;
}

/** The last one's value. @throws the first failure. */
function result<T>(...settled: [...PromiseSettledResult<unknown>[], PromiseSettledResult<T>]): T {
  for (const one of settled) if (one.status === "rejected") throw one.reason;
  return (settled.at(-1) as PromiseFulfilledResult<T>).value;
}
