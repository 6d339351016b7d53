/** What can be done with a database: the same for `Database`, which remembers nothing, and `Session`, which sees what it wrote. */
import { setTimeout as sleep } from "node:timers/promises";
import type DataLoader from "dataloader";
import type { LRUCache } from "lru-cache";
import { InputError, type Ms } from "../plan/types.ts";
import { type LoaderKey, type LoaderOptions, makeLoader, type TopOptions, topPerGroup } from "./batch.ts";
import type { BulkOptions, BulkResult, Rows } from "./bulk.ts";
import { describeTable, type Table } from "./catalog.ts";
import { isSerializationFailure, UnknownOutcome } from "./errors.ts";
import { quoteTable, type TableName } from "./ids.ts";
import { NEVER_REPLAYED, parseLsn } from "./lsn.ts";
import { type Page, type PageOptions, readPage } from "./page.ts";
import type { ConnectionPool, Lease } from "./pool.ts";
import type { Split } from "./split.ts";
import type { Tenant } from "./tenant.ts";
import { type Answer, type Row, repeat, runTransaction, type Transaction, type TransactionOptions } from "./transaction.ts";

/** What the sessions of a database share. */
export interface Core {
  writes: ConnectionPool;
  split: Split;
  tables: LRUCache<string, Table>;
}

/** What one of them remembers. */
export interface Memory {
  tenant?: Tenant | undefined;
  /** Undefined: reads need not include anything. */
  after?: bigint | undefined;
  /** Called after every write: how far the log was, when its commit was in it. */
  wrote?: ((lsn: bigint) => void) | undefined;
  /** A statement that fails where the rows that are meant have moved to another shard. Part of every transaction. */
  fence?: string | undefined;
  /** Longest time of a statement on the server, ms. @default the server's */
  timeout?: number | undefined;
}

/** A memory that keeps how far the log was when it wrote. */
export function remembering(tenant: Tenant | undefined, after: bigint | undefined): Memory & { after: bigint | undefined } {
  const memory: Memory & { after: bigint | undefined } = { tenant, after };
  memory.wrote = (lsn) => {
    const { after } = memory;
    // A certain place after an uncertain one: the log is one, so everything before is below it.
    const known = after === undefined || after === NEVER_REPLAYED;
    memory.after = known || lsn > after ? lsn : after;
  };
  return memory;
}

export interface DeleteOptions {
  /** Rows of one transaction. @default 10,000 */
  batch?: number;
  /** Rest between two of them, ms. @default 0 */
  pause?: Ms | number;
}

const RETRIES = 5;
const IDLE_ROUNDS = 3;

export abstract class Operations {
  readonly #core: Core;
  readonly #memory: Memory;

  constructor(core: Core, memory: Memory) {
    this.#core = core;
    this.#memory = memory;
  }

  /**
   * Reads from a replica, or from the primary where a replica cannot answer rightly. In a read-only transaction of its own.
   * @throws what the driver throws; PoolTimeout.
   */
  read<R extends Row = Row>(sql: string, values: readonly unknown[] = []): Promise<R[]> {
    return this.#core.split.read<R>(sql, values, this.#memory);
  }

  /**
   * One statement on the primary, committed by itself. Repeated after a deadlock or serialization failure, up to 5 times.
   * @throws UnknownOutcome when the connection was lost after it was sent; what the driver throws; PoolTimeout.
   */
  async write<R extends Row = Row>(sql: string, values: readonly unknown[] = []): Promise<Answer<R>> {
    const { tenant, fence } = this.#memory;
    if (tenant !== undefined || fence !== undefined) return this.transaction((tx) => tx.query<R>(sql, values));
    return repeat(RETRIES, isSerializationFailure, async () => {
      const lease = await this.#core.writes.take();
      try {
        const { rows, rowCount } = await lease.client.query<R>(sql, [...values]).catch((error) => {
          throw lease.lost(error) ? this.#unknown(new UnknownOutcome("write", error)) : error;
        });
        await this.#remember(lease);
        return { rows, count: rowCount ?? 0 };
      } finally {
        lease.release();
      }
    });
  }

  /**
   * Runs `work` in a transaction on the primary. It commits when `work` returns and rolls back when it throws. `work` is called again after
   * a serialization failure, a deadlock, or a connection that was lost before the commit was sent; so it must do nothing outside the
   * transaction that may not be done twice.
   * @throws UnknownOutcome when the connection was lost during the commit (never repeated); TransactionRolledBack when `work` swallowed a
   * statement's failure; PoolTimeout; whatever `work` throws.
   */
  async transaction<T>(work: (tx: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const { tenant, fence, timeout } = this.#memory;
    const after = options.readOnly ? () => Promise.resolve() : (lease: Lease) => this.#remember(lease);
    try {
      return await runTransaction(this.#core.writes, work, { ...options, tenant, fence, timeout, after });
    } catch (error) {
      throw error instanceof UnknownOutcome ? this.#unknown(error) : error;
    }
  }

  /**
   * Inserts all rows or none: by COPY above 1,000 rows, below by multi-row inserts, in chunks of at most 65,535 values. Iterables may be
   * longer than memory. What values may be: docs/guide/client.md.
   * @throws InputError for unknown columns and for rows that have other keys than the first; what `transaction` throws.
   */
  bulkInsert(table: TableName, rows: Rows, options: BulkOptions = {}): Promise<BulkResult> {
    const retries = Array.isArray(rows) ? RETRIES : 0;
    return this.transaction((tx) => tx.bulkInsert(table, rows, options), { retries });
  }

  /**
   * Deletes what the condition says, in batches that are committed one by one, so that nobody waits long for a lock and vacuum keeps up.
   * Rows that begin to fit the condition meanwhile are deleted too. After an error the batches before stay deleted: call it again.
   * For whole months of a partitioned table drop the partition instead.
   * @param where condition in SQL with `$1`…
   * @returns number of rows deleted
   */
  async bulkDelete(table: TableName, where: string, values: readonly unknown[] = [], options: DeleteOptions = {}): Promise<number> {
    const { batch = 10_000, pause = 0 } = options;
    if (!Number.isInteger(batch) || batch < 1)
      throw new InputError("bulkDelete", [{ path: "batch", got: batch, want: "a whole number from 1" }]);
    const name = quoteTable(table);
    // The condition stands twice because one ctid is a row in every partition.
    const sql = `with doomed as materialized (select ctid from ${name} where (${where}) limit $${values.length + 1}),
      gone as (delete from ${name} where ctid = any(array(select ctid from doomed)) and (${where}) returning 1)
      select (select count(*) from doomed)::int as found, (select count(*) from gone)::int as gone`;
    let total = 0;
    for (let idle = 0; idle < IDLE_ROUNDS; ) {
      const { rows } = await this.write<{ found: number; gone: number }>(sql, [...values, batch]);
      const { found, gone } = rows[0]!;
      total += gone;
      if (found < batch && gone >= found) break;
      idle = gone === 0 ? idle + 1 : 0;
      await sleep(pause);
    }
    return total;
  }

  /** Number of rows that fit, counted by the server; no row is loaded. */
  async count(table: TableName, where = "true", values: readonly unknown[] = []): Promise<number> {
    const [row] = await this.read<{ count: string }>(`select count(*) from ${quoteTable(table)} where (${where})`, values);
    return Number(row!.count);
  }

  /** The planner's estimate of that number, from statistics: at once, for any size of table, and only as good as the last `analyze`. */
  async estimate(table: TableName, where = "true", values: readonly unknown[] = []): Promise<number> {
    const sql = `explain (format json) select from ${quoteTable(table)} where (${where})`;
    const [row] = await this.read<{ "QUERY PLAN": { Plan: { "Plan Rows": number } }[] }>(sql, values);
    return row!["QUERY PLAN"][0]!.Plan["Plan Rows"];
  }

  /** One page of a table in an order. @throws InputError for unknown columns, a table without primary key, a cursor of something else. */
  async page<R extends Row = Row>(options: PageOptions): Promise<Page<R>> {
    return readPage<R>(this.#query, await this.#describe(options.table), options);
  }

  /** The first rows of each of many groups, in one statement. A group without rows has an empty list. */
  async topPerGroup<R extends Row = Row, K = string>(options: TopOptions<K>): Promise<Map<K, R[]>> {
    return topPerGroup<R, K>(this.#query, await this.#describe(options.table), options);
  }

  /**
   * Loads rows by key: the keys that are asked for in one turn of the event loop become one statement. For each key all its rows.
   * It keeps what it loaded: make one for each request, not one for the process.
   * @param key column, or columns of a composite key
   */
  loader<R extends Row = Row, K extends LoaderKey = string>(
    table: TableName,
    key: string | readonly string[],
    options: LoaderOptions = {},
  ): DataLoader<K, R[], string> {
    return makeLoader<R, K>(this.#query, () => this.#describe(table), key, options);
  }

  readonly #query = <R extends Row>(sql: string, values: readonly unknown[]) => this.read<R>(sql, values);

  async #describe(name: TableName): Promise<Table> {
    const key = quoteTable(name);
    const known = this.#core.tables.get(key);
    if (known) return known;
    const table = await describeTable(this.#query, name);
    this.#core.tables.set(key, table);
    return table;
  }

  /** After the commit, because its own record must lie below. The write is done, whatever happens here. */
  async #remember({ client }: Lease): Promise<void> {
    const { wrote } = this.#memory;
    if (!wrote) return;
    const at = "select pg_current_wal_insert_lsn()::text as lsn";
    wrote(
      await client.query<{ lsn: string }>(at).then(
        ({ rows }) => parseLsn(rows[0]!.lsn),
        () => NEVER_REPLAYED,
      ),
    );
  }

  /** Who looks for the row afterwards must be told by the primary. */
  #unknown(error: UnknownOutcome): UnknownOutcome {
    this.#memory.wrote?.(NEVER_REPLAYED);
    return error;
  }
}
