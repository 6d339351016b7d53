/** Where queued writes are until the database has them: a SQLite file of one process at a time, or memory. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { InputError } from "../../plan/types.ts";
import { newToken } from "./store.ts";

export interface JournalItem {
  sequence: number;
  key: string;
  data: Buffer;
  /** When it was queued, ms since 1970. */
  at: number;
}

const TABLES = `
  create table if not exists queue (owner text not null, space text not null);
  create table if not exists item (
    sequence integer primary key autoincrement,
    key text not null,
    data blob not null,
    at integer not null,
    state text not null default 'queued' check (state in ('queued', 'written', 'dead')),
    error text
  );
`;

export class Journal {
  /** The queue's name for ever, as long as the file is kept. */
  readonly owner: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * @param path `:memory:` for none
   * @throws InputError when another process has it open, or it belongs to another space
   */
  constructor(path: string, space: string) {
    this.#db = new DatabaseSync(path);
    try {
      this.#db.exec("pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = normal; begin immediate; commit;");
    } catch {
      this.#db.close();
      throw new InputError("write-behind", [{ path: "journal", got: path, want: "a file that no other process has open" }]);
    }
    this.#db.exec(TABLES);
    this.#run("insert into queue select ?, ? where not exists (select 1 from queue)", newToken(), space);
    const [queue] = this.#all("select owner, space from queue") as { owner: string; space: string }[];
    this.owner = queue?.owner ?? "";
    if (queue?.space === space) return;
    this.#db.close();
    throw new InputError("write-behind", [{ path: "journal", got: path, want: `the journal of space ${space}, not of ${queue?.space}` }]);
  }

  #statement(sql: string): StatementSync {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #run(sql: string, ...values: (string | number | Buffer)[]): number {
    return Number(this.#statement(sql).run(...values).lastInsertRowid);
  }

  #all(sql: string, ...values: string[]): unknown[] {
    return this.#statement(sql).all(...values);
  }

  /** Durable when it returns, except against a crash of the operating system. */
  add(key: string, data: Buffer, at: number): number {
    return this.#run("insert into item (key, data, at) values (?, ?, ?)", key, data, at);
  }

  remove(sequences: readonly number[]): void {
    this.#each("delete from item where sequence = ?", sequences);
  }

  /** The database has them. They stay until the cache knows it too, so that they are not written a second time. */
  written(sequences: readonly number[]): void {
    this.#each("update item set state = 'written' where sequence = ?", sequences);
  }

  /** The database will never take it. */
  dead(sequence: number, error: string): void {
    this.#run("update item set state = 'dead', error = ? where sequence = ?", error, sequence);
  }

  #each(sql: string, sequences: readonly number[]): void {
    this.#db.exec("begin");
    for (const sequence of sequences) this.#run(sql, sequence);
    this.#db.exec("commit");
  }

  /** In the order of their writing. */
  read(state: "queued" | "written" | "dead"): (JournalItem & { error: string | null })[] {
    const rows = this.#all("select sequence, key, data, at, error from item where state = ? order by sequence", state);
    return (rows as (Omit<JournalItem, "data"> & { data: Uint8Array; error: string | null })[]).map((row) => ({
      ...row,
      data: Buffer.from(row.data),
    }));
  }

  close(): void {
    this.#db.close();
  }
}
