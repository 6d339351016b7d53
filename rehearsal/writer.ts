/** One simulated client: one way to the database, its own rows, its own schedule. */
import { randomUUID } from "node:crypto";
import { classify } from "./classify.ts";
import type { WriteDoor } from "./doors.ts";
import type { KnownRows } from "./known.ts";
import type { Ledger } from "./ledger.ts";
import { type Change, type Kind, now, type ReadOutcome, type Result } from "./model.ts";
import type { Schedule } from "./schedule.ts";

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
/** Users whose rows a client writes: nobody else does. */
const OWN_USERS = 8;
/** Of its writes a client reads every fifth back, where its way promises that it sees it. */
const READ_BACK = 5;

interface OwnRow {
  key: string;
  user: number;
  counter: number;
}

export interface WriterSetup {
  client: number;
  door: WriteDoor;
  ledger: Ledger;
  known: KnownRows;
  schedule: Schedule;
  /** A number for every write of the run, rising. */
  nextWrite: () => number;
  onResult: (outcome: Result["outcome"]) => void;
  onRead: (outcome: ReadOutcome) => void;
}

export class Writer {
  readonly #setup: WriterSetup;
  readonly #rows: OwnRow[] = [];
  #turns: number;

  constructor(setup: WriterSetup) {
    this.#setup = setup;
    this.#turns = setup.client;
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
    const { client, door, ledger, known, nextWrite, onResult } = this.#setup;
    const write = nextWrite();
    const changes = this.#plan();
    for (const { key } of changes) known.begin(key);
    await ledger.attempt({ write, client, intended, operations: changes });
    const result = await door.write(write, changes);
    ledger.result(result);
    onResult(result.outcome);
    this.#learn(changes, result);
    if (this.#turns % READ_BACK === 0 && result.outcome === "acknowledged") await this.#readBack(changes[0]!.key);
  }

  /** The mix's next shape on this client's own rows; a client without rows inserts one. */
  #plan(): Change[] {
    const shape = MIX[this.#turns++ % MIX.length]!;
    const own = this.#rows[(this.#turns * 7919) % Math.max(1, this.#rows.length)];
    const [first] = shape;
    const planned = first !== "insert" && !own ? (["insert"] as const) : shape;
    return planned.flatMap((kind): Change[] => {
      if (kind === "insert") return [{ kind, key: randomUUID(), user: this.#newUser(own, planned.length > 1) }];
      return own ? [{ kind, key: own.key, user: own.user }] : [];
    });
  }

  #newUser(beside: OwnRow | undefined, transaction: boolean): number {
    const { client, door } = this.#setup;
    return transaction && door.oneUser && beside ? beside.user : client * OWN_USERS + (this.#turns % OWN_USERS);
  }

  #learn(changes: readonly Change[], { outcome, done, answers = [] }: Result): void {
    const { known } = this.#setup;
    for (const [position, { kind, key, user }] of changes.entries()) {
      const at = this.#rows.findIndex((row) => row.key === key);
      if (outcome === "failed" || outcome === "refused") known.cancel(key);
      else if (outcome === "unknown" || answers[position]?.rows !== 1) this.#forget(at);
      else if (kind === "insert") {
        this.#rows.push({ key, user, counter: 0 });
        if (this.#rows.length > OWN_ROWS) this.#rows.shift();
        known.acknowledge({ key, user }, 0, done);
      } else if (kind === "delete") {
        this.#forget(at);
        known.acknowledge({ key, user }, undefined, done);
      } else {
        const row = this.#rows[at]!;
        row.counter++;
        known.acknowledge({ key, user }, row.counter, done);
      }
    }
  }

  /** Nobody else touches the row: what is read must be what was just acknowledged. */
  async #readBack(key: string): Promise<void> {
    const { door, ledger, onRead } = this.#setup;
    const row = this.#rows.find((one) => one.key === key);
    if (!row || !door.readOwn) return;
    const intended = now();
    const record = (outcome: ReadOutcome, error?: string) => {
      ledger.read({ intended, done: now(), outcome, ...(error === undefined ? {} : { error }) });
      onRead(outcome);
    };
    await door.readOwn(row.user, key).then(
      (counter) => record(counter === row.counter ? "fresh" : "unseen"),
      (error: unknown) => record("error", classify(error, false).error),
    );
  }

  /** A row whose state is in doubt is left alone, so that the table can tell later what became of the last operation. */
  #forget(at: number): void {
    if (at >= 0) this.#rows.splice(at, 1);
  }
}
