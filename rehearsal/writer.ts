/** One simulated client: one connection, its own rows, its own schedule. */
import { randomUUID } from "node:crypto";
import type pg from "pg";
import { classify } from "./classify.ts";
import type { KnownRows } from "./known.ts";
import type { Ledger } from "./ledger.ts";
import { type Answer, type Kind, now, type Operation, type Result } from "./model.ts";
import type { Schedule } from "./schedule.ts";
import type { Session } from "./session.ts";

/** The mix, in order: four transactions (insert a row, update another), two single inserts, three single updates, one delete in ten. */
const MIX: readonly (readonly Kind[])[] = [
  ["insert", "update"],
  ["insert"],
  ["update"],
  ["insert", "update"],
  ["update"],
  ["insert"],
  ["insert", "update"],
  ["delete"],
  ["update"],
  ["insert", "update"],
];

/** Own rows that a client goes on changing; older ones stay in the table as they are. */
const OWN_ROWS = 500;

interface OwnRow {
  key: string;
  counter: number;
}

export interface WriterSetup {
  client: number;
  table: string;
  session: Session;
  ledger: Ledger;
  known: KnownRows;
  schedule: Schedule;
  /** A number for every write of the run, rising. */
  nextWrite: () => number;
  onResult: (outcome: Result["outcome"]) => void;
}

export class Writer {
  readonly #setup: WriterSetup;
  readonly #rows: OwnRow[] = [];
  readonly #sql: Record<Kind, string>;
  #turns: number;

  constructor(setup: WriterSetup) {
    this.#setup = setup;
    this.#turns = setup.client;
    this.#sql = {
      insert: `insert into ${setup.table} (key, client) values ($1, $2) returning id`,
      update: `update ${setup.table} set counter = counter + 1, changed_at = now() where key = $1 and client = $2`,
      delete: `delete from ${setup.table} where key = $1 and client = $2`,
    };
  }

  /**
   * Writes until the schedule ends or `abandoned` says that the drain time is over.
   * @throws when the ledger cannot record any more.
   */
  async run(abandoned: () => boolean): Promise<void> {
    while (!abandoned()) {
      const intended = await this.#setup.schedule.turn();
      if (intended === undefined) return;
      await this.#write(intended);
    }
  }

  async #write(intended: number): Promise<void> {
    const { client, ledger, known, nextWrite, onResult } = this.#setup;
    const write = nextWrite();
    const operations = this.#plan();
    for (const { key } of operations) known.begin(key);
    await ledger.attempt({ write, client, intended, operations });
    const result = await this.#execute(write, operations);
    ledger.result(result);
    onResult(result.outcome);
    this.#learn(operations, result);
  }

  /** The mix's next shape on this client's own rows; a client without rows inserts one. */
  #plan(): Operation[] {
    const shape = MIX[this.#turns++ % MIX.length]!;
    const own = this.#rows[(this.#turns * 7919) % Math.max(1, this.#rows.length)];
    const operations = shape.flatMap((kind): Operation[] => {
      if (kind === "insert") return [{ kind, key: randomUUID() }];
      return own ? [{ kind, key: own.key }] : [];
    });
    return operations.length > 0 ? operations : [{ kind: "insert", key: randomUUID() }];
  }

  async #execute(write: number, operations: readonly Operation[]): Promise<Result> {
    const { session } = this.#setup;
    let connection: pg.PoolClient;
    try {
      connection = await session.take();
    } catch (error) {
      return { write, outcome: "refused", done: now(), error: classify(error, false).error };
    }
    let committing = operations.length === 1;
    try {
      const answers: Answer[] = [];
      const transaction = operations.length > 1;
      if (transaction) await connection.query("begin");
      for (const operation of operations) answers.push(await this.#send(connection, write, operation));
      committing = true;
      const command = transaction ? (await connection.query("commit")).command : "COMMIT";
      session.give(connection, false);
      if (command !== "COMMIT") return { write, outcome: "failed", done: now(), error: `commit was answered with ${command}` };
      return { write, outcome: "acknowledged", done: now(), answers };
    } catch (thrown) {
      const { outcome, broken, error } = classify(thrown, committing);
      const done = now();
      const usable = !broken && (operations.length === 1 || (await rolledBack(connection)));
      session.give(connection, !usable);
      return { write, outcome, done, error };
    }
  }

  /** Every other write uses prepared statements by name, as many drivers do; the others are parsed each time. */
  async #send(connection: pg.PoolClient, write: number, { kind, key }: Operation): Promise<Answer> {
    const query = { text: this.#sql[kind], values: [key, this.#setup.client] };
    const named = write % 2 === 0 ? { ...query, name: `ladder_rehearsal_${kind}` } : query;
    const { rows, rowCount } = await connection.query<{ id?: string }>(named);
    const id = rows[0]?.id;
    return { rows: rowCount ?? 0, ...(id === undefined ? {} : { id }) };
  }

  #learn(operations: readonly Operation[], { outcome, done, answers = [] }: Result): void {
    const { known } = this.#setup;
    for (const [position, { kind, key }] of operations.entries()) {
      const at = this.#rows.findIndex((row) => row.key === key);
      if (outcome === "failed" || outcome === "refused") known.cancel(key);
      else if (outcome === "unknown" || answers[position]?.rows !== 1) this.#forget(at);
      else if (kind === "insert") {
        this.#rows.push({ key, counter: 0 });
        if (this.#rows.length > OWN_ROWS) this.#rows.shift();
        known.acknowledge(key, 0, done);
      } else if (kind === "delete") {
        this.#forget(at);
        known.acknowledge(key, undefined, done);
      } else {
        const row = this.#rows[at]!;
        row.counter++;
        known.acknowledge(key, row.counter, done);
      }
    }
  }

  /** A row whose state is in doubt is left alone, so that the table can tell later what became of the last operation. */
  #forget(at: number): void {
    if (at >= 0) this.#rows.splice(at, 1);
  }
}

async function rolledBack(connection: pg.PoolClient): Promise<boolean> {
  return connection.query("rollback").then(
    () => true,
    () => false,
  );
}
