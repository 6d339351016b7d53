/** From a ledger and the table to a verdict: what happened, what is damaged, and whether that passes. */
import { addDamage, type Comparison, compare, DAMAGE_KINDS, type DamageKind, type DamageReport } from "./compare.ts";
import { History, type Latencies, type Second, type Way } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import type { Outcome, RunPlan, ServerRow } from "./model.ts";
import type { ShardFigures } from "./shards.ts";
import { longestStall, type Stall } from "./stall.ts";

export interface WriteFigures {
  /** Every write that was started, by outcome. `pending`: the load process died before an answer was recorded. */
  attempted: number;
  outcomes: Record<Outcome, number>;
  /** Unknown and pending writes, looked up in the table. */
  unknownFound: number;
  unknownMissing: number;
  /** Due, never started. */
  overdue: number;
  /** Connections made in place of a broken one. */
  reconnects: number;
  latency: Latencies;
  stall: Stall;
  /** Each way by itself, where some clients took the router and others the URL. */
  ways: Way[];
  errors: { error: string; times: number }[];
}

export interface ReadFigures {
  answered: number;
  errors: number;
  stale: number;
  /** Reads through the router by the session that had written, and that did not see it. */
  unseen: number;
  /** The longest time for which an acknowledged write was seen to be missing, ms. */
  stalest: number;
  stall: Stall;
  reconnects: number;
  /** Tries to write through the read URL. */
  writesRefused: number;
  writesAccepted: number;
  messages: { error: string; times: number }[];
}

export interface Figures {
  plan: RunPlan;
  /** Seconds from the first due write to the last answer. */
  seconds: number;
  /** False when the load process died in the middle. */
  complete: boolean;
  writes: WriteFigures;
  reads: ReadFigures;
  timeline: Second[];
}

/** What a run may show and still pass. Damage is never allowed. */
export interface Limits {
  /** Writes that the application saw fail: failed, refused, unknown. @default 0 */
  failedWrites?: number;
  /** @default 0 */
  readErrors?: number;
  /** Longest write stall, ms. @default no limit */
  stall?: number;
}

export interface Verdict extends Figures {
  passed: boolean;
  /** Why it did not pass, one line each; empty when it did. */
  reasons: string[];
  damage: DamageReport;
  /** Keys in the ledger, rows in the table: all of them were compared. */
  compared: { keys: number; rows: number };
  /** What the shards hold, asked one by one; absent while there is one server. */
  shards?: ShardFigures;
}

/** Everything that the ledger alone says. */
export function figures(history: History, { unknownFound, unknownMissing }: Pick<Comparison, "unknownFound" | "unknownMissing">): Figures {
  const { plan, end } = history;
  const outcomes = history.outcomes();
  const reads = history.readOutcomes();
  const ended = history.ended();
  return {
    plan,
    seconds: (ended - plan.started) / 1000,
    complete: end !== undefined,
    writes: {
      attempted: Object.values(outcomes).reduce((sum, n) => sum + n, 0),
      outcomes,
      unknownFound,
      unknownMissing,
      overdue: end?.overdue ?? 0,
      reconnects: history.reconnects("write"),
      latency: history.latencies(),
      stall: longestStall(history.writes(), plan.started, ended),
      ways: history.ways(),
      errors: history.errors("write"),
    },
    reads: {
      answered: reads.fresh + reads.stale + reads.unseen,
      errors: reads.error,
      stale: reads.stale,
      unseen: reads.unseen,
      stalest: history.stalest(),
      stall: longestStall(history.reads(), plan.started, ended),
      reconnects: history.reconnects("read"),
      writesRefused: reads["probe-refused"],
      writesAccepted: reads["probe-accepted"],
      messages: history.errors("read"),
    },
    timeline: history.timeline(),
  };
}

export const DAMAGE_WORDS: Record<DamageKind, string> = {
  lost: "acknowledged rows lost",
  doubled: "rows doubled",
  wrong: "rows with a wrong value",
  resurrected: "deleted rows back",
  phantom: "rows that nobody wrote",
  vanished: "updates or deletes that found no row",
  torn: "transactions committed in part",
  duplicateId: "ids given twice",
};

/** The rules of passing. Pure. */
export function judge(all: Figures, comparison: Comparison, limits: Limits = {}): Verdict {
  const { damage, keys, rows } = comparison;
  const { failedWrites = 0, readErrors = 0, stall } = limits;
  const { writes, reads, plan } = all;
  const { failed, refused, unknown, acknowledged } = writes.outcomes;
  const unsuccessful = failed + refused + unknown;
  const reasons = DAMAGE_KINDS.filter((kind) => damage[kind].count > 0).map(
    (kind) => `${DAMAGE_WORDS[kind]}: got ${damage[kind].count}, want 0`,
  );
  const above = (what: string, got: number, want: number) => {
    if (got > want) reasons.push(`${what}: got ${got}, want ${want === 0 ? "0" : `at most ${want}`}`);
  };
  above(`writes failed (${failed} failed, ${refused} refused, ${unknown} unknown)`, unsuccessful, failedWrites);
  above("writes due and never started", writes.overdue, 0);
  above("read errors", reads.errors, readErrors);
  above("sessions that did not see their own write", reads.unseen, 0);
  above("writes accepted through the read URL", reads.writesAccepted, 0);
  if (stall !== undefined) above("longest write stall in ms", Math.ceil(writes.stall.ms), stall);
  if (acknowledged === 0) reasons.push("writes acknowledged: got 0, want at least 1");
  if (plan.readers > 0 && all.complete && reads.answered === 0) reasons.push("reads answered: got 0, want at least 1");
  return { passed: reasons.length === 0, reasons, ...all, damage, compared: { keys, rows } };
}

/**
 * Reconciles a ledger with the table, row by row. The load must have ended; its ledger may be one of a process that died.
 * @param rows the table, sorted by key: `tableRows` of table.ts.
 */
export async function verdict(ledger: Ledger, rows: AsyncIterable<ServerRow>, limits: Limits = {}): Promise<Verdict> {
  const history = new History(ledger);
  const comparison = await compare(history.keys(), rows, (id, key) => history.idTaken(id, key));
  for (const { id, times } of history.duplicateIds())
    addDamage(comparison.damage, "duplicateId", `id ${id}: given to ${times} rows`, times - 1);
  return judge(figures(history, comparison), comparison, limits);
}
