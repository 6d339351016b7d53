/**
 * Transactions that end one way or the other: committed whole, rolled back whole, or `UnknownOutcome`.
 *
 * What is repeated, and why that is safe:
 * - 40001 and 40P01, also as the answer to `commit`: PostgreSQL rolled back.
 * - A connection lost before `commit` was sent: the server rolls back what it never was told to commit.
 * - A connection lost after `commit` was sent is never repeated: that would write twice what may be there already.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { type BulkOptions, type BulkResult, bulkInsert, type Rows } from "./bulk.ts";
import { isSerializationFailure, TransactionRolledBack, UnknownOutcome } from "./errors.ts";
import type { TableName } from "./ids.ts";
import type { ConnectionPool, Lease } from "./pool.ts";
import { setTenant, type Tenant } from "./tenant.ts";

export type Row = pg.QueryResultRow;

export interface Answer<R extends Row> {
  rows: R[];
  /** Rows inserted, updated, deleted or selected. */
  count: number;
}

export const ISOLATIONS = ["read committed", "repeatable read", "serializable"] as const;

export interface TransactionOptions {
  /** @default "read committed" */
  isolation?: (typeof ISOLATIONS)[number];
  /** @default false */
  readOnly?: boolean;
  /** How often the callback may be called again. 0: never. @default 5 */
  retries?: number;
}

/** An open transaction. Statements run one after the other; await each. */
export class Transaction {
  readonly #lease: Lease;
  #failure: unknown;

  constructor(lease: Lease) {
    this.#lease = lease;
  }

  /** @throws what the driver throws; the transaction can then only be rolled back, so let it through. */
  async query<R extends Row = Row>(sql: string, values: readonly unknown[] = []): Promise<Answer<R>> {
    const { rows, rowCount } = await this.watch(this.#lease.client.query<R>(sql, [...values]));
    return { rows, count: rowCount ?? 0 };
  }

  /** As `Database.bulkInsert`, within this transaction. */
  bulkInsert(table: TableName, rows: Rows, options: BulkOptions = {}): Promise<BulkResult> {
    return bulkInsert(this, table, rows, options);
  }

  /** The driver's connection, for what this class has no word for. Do not release it, do not commit. */
  get client(): pg.ClientBase {
    return this.#lease.client;
  }

  /** The error that made the transaction unusable, if one did. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Lets the transaction know of a failure of something that ran on `client`. */
  async watch<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** Records what made the transaction unusable, and gives it back. */
  fail(error: unknown): unknown {
    this.#lease.lost(error);
    this.#failure ??= error;
    return error;
  }
}

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;

/** Full jitter: anything up to the exponential step, so that those who collided do not meet again. */
async function pause(attempt: number): Promise<void> {
  await sleep(Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt));
}

/** Calls `work` again while it fails with something that `again` calls certain not to have written, at most `retries` times. */
export async function repeat<T>(retries: number, again: (error: unknown) => boolean, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= retries || !again(error)) throw error;
      await pause(attempt);
    }
  }
}

/** What a transaction is subject to, beside what its caller asked for. */
export interface Conditions {
  tenant?: Tenant | undefined;
  /** Fails where the rows that are meant have moved to another shard, and keeps them from moving until the transaction ends. */
  fence?: string | undefined;
  /** Of a statement on the server, ms. */
  timeout?: number | undefined;
}

/**
 * One message that begins a transaction. The lock comes before the fence, because it takes no snapshot: the fence, and in "repeatable read"
 * all that follows, sees the map that is locked.
 */
export function beginning(modes: string, { fence, timeout }: Conditions): string {
  const limit = timeout === undefined ? "" : `; set local statement_timeout = ${Math.max(1, Math.round(timeout))}`;
  return `begin isolation level ${modes}${limit}${fence === undefined ? "" : `; lock table ladder.shard_map in access share mode; ${fence}`}`;
}

/** One try that may be repeated ends with this, around the error that is thrown in the end. */
class Repeatable extends Error {}

/**
 * @param after runs on the same connection once the commit is certain; its failure is its own business and must not be thrown.
 * @throws UnknownOutcome, TransactionRolledBack, PoolTimeout, and whatever `work` and the driver throw.
 */
export async function runTransaction<T>(
  pool: ConnectionPool,
  work: (tx: Transaction) => Promise<T>,
  options: TransactionOptions & Conditions & { after?: (lease: Lease) => Promise<void> },
): Promise<T> {
  const { retries = 5 } = options;
  const attempt = () => once(pool, work, options);
  return repeat(retries, (error) => error instanceof Repeatable, attempt).catch((error) => {
    throw error instanceof Repeatable ? error.cause : error;
  });
}

async function once<T>(
  pool: ConnectionPool,
  work: (tx: Transaction) => Promise<T>,
  { isolation = "read committed", readOnly = false, tenant, fence, timeout, after }: Parameters<typeof runTransaction>[2],
): Promise<T> {
  const lease = await pool.take();
  const tx = new Transaction(lease);
  try {
    const result = await run();
    await after?.(lease);
    return result;
  } catch (error) {
    const own = error === tx.failure || (error instanceof TransactionRolledBack && error.cause === tx.failure);
    if (own && (isSerializationFailure(tx.failure) || lease.lost())) throw new Repeatable("", { cause: error });
    throw error;
  } finally {
    lease.release();
  }

  async function run(): Promise<T> {
    await tx.query(beginning(`${isolation} ${readOnly ? "read only" : "read write"}`, { fence, timeout })).catch(async (error) => {
      // The fence's refusal comes before the word that a transaction is open, so the pool would not see that one is.
      if (!lease.lost()) await lease.client.query("rollback").catch((failure) => lease.lost(failure));
      throw error;
    });
    if (tenant !== undefined) await tx.watch(setTenant(lease.client, tenant));
    const result = await work(tx);
    if (lease.lost()) throw tx.failure ?? tx.fail(new Error("transaction: the connection was lost"));
    const answer = await tx.watch(lease.client.query("commit")).catch((error) => {
      throw lease.lost() ? new UnknownOutcome("transaction", error) : error;
    });
    if (answer.command !== "COMMIT") throw new TransactionRolledBack(tx.failure);
    return result;
  }
}
