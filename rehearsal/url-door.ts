/** Through a URL, as an application with node-postgres has it: a pool of one connection. */
import type pg from "pg";
import { classify } from "./classify.ts";
import type { ReadDoor, WriteDoor } from "./doors.ts";
import { type Answer, type Change, type Kind, now, type Result } from "./model.ts";
import type { Session } from "./session.ts";
import { readSql, writeSql } from "./table.ts";

export class UrlWrites implements WriteDoor {
  readonly oneUser = false;
  readonly #session: Session;
  readonly #sql: Record<Kind, string>;
  readonly #client: number;

  constructor(session: Session, table: string, client: number) {
    this.#session = session;
    this.#sql = writeSql(table);
    this.#client = client;
  }

  open(): Promise<void> {
    return this.#session.open();
  }

  async write(write: number, changes: readonly Change[]): Promise<Result> {
    const session = this.#session;
    let connection: pg.PoolClient;
    try {
      connection = await session.take();
    } catch (error) {
      return { write, outcome: "refused", done: now(), error: classify(error, false).error };
    }
    let committing = changes.length === 1;
    try {
      const answers: Answer[] = [];
      const transaction = changes.length > 1;
      if (transaction) await connection.query("begin");
      for (const change of changes) answers.push(await this.#send(connection, write, change));
      committing = true;
      const command = transaction ? (await connection.query("commit")).command : "COMMIT";
      session.give(connection, false);
      if (command !== "COMMIT") return { write, outcome: "failed", done: now(), error: `commit was answered with ${command}` };
      return { write, outcome: "acknowledged", done: now(), answers };
    } catch (thrown) {
      const { outcome, broken, error } = classify(thrown, committing);
      const done = now();
      const usable = !broken && (changes.length === 1 || (await rolledBack(connection)));
      session.give(connection, !usable);
      return { write, outcome, done, error };
    }
  }

  cut(): void {
    this.#session.cut();
  }

  /** Every other write uses prepared statements by name, as many drivers do; the others are parsed each time. */
  async #send(connection: pg.PoolClient, write: number, { kind, user, key }: Change): Promise<Answer> {
    const query = { text: this.#sql[kind], values: [user, key, this.#client] };
    const named = write % 2 === 0 ? { ...query, name: `ladder_rehearsal_${kind}` } : query;
    const { rows, rowCount } = await connection.query<{ id?: string }>(named);
    const id = rows[0]?.id;
    return { rows: rowCount ?? 0, ...(id === undefined ? {} : { id }) };
  }
}

async function rolledBack(connection: pg.PoolClient): Promise<boolean> {
  return connection.query("rollback").then(
    () => true,
    () => false,
  );
}

export class UrlReads implements ReadDoor {
  readonly #session: Session;
  readonly #text: string;

  constructor(session: Session, table: string) {
    this.#session = session;
    this.#text = readSql(table);
  }

  open(): Promise<void> {
    return this.#session.open();
  }

  async read(user: number, key: string): Promise<number | undefined> {
    const query = { name: "ladder_rehearsal_read", text: this.#text, values: [user, key] };
    const { rows } = await this.#session.use((connection) => connection.query<{ counter: string }>(query));
    return rows[0] && Number(rows[0].counter);
  }

  cut(): void {
    this.#session.cut();
  }
}
