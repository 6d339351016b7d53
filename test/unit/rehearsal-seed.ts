/** Ledgers and tables made by hand, for the verdict's tests. Each test has its own folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { DAMAGE_KINDS } from "../../rehearsal/compare.ts";
import { Ledger } from "../../rehearsal/ledger.ts";
import type { Answer, Kind, Outcome, RunPlan, ServerRow } from "../../rehearsal/model.ts";
import { type Limits, type Verdict, verdict } from "../../rehearsal/verdict.ts";

export const START = 1_000_000;
export const PLAN: RunPlan = { table: "writes", clients: 2, rate: 10, readers: 0, readRate: 0, started: START };
export const key = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

export type Step = [outcome: Outcome, ...operations: [kind: Kind, row: number, answer?: Partial<Answer>][]];
export const ins = (row: number, id = String(row)): [Kind, number, Partial<Answer>] => ["insert", row, { id }];
export const upd = (row: number, rows = 1): [Kind, number, Partial<Answer>] => ["update", row, { rows }];
export const del = (row: number, rows = 1): [Kind, number, Partial<Answer>] => ["delete", row, { rows }];
export const row = (n: number, counter = 0, id = String(n)): ServerRow => ({ user: "1", key: key(n), id, counter });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "verdict-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes are due 100 ms apart and answered 10 ms later. */
export async function seeded(steps: readonly Step[], plan = PLAN): Promise<Ledger> {
  const ledger = Ledger.create(join(folder, `${Math.random()}.db`), plan);
  for (const [index, [outcome, ...operations]] of steps.entries()) {
    const intended = START + index * 100;
    const write = index + 1;
    const planned = operations.map(([kind, n]) => ({ kind, key: key(n) }));
    await ledger.attempt({ write, client: 0, intended, operations: planned });
    if (outcome === "pending") continue;
    const answers = operations.map(([, , answer]) => ({ rows: 1, ...answer }));
    const known = outcome === "acknowledged" ? { answers } : { error: `${outcome} by test` };
    ledger.result({ write, outcome, done: intended + 10, ...known });
  }
  return ledger;
}

export async function* table(rows: readonly ServerRow[]): AsyncGenerator<ServerRow> {
  yield* rows;
}

export async function judged(steps: readonly Step[], rows: readonly ServerRow[], limits?: Limits, finished = true): Promise<Verdict> {
  const ledger = await seeded(steps);
  const ended = START + steps.length * 100;
  if (finished) ledger.finish({ stopped: ended, ended, overdue: 0 });
  else ledger.flush();
  const result = await verdict(ledger, table(rows), limits);
  ledger.close();
  return result;
}

export const counts = ({ damage }: Verdict) =>
  Object.fromEntries(DAMAGE_KINDS.map((kind) => [kind, damage[kind].count]).filter(([, n]) => n !== 0));
