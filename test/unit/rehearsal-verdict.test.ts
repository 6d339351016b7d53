/** The verdict on ledgers and tables made by hand: every kind of damage is named, exactly, and nothing else is. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DAMAGE_KINDS, type DamageKind } from "../../rehearsal/compare.ts";
import { Ledger } from "../../rehearsal/ledger.ts";
import type { Answer, Kind, Outcome, RunPlan, ServerRow } from "../../rehearsal/model.ts";
import { renderVerdict } from "../../rehearsal/render.ts";
import { type Limits, type Verdict, verdict } from "../../rehearsal/verdict.ts";

const START = 1_000_000;
const PLAN: RunPlan = { table: "writes", clients: 2, rate: 10, readers: 0, readRate: 0, started: START };
const key = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

type Step = [outcome: Outcome, ...operations: [kind: Kind, row: number, answer?: Partial<Answer>][]];
const ins = (row: number, id = String(row)): [Kind, number, Partial<Answer>] => ["insert", row, { id }];
const upd = (row: number, rows = 1): [Kind, number, Partial<Answer>] => ["update", row, { rows }];
const del = (row: number, rows = 1): [Kind, number, Partial<Answer>] => ["delete", row, { rows }];
const row = (n: number, counter = 0, id = String(n)): ServerRow => ({ key: key(n), id, counter });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "verdict-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes are due 100 ms apart and answered 10 ms later. */
async function seeded(steps: readonly Step[], plan = PLAN): Promise<Ledger> {
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

async function* table(rows: readonly ServerRow[]): AsyncGenerator<ServerRow> {
  yield* rows;
}

async function judged(steps: readonly Step[], rows: readonly ServerRow[], limits?: Limits, finished = true): Promise<Verdict> {
  const ledger = await seeded(steps);
  const ended = START + steps.length * 100;
  if (finished) ledger.finish({ stopped: ended, ended, overdue: 0 });
  else ledger.flush();
  const result = await verdict(ledger, table(rows), limits);
  ledger.close();
  return result;
}

const counts = ({ damage }: Verdict) =>
  Object.fromEntries(DAMAGE_KINDS.map((kind) => [kind, damage[kind].count]).filter(([, n]) => n !== 0));

const CLEAN: Step[] = [
  ["acknowledged", ins(1)],
  ["acknowledged", ins(2), upd(1)],
  ["acknowledged", upd(1)],
  ["acknowledged", ins(3)],
  ["acknowledged", del(3)],
];

describe("verdict", () => {
  test("a clean run passes, with its figures", async () => {
    const result = await judged(CLEAN, [row(1, 2), row(2)]);
    expect(result).toMatchObject({ passed: true, reasons: [], seconds: 0.5, complete: true, compared: { keys: 3, rows: 2 } });
    expect(result.writes).toMatchObject({
      attempted: 5,
      reconnects: 0,
      latency: { p50: 10, p95: 10, p99: 10, longest: 10 },
      stall: { ms: 10 },
    });
    expect(result.timeline).toEqual([
      { at: 0, due: 5, acknowledged: 5, errors: 0, reconnects: 0, slowest: 10, reads: 0, readErrors: 0, marks: [] },
    ]);
  });

  const acked = (...operations: [Kind, number, Partial<Answer>][]): Step => ["acknowledged", ...operations];
  test.each<[string, Step[], ServerRow[], Partial<Record<DamageKind, number>>, string]>([
    ["lost row", CLEAN, [row(1, 2)], { lost: 1 }, `${key(2)}: acknowledged with counter 0, not in the table`],
    ["row twice", CLEAN, [row(1, 2), row(2), row(2)], { doubled: 1 }, `${key(2)}: 2 rows`],
    ["row three times", CLEAN, [row(1, 2), row(1, 2), row(1, 2), row(2)], { doubled: 2 }, `${key(1)}: 3 rows`],
    ["lost update", CLEAN, [row(1, 1), row(2)], { wrong: 1 }, `${key(1)}: got counter 1, want 2 (1 lost)`],
    ["doubled update", CLEAN, [row(1, 4), row(2)], { wrong: 1 }, `${key(1)}: got counter 4, want 2 (2 too many)`],
    ["other id", CLEAN, [row(1, 2, "99"), row(2)], { wrong: 1 }, `${key(1)}: got id 99, want 1`],
    [
      "undone delete",
      CLEAN,
      [row(1, 2), row(2), row(3)],
      { resurrected: 1 },
      `${key(3)}: acknowledged as deleted, in the table with counter 0`,
    ],
    ["phantom first", CLEAN, [row(0), row(1, 2), row(2)], { phantom: 1 }, `${key(0)}: in the table with counter 0, never written`],
    ["phantom last", CLEAN, [row(1, 2), row(2), row(4)], { phantom: 1 }, `${key(4)}: in the table with counter 0, never written`],
    [
      "another row's id",
      CLEAN,
      [row(1, 2), row(2), row(4, 0, "3")],
      { phantom: 1, duplicateId: 1 },
      `id 3: ${key(4)} has the id of another row`,
    ],
    ["id given twice", [acked(ins(1)), acked(ins(2, "1"))], [row(1), row(2, 0, "1")], { duplicateId: 1 }, "id 1: given to 2 rows"],
    [
      "id of a deleted row given again",
      [acked(ins(1)), acked(del(1)), acked(ins(2, "1"))],
      [row(2, 0, "1")],
      { duplicateId: 1 },
      "id 1: given to 2 rows",
    ],
    [
      "update found nothing",
      [acked(ins(1)), acked(upd(1, 0))],
      [row(1)],
      { vanished: 1 },
      `${key(1)}: update of write 2 was acknowledged with 0 rows`,
    ],
    [
      "delete found nothing, row stayed",
      [acked(ins(1)), acked(del(1, 0))],
      [row(1)],
      { vanished: 1 },
      `${key(1)}: delete of write 2 was acknowledged with 0 rows`,
    ],
    [
      "delete found nothing, row gone",
      [acked(ins(1)), acked(del(1, 0))],
      [],
      { vanished: 1, lost: 1 },
      `${key(1)}: delete of write 2 was acknowledged with 0 rows`,
    ],
    [
      "update touched two rows",
      [acked(ins(1)), acked(upd(1, 2))],
      [row(1, 1)],
      { doubled: 1 },
      `${key(1)}: update of write 2 touched 2 rows`,
    ],
  ])("%s", async (_, steps, rows, damage, example) => {
    const result = await judged(steps, rows);
    expect(counts(result)).toEqual(damage);
    expect(DAMAGE_KINDS.flatMap((kind) => result.damage[kind].examples)).toContain(example);
    expect(result.passed).toBe(false);
    expect(result.reasons).toHaveLength(Object.keys(damage).length);
  });

  test("a write answered with an error must not be there", async () => {
    const result = await judged(
      [
        ["acknowledged", ins(1)],
        ["failed", ins(2), upd(1)],
        ["refused", ins(3)],
      ],
      [row(1), row(3)],
      { failedWrites: 2 },
    );
    expect(counts(result)).toEqual({ phantom: 1 });
    expect(result.reasons).toEqual(["rows that nobody wrote: got 1, want 0"]);
  });

  test("unknown writes are looked up: found whole, missing whole, or torn", async () => {
    const steps: Step[] = [
      ["acknowledged", ins(1)],
      ["acknowledged", ins(2)],
      ["acknowledged", ins(3)],
      ["unknown", ins(4), upd(1)],
      ["unknown", ins(5), upd(2)],
      ["unknown", del(3)],
    ];
    const found = await judged(steps, [row(1, 1), row(2), row(4)], { failedWrites: 3 });
    expect(found).toMatchObject({ passed: true, writes: { unknownFound: 2, unknownMissing: 1 } });
    const torn = await judged(steps, [row(1), row(2), row(3), row(4)], { failedWrites: 3 });
    expect(torn).toMatchObject({ passed: false, writes: { unknownFound: 1, unknownMissing: 2 } });
    expect(counts(torn)).toEqual({ torn: 1 });
    expect(torn.damage.torn.examples).toEqual(["write 4: 1 of 2 operations are in the table"]);
    const damaged = await judged(steps, [row(1, 2), row(4, 1), row(5)], { failedWrites: 3 });
    expect(counts(damaged)).toMatchObject({ wrong: 2, lost: 1 });
    expect(damaged.damage.wrong.examples).toEqual([
      `${key(1)}: got counter 2, want 0 or 1 (1 too many)`,
      `${key(4)}: got counter 1, want 0 (1 too many)`,
    ]);
  });

  test("two rows of unknown inserts with one id", async () => {
    const result = await judged(
      [
        ["acknowledged", ins(1)],
        ["unknown", ins(2)],
        ["unknown", ins(3)],
      ],
      [row(1), row(2, 0, "7"), row(3, 0, "7")],
    );
    expect(counts(result)).toEqual({ duplicateId: 1 });
  });

  test("failures fail the run unless they are allowed, and so does a run that proved nothing", async () => {
    const steps: Step[] = [
      ["acknowledged", ins(1)],
      ["failed", ins(2)],
      ["refused", ins(3)],
      ["unknown", ins(4)],
    ];
    expect((await judged(steps, [row(1)])).reasons).toEqual(["writes failed (1 failed, 1 refused, 1 unknown): got 3, want 0"]);
    expect((await judged(steps, [row(1)], { failedWrites: 2 })).reasons).toEqual([
      "writes failed (1 failed, 1 refused, 1 unknown): got 3, want at most 2",
    ]);
    expect((await judged(steps, [row(1)], { failedWrites: 3 })).passed).toBe(true);
    expect((await judged(steps, [row(1)], { failedWrites: 3, stall: 300 })).reasons).toEqual(
      ["longest write stall in ms: got 300, want at most 299"].slice(1),
    );
    expect((await judged(steps, [row(1)], { failedWrites: 3, stall: 299 })).reasons).toEqual([
      "longest write stall in ms: got 300, want at most 299",
    ]);
    expect((await judged([], [])).reasons).toEqual(["writes acknowledged: got 0, want at least 1"]);
  });

  test("a load process that died leaves pending writes, which are looked up and blame nobody", async () => {
    const result = await judged(
      [
        ["acknowledged", ins(1)],
        ["pending", ins(2)],
        ["pending", ins(3)],
      ],
      [row(1), row(2)],
      {},
      false,
    );
    expect(result).toMatchObject({
      passed: true,
      complete: false,
      writes: { outcomes: { pending: 2 }, unknownFound: 1, unknownMissing: 1 },
    });
    expect(renderVerdict(result)).toContain("The load process died before its end");
  });

  test("reads, probes, reconnects, marks and overdue writes are counted and judged", async () => {
    const ledger = await seeded([["acknowledged", ins(1)]], { ...PLAN, readers: 1, readRate: 1 });
    ledger.read({ intended: START + 100, done: START + 120, outcome: "fresh" });
    ledger.read({ intended: START + 200, done: START + 230, outcome: "stale", behind: 42 });
    ledger.read({ intended: START + 300, done: START + 1300, outcome: "error", error: "gone" });
    ledger.read({ intended: START + 300, done: START + 310, outcome: "probe-refused", error: "42501 no" });
    ledger.read({ intended: START + 400, done: START + 410, outcome: "probe-accepted" });
    ledger.reconnect(START + 1100, "write");
    ledger.reconnect(START + 1100, "read");
    ledger.mark({ at: START + 1500, text: "switchover" });
    ledger.finish({ stopped: START + 2000, ended: START + 2500, overdue: 4, overdueSince: START + 1900 });
    const result = await verdict(ledger, table([row(1)]));
    ledger.close();
    expect(result.reads).toEqual({
      answered: 2,
      errors: 1,
      stale: 1,
      stalest: 42,
      stall: { ms: 2200, from: START + 300 },
      reconnects: 1,
      writesRefused: 1,
      writesAccepted: 1,
      messages: [{ error: "gone", times: 1 }],
    });
    expect(result.writes).toMatchObject({ overdue: 4, reconnects: 1, stall: { ms: 600, from: START + 1900 } });
    expect(result.timeline.map(({ reconnects, reads, readErrors, marks }) => [reconnects, reads, readErrors, marks])).toEqual([
      [0, 2, 0, []],
      [1, 1, 1, ["switchover"]],
      [0, 0, 0, []],
    ]);
    expect(result.reasons).toEqual([
      "writes due and never started: got 4, want 0",
      "read errors: got 1, want 0",
      "writes accepted through the read URL: got 1, want 0",
    ]);
    const text = renderVerdict(result);
    expect(text).toContain("stale, longest behind            1, 42 ms");
    expect(text).toContain("switchover");
    expect(text.split("\n").at(-4)).toBe("NOT passed:");
  });

  test("property: in any history, one seeded damage is found as what it is, and without it there is none", async () => {
    const history = fc.array(fc.record({ updates: fc.nat(3), deleted: fc.boolean() }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(
        history,
        fc.nat(),
        fc.constantFrom("none", "lost", "doubled", "wrong", "resurrected", "phantom"),
        async (rows, at, kind) => {
          const steps = rows.flatMap(({ updates, deleted }, n): Step[] => [
            ["acknowledged", ins(2 * n)],
            ...Array.from({ length: updates }, (): Step => ["acknowledged", upd(2 * n)]),
            ...(deleted ? ([["acknowledged", del(2 * n)]] satisfies Step[]) : []),
          ]);
          const alive = rows.flatMap(({ updates, deleted }, n) => (deleted ? [] : [row(2 * n, updates)]));
          const dead = rows.flatMap(({ deleted }, n) => (deleted ? [row(2 * n)] : []));
          const victim = alive[at % Math.max(1, alive.length)];
          const revived = dead[at % Math.max(1, dead.length)];
          fc.pre(kind === "none" || kind === "phantom" || (kind === "resurrected" ? revived : victim) !== undefined);
          const damaged = {
            none: () => alive,
            lost: () => alive.filter((one) => one !== victim),
            doubled: () => [...alive, victim!],
            wrong: () => alive.map((one) => (one === victim ? { ...one, counter: one.counter + 1 } : one)),
            resurrected: () => [...alive, revived!],
            phantom: () => [...alive, row(2 * (at % rows.length) + 1, 0, "999999")],
          }[kind]();
          const result = await judged(
            steps,
            damaged.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
          );
          expect(counts(result)).toEqual(kind === "none" ? {} : { [kind]: 1 });
          expect(result.passed).toBe(kind === "none");
        },
      ),
      { numRuns: 60 },
    );
  });
});
