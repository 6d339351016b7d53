/** The read side: reads of rows that were just acknowledged, and a probe that tries to write through the read URL. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { classify } from "./classify.ts";
import type { KnownRow, KnownRows } from "./known.ts";
import type { Ledger } from "./ledger.ts";
import { now, type ReadOutcome, type ReadResult } from "./model.ts";
import type { Schedule } from "./schedule.ts";
import type { Session } from "./session.ts";

export interface ReaderSetup {
  table: string;
  session: Session;
  ledger: Ledger;
  known: KnownRows;
  schedule: Schedule;
  onResult: (outcome: ReadOutcome) => void;
}

/** SQLSTATEs by which a read-only server or role refuses a write. */
const REFUSALS = ["42501", "25006"];

/** Turns until the schedule ends; each is one statement or transaction on the session's connection. */
async function takeTurns(
  { session, ledger, schedule, onResult }: ReaderSetup,
  abandoned: () => boolean,
  turn: (connection: pg.PoolClient) => Promise<Pick<ReadResult, "outcome" | "behind"> | undefined>,
  onError: (error: unknown) => ReadOutcome,
): Promise<void> {
  const record = (result: ReadResult) => {
    ledger.read(result);
    onResult(result.outcome);
  };
  while (!abandoned()) {
    const intended = await schedule.turn();
    if (intended === undefined) return;
    let connection: pg.PoolClient | undefined;
    try {
      connection = await session.take();
      const seen = await turn(connection);
      session.give(connection, false);
      if (seen) record({ intended, done: now(), ...seen });
    } catch (thrown) {
      const { broken, error } = classify(thrown, false);
      record({ intended, done: now(), outcome: onError(thrown), error });
      if (connection) session.give(connection, broken);
    }
  }
}

/**
 * Reads back rows at random among the latest that were acknowledged. A read is stale when it shows an older state than had been acknowledged
 * before it was sent, and nothing touched the row meanwhile.
 */
export async function runReader(setup: ReaderSetup, abandoned: () => boolean): Promise<void> {
  const { table, known } = setup;
  const read = { name: "ladder_rehearsal_read", text: `select counter from ${table} where key = $1` };
  const turn = async (connection: pg.PoolClient) => {
    const expected = known.pick(Math.random);
    const sent = now();
    const { rows } = await connection.query<{ counter: string }>({ ...read, values: [expected?.key ?? randomUUID()] });
    if (!expected || !known.unchanged(expected)) return { outcome: "fresh" as const };
    return judge(expected, rows[0] && Number(rows[0].counter), sent);
  };
  await takeTurns(setup, abandoned, turn, () => "error");
}

function judge(expected: KnownRow, counter: number | undefined, sent: number): Pick<ReadResult, "outcome" | "behind"> {
  if (counter === expected.counter) return { outcome: "fresh" };
  return { outcome: "stale", behind: sent - expected.since };
}

/** Tries an insert through the read URL, and rolls back whatever comes of it, so that the table stays the ledger's. */
export async function runProbe(setup: ReaderSetup, abandoned: () => boolean): Promise<void> {
  const turn = async (connection: pg.PoolClient) => {
    await connection.query("begin");
    try {
      await connection.query(`insert into ${setup.table} (id, key, client) values (0, $1, -1)`, [randomUUID()]);
      return { outcome: "probe-accepted" as const };
    } finally {
      await connection.query("rollback");
    }
  };
  const refused = (error: unknown) => error instanceof pg.DatabaseError && REFUSALS.includes(error.code ?? "");
  await takeTurns(setup, abandoned, turn, (error) => (refused(error) ? "probe-refused" : "probe-error"));
}
