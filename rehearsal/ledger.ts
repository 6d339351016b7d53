/**
 * The client-side record of every write: attempted, acknowledged or not. It is what "nothing was lost" is measured against, so it must
 * survive the load process.
 *
 * Guarantee. `attempt` resolves once the attempt is committed in SQLite, and the load sends nothing before that. Results and reads are
 * committed at the latest 50 ms after they were recorded, or with the next attempt. So when the load process dies at any moment (SIGKILL included):
 * every row that the server can hold has its attempt here, and only the answers of the last 50 ms are missing; those writes stay `pending`
 * and are looked up in the table like unknown ones. A power cut or a crash of the operating system can lose the last transactions as well
 * (WAL with synchronous NORMAL syncs at checkpoints only); the file stays consistent, rows it forgot then show up as phantoms.
 */
import { existsSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { STORE_BATCH, STORE_FLUSH_MS, Store } from "../client/store.ts";
import { InputError } from "../plan/types.ts";
import type { Attempt, Mark, ReadResult, Result, RunEnd, RunPlan } from "./model.ts";

/** Records a transaction carries at most. */
export const BATCH = STORE_BATCH;
/** The longest that a result waits before it is durable, ms. */
export const FLUSH_MS = STORE_FLUSH_MS;

const TABLES = `
  create table run (name text primary key, value text not null) without rowid;
  create table write (
    id integer primary key,
    client integer not null,
    intended real not null,
    done real,
    outcome text not null default 'pending',
    error text
  );
  create table operation (
    write integer not null,
    position integer not null,
    kind text not null,
    key text not null,
    rows integer,
    id text,
    primary key (write, position)
  ) without rowid;
  create table read (intended real not null, done real not null, outcome text not null, behind real, error text);
  create table reconnect (at real not null, side text not null);
  create table mark (at real not null, text text not null);
`;

export class Ledger {
  readonly path: string;
  readonly #store: Store;

  private constructor(path: string) {
    this.path = path;
    this.#store = new Store(path);
  }

  get db(): DatabaseSync {
    return this.#store.db;
  }

  /**
   * Makes a new ledger file. One file holds one run.
   * @throws InputError when the file exists.
   */
  static create(path: string, plan: RunPlan): Ledger {
    if (existsSync(path)) throw new InputError("ledger", [{ path: "ledger", got: path, want: "a file that does not exist yet" }]);
    const ledger = new Ledger(path);
    ledger.db.exec(TABLES);
    ledger.#statement("insert into run values ('plan', ?)").run(JSON.stringify(plan));
    return ledger;
  }

  /**
   * Opens the ledger of an earlier run, finished or not.
   * @throws InputError when there is no such file.
   */
  static open(path: string): Ledger {
    if (!existsSync(path)) throw new InputError("ledger", [{ path: "ledger", got: path, want: "the ledger file of an earlier run" }]);
    return new Ledger(path);
  }

  /** Resolves when the attempt is durable: only then may its first statement be sent. */
  attempt(attempt: Attempt): Promise<void> {
    return this.#store.durable(() => {
      this.#statement("insert into write (id, client, intended) values (?, ?, ?)").run(attempt.write, attempt.client, attempt.intended);
      for (const [position, { kind, key }] of attempt.operations.entries())
        this.#statement("insert into operation (write, position, kind, key) values (?, ?, ?, ?)").run(attempt.write, position, kind, key);
    });
  }

  /** Records the answer to a write; durable within FLUSH_MS. */
  result({ write, outcome, done, error, answers = [] }: Result): void {
    this.#store.soon(() => {
      this.#statement("update write set outcome = ?, done = ?, error = ? where id = ?").run(outcome, done, error ?? null, write);
      for (const [position, { rows, id }] of answers.entries())
        this.#statement("update operation set rows = ?, id = ? where write = ? and position = ?").run(rows, id ?? null, write, position);
    });
  }

  read({ intended, done, outcome, behind, error }: ReadResult): void {
    this.#store.soon(() => {
      this.#statement("insert into read values (?, ?, ?, ?, ?)").run(intended, done, outcome, behind ?? null, error ?? null);
    });
  }

  reconnect(at: number, side: "write" | "read"): void {
    this.#store.soon(() => {
      this.#statement("insert into reconnect values (?, ?)").run(at, side);
    });
  }

  mark({ at, text }: Mark): void {
    this.#store.soon(() => {
      this.#statement("insert into mark values (?, ?)").run(at, text);
    });
  }

  finish(end: RunEnd): void {
    this.#store.soon(() => {
      this.#statement("insert into run values ('end', ?)").run(JSON.stringify(end));
    });
    this.flush();
  }

  /**
   * Commits everything that is queued, 500 records a transaction.
   * When SQLite fails (a full disk, say), `failure` holds its error and every attempt is rejected with it, so the load stops writing.
   */
  flush(): void {
    this.#store.flush();
  }

  /** The error that stopped the ledger, if one did. */
  get failure(): unknown {
    return this.#store.failure;
  }

  /** @throws the error that made the record incomplete, if one did. */
  close(): void {
    this.#store.close();
  }

  #statement(sql: string) {
    return this.#store.statement(sql);
  }
}
