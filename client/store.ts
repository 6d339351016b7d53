/**
 * A tuned SQLite file for what a client must keep itself: a ledger, an outbox, a queue. Writes are gathered into transactions of at most
 * 500 records.
 *
 * Survives the process's death at any moment. A power cut can lose the last transactions (WAL with synchronous NORMAL syncs at checkpoints
 * only); the file stays consistent.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** Records that one transaction carries at most. */
export const STORE_BATCH = 500;
/** The longest that `soon` waits before it is durable, ms. */
export const STORE_FLUSH_MS = 50;

/** The requirement documents': 256 MiB memory map, 10 MiB cache. */
const PRAGMAS = `
  pragma journal_mode = wal;
  pragma synchronous = normal;
  pragma mmap_size = 268435456;
  pragma cache_size = -10240;
  pragma temp_store = memory;
  pragma busy_timeout = 5000;
`;

interface Job {
  run: () => void;
  resolve?: () => void;
  reject?: (error: unknown) => void;
}

export class Store {
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #queue: Job[] = [];
  #soon: NodeJS.Immediate | undefined;
  #later: NodeJS.Timeout | undefined;
  #failure: unknown;

  /** Opens the file, or makes it. */
  constructor(path: string) {
    this.db = new DatabaseSync(path);
    this.db.exec(PRAGMAS);
  }

  /**
   * Resolves when `run` is committed: those of one turn of the event loop together.
   * @throws SQLite's error, for all of the transaction; then for everything after it.
   */
  durable(run: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ run, resolve, reject });
      this.#soon ??= setImmediate(() => this.flush());
    });
  }

  /** Commits `run` with the next `durable`, within STORE_FLUSH_MS at the latest. */
  soon(run: () => void): void {
    this.#queue.push({ run });
    this.#later ??= setTimeout(() => this.flush(), STORE_FLUSH_MS);
  }

  /**
   * Commits everything that is queued. When SQLite fails (a full disk, say), `failure` holds its error, and everything that waits or comes
   * later is rejected with it.
   */
  flush(): void {
    clearImmediate(this.#soon);
    clearTimeout(this.#later);
    this.#soon = this.#later = undefined;
    while (this.#queue.length > 0 && this.#failure === undefined) this.#commit(this.#queue.splice(0, STORE_BATCH));
    if (this.#failure === undefined) return;
    const waiting = this.#queue;
    this.#queue = [];
    for (const job of waiting) job.reject?.(this.#failure);
  }

  /** The error that stopped the store, if one did. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Commits, optimizes and closes. @throws the error that made the record incomplete, if one did. */
  close(): void {
    this.flush();
    if (this.#failure === undefined) this.db.exec("pragma optimize");
    this.db.close();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Prepared once for each text. */
  statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known) return known;
    const made = this.db.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #commit(batch: readonly Job[]): void {
    try {
      this.db.exec("begin immediate");
      for (const job of batch) job.run();
      this.db.exec("commit");
    } catch (error) {
      this.#failure = error;
      if (this.db.isTransaction) this.db.exec("rollback");
      for (const job of batch) job.reject?.(error);
      return;
    }
    for (const job of batch) job.resolve?.();
  }
}
