/** Through the client library's router: straight to the shard of a row's user, at the write URL's server while there are no shards. */
import { type Answer as Answered, type Database, PoolTimeout, type Row, type Session, UnknownOutcome } from "../client/index.ts";
import { classify } from "./classify.ts";
import type { ReadDoor, WriteDoor } from "./doors.ts";
import { type Answer, type Change, type Kind, now, type Outcome, type Result } from "./model.ts";
import { readSql, writeSql } from "./table.ts";

type Send = (sql: string, values: readonly unknown[]) => Promise<Answered<Row>>;

/** The library says itself when an outcome is unknown; every other error is certain. */
function outcomeOf(error: unknown): Exclude<Outcome, "pending" | "acknowledged"> {
  if (error instanceof UnknownOutcome) return "unknown";
  return error instanceof PoolTimeout ? "refused" : "failed";
}

export class RouterWrites implements WriteDoor {
  readonly oneUser = true;
  /** The client's own: it sees what it wrote. */
  readonly #session: Session;
  readonly #sql: Record<Kind, string>;
  readonly #read: string;
  readonly #client: number;
  readonly #cut = Promise.withResolvers<void>();

  constructor(router: Database, table: string, client: number) {
    this.#session = router.session();
    this.#sql = writeSql(table);
    this.#read = readSql(table);
    this.#client = client;
  }

  async open(): Promise<void> {
    await this.#session.shard(this.#client).read("select");
  }

  write(write: number, changes: readonly Change[]): Promise<Result> {
    const cut = this.#cut.promise.then((): Result => ({ write, outcome: "unknown", done: now(), error: "given up" }));
    return Promise.race([this.#write(write, changes), cut]);
  }

  async readOwn(user: number, key: string): Promise<number | undefined> {
    const [row] = await this.#session.shard(user).read<{ counter: string }>(this.#read, [user, key]);
    return row && Number(row.counter);
  }

  cut(): void {
    this.#cut.resolve();
  }

  async #write(write: number, changes: readonly Change[]): Promise<Result> {
    try {
      const shard = this.#session.shard(changes.map(({ user }) => user));
      const single: Send = (sql, values) => shard.write(sql, values);
      const answers =
        changes.length === 1
          ? await this.#send(single, changes)
          : await shard.transaction((tx) => this.#send((...q) => tx.query(...q), changes));
      return { write, outcome: "acknowledged", done: now(), answers };
    } catch (thrown) {
      return { write, outcome: outcomeOf(thrown), done: now(), error: classify(thrown, false).error };
    }
  }

  async #send(send: Send, changes: readonly Change[]): Promise<Answer[]> {
    const answers: Answer[] = [];
    for (const { kind, user, key } of changes) {
      const { rows, count } = await send(this.#sql[kind], [user, key, this.#client]);
      const id = rows[0]?.id as string | undefined;
      answers.push({ rows: count, ...(id === undefined ? {} : { id }) });
    }
    return answers;
  }
}

export class RouterReads implements ReadDoor {
  readonly #router: Database;
  readonly #text: string;

  constructor(router: Database, table: string) {
    this.#router = router;
    this.#text = readSql(table);
  }

  async open(): Promise<void> {
    await this.#router.shard(0).read("select");
  }

  async read(user: number, key: string): Promise<number | undefined> {
    const [row] = await this.#router.shard(user).read<{ counter: string }>(this.#text, [user, key]);
    return row && Number(row.counter);
  }

  /** A read that nobody waits for changes nothing. */
  cut(): void {}
}
