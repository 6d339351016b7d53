/** The read side: reads of rows that were just acknowledged, and a probe that tries to write through the read URL. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { classify } from "./classify.ts";
import type { ReadDoor } from "./doors.ts";
import type { KnownRows } from "./known.ts";
import type { Ledger } from "./ledger.ts";
import { now, type ReadOutcome, type ReadResult } from "./model.ts";
import type { Schedule } from "./schedule.ts";
import type { Session } from "./session.ts";

export interface ReaderSetup {
  ledger: Ledger;
  schedule: Schedule;
  onResult: (outcome: ReadOutcome) => void;
}

/** SQLSTATEs by which a read-only server or role refuses a write. */
const REFUSALS = ["42501", "25006"];

type Seen = Pick<ReadResult, "outcome" | "behind">;

/** Turns until the schedule ends. */
async function takeTurns(
  { ledger, schedule, onResult }: ReaderSetup,
  abandoned: () => boolean,
  turn: () => Promise<Seen>,
  onError: (error: unknown) => ReadOutcome,
): Promise<void> {
  while (!abandoned()) {
    const intended = await schedule.turn();
    if (intended === undefined) return;
    const seen = await turn().catch((thrown: unknown) => ({ outcome: onError(thrown), error: classify(thrown, false).error }));
    ledger.read({ intended, done: now(), ...seen });
    onResult(seen.outcome);
  }
}

/**
 * Reads back rows at random among the latest that were acknowledged. A read is stale when it shows an older state than had been acknowledged
 * before it was sent, and nothing touched the row meanwhile.
 */
export async function runReader(setup: ReaderSetup & { door: ReadDoor; known: KnownRows }, abandoned: () => boolean): Promise<void> {
  const { door, known } = setup;
  const turn = async (): Promise<Seen> => {
    const expected = known.pick(Math.random);
    const sent = now();
    const counter = await door.read(expected?.user ?? 0, expected?.key ?? randomUUID());
    if (!expected || !known.unchanged(expected) || counter === expected.counter) return { outcome: "fresh" };
    return { outcome: "stale", behind: sent - expected.since };
  };
  await takeTurns(setup, abandoned, turn, () => "error");
}

/** Tries an insert through the read URL, and rolls back whatever comes of it, so that the table stays the ledger's. */
export async function runProbe(setup: ReaderSetup & { session: Session; table: string }, abandoned: () => boolean): Promise<void> {
  const { session, table } = setup;
  const turn = () =>
    session.use(async (connection): Promise<Seen> => {
      await connection.query("begin");
      try {
        await connection.query(`insert into ${table} (id, user_id, key, client) values (0, 0, $1, -1)`, [randomUUID()]);
        return { outcome: "probe-accepted" };
      } finally {
        await connection.query("rollback");
      }
    });
  const refused = (error: unknown) => error instanceof pg.DatabaseError && REFUSALS.includes(error.code ?? "");
  await takeTurns(setup, abandoned, turn, (error) => (refused(error) ? "probe-refused" : "probe-error"));
}
