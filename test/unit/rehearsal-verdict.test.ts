/** The verdict on ledgers and tables made by hand: every kind of damage is named, exactly, and nothing else is. */
import { describe, expect, test } from "vitest";
import { DAMAGE_KINDS, type DamageKind } from "../../rehearsal/compare.ts";
import type { Answer, Kind, ServerRow } from "../../rehearsal/model.ts";
import { renderVerdict } from "../../rehearsal/render.ts";
import { verdict } from "../../rehearsal/verdict.ts";
import { counts, del, ins, judged, key, PLAN, row, START, type Step, seeded, table, upd } from "./rehearsal-seed.ts";

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
    [
      "undone delete, new id",
      CLEAN,
      [row(1, 2), row(2), row(3, 0, "9")],
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
    expect((await judged(steps, [row(1)], { failedWrites: 3, stall: 300 })).passed).toBe(true);
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
      unseen: 0,
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
});
