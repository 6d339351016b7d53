/** A rehearsed climb's steps and its report. Cannot prove: that a stack climbs (test/mirror/stage4). */
import { describe, expect, test } from "vitest";
import { passed, renderClimb, type StepReport } from "../../rehearsal/climb/report.ts";
import { readSteps, stepName, stepValues } from "../../rehearsal/climb/steps.ts";
import { noDamage } from "../../rehearsal/compare.ts";
import { compareShards, shardReasons, total } from "../../rehearsal/shards.ts";
import { ins, judged, row, seeded, table, upd } from "./rehearsal-seed.ts";

describe("steps", () => {
  test("stages, and shards where they are not the stage's own", () => {
    expect(readSteps("3,4, 4x6,3").map(stepName)).toEqual(["3", "4", "4 with 6 shards", "3"]);
  });

  test.each(["3", "", "3,9", "3,4x", "3;4", "4x1234,3"])("%j is refused", (text) => {
    expect(() => readSteps(text)).toThrow(`steps: got ${text}, want at least two of 1 to 5 such as 3,4,4x6,3`);
  });

  test("what is said about a part is left out where the stage has none; the number of shards is added", () => {
    const [one, three, four] = readSteps("1,3,4x6");
    const values = { port: "6690", replicas: "{}", cache: "{}", shards: '{"memory":"1GB"}' };
    expect(stepValues(one!, values)).toEqual({ port: "6690", stage: "1" });
    expect(stepValues(three!, values)).toEqual({ port: "6690", replicas: "{}", cache: "{}", stage: "3" });
    expect(stepValues(four!, values)).toEqual({ ...values, stage: "4", shards: '{"memory":"1GB","count":6}' });
    expect(stepValues({ stage: 4, shards: undefined }, {})).toEqual({ stage: "4", shards: "{}" });
  });
});

const speeds = (perSecond: number, p99: number, cpu = 0.5) => ({
  router: { perSecond, p99, cpu },
  url: { perSecond: perSecond / 2, p99: 2 * p99, cpu: 2 * cpu },
});

async function stepOf(more: Partial<StepReport>): Promise<StepReport> {
  const verdict = await judged([["acknowledged", ins(1)]], [row(1)]);
  const visitor = { written: 7, read: 7, failed: 0, longest: 12 };
  return { step: "3 → 4", seconds: 91.4, verdict, visitor, wrong: [], speeds: undefined, pgbench: undefined, ...more };
}

describe("report", () => {
  test("a line each step; ratios against what was measured before the first", async () => {
    const runs = [{ what: "insert", perSecond: 50, failed: 0 }] as const;
    const step = await stepOf({
      speeds: speeds(970, 11, 0.45),
      pgbench: { during: runs, after: [{ what: "TPC-B", perSecond: 0, failed: 0, error: "client 1 aborted" }] },
    });
    const report = { messages: 2_000_000, speeds: speeds(1000, 10), pgbench: runs, steps: [step] };
    expect(passed(report)).toBe(true);
    const lines = renderClimb(report);
    expect(lines).toContain("| 3 → 4 | 91 s | 1 of 1 | 0 | 0 | 0 | 0 | – | 0 of 0 | 0 | equal | 10 ms | passed |");
    expect(lines).toContain("| 3 → 4 | 970 | 0.97 | 11 ms | 1.10 | 0.45 ms | 0.90 | 485 | 0.97 | 22 ms | 1.10 | 0.90 ms | 0.90 |");
    expect(lines).toContain("| during 3 → 4 | insert | 50 | 0 |");
    expect(lines).toContain("| after 3 → 4 | TPC-B | 0 | client 1 aborted |");
    expect(lines.at(-1)).toBe("passed");
  });

  test("what is wrong anywhere fails it, by name", async () => {
    const step = await stepOf({ wrong: ["messages: got 1 rows with sum 3, want 2 rows with sum 4"] });
    const report = { messages: 2, speeds: undefined, pgbench: [], steps: [await stepOf({}), step] };
    expect(passed(report)).toBe(false);
    const lines = renderClimb(report);
    expect(lines.filter((line) => line.includes("| differ |"))).toHaveLength(1);
    expect(lines).toContain("- 3 → 4: messages: got 1 rows with sum 3, want 2 rows with sum 4");
    expect(lines.at(-1)).toBe("NOT passed");
  });
});

describe("shards read straight", () => {
  const map = { shards: ["a", "b"].map((name) => ({ name, url: name })), buckets: Array.from({ length: 64 }, (_, bucket) => bucket % 2) };
  const steps = [1, 2, 3].map((n) => ["acknowledged", ins(n), ...(n > 1 ? [upd(n - 1)] : [])] as Parameters<typeof seeded>[0][number]);
  // User 1 has bucket 56 of 64: shard a.
  const rows = [row(1, 1), row(2, 1), row(3)];

  test("rows of all shards together are what the ledger says, each on its own shard", async () => {
    const ledger = await seeded(steps);
    const found = await compareShards(ledger, map, [table(rows), table([])]);
    expect(found.misplaced).toEqual({ count: 0, examples: [] });
    const same = { rows: 3, sum: "-5" };
    expect(shardReasons({ gateway: same, shards: [{ name: "a", ...same }], ...found })).toEqual([]);
    ledger.close();
  });

  test("a row on a wrong shard, a row on both, and sums that differ are named", async () => {
    const ledger = await seeded(steps);
    const found = await compareShards(ledger, map, [table([row(1, 1), row(3)]), table([row(2, 1), row(3)])]);
    const shards = [
      { name: "a", rows: 2, sum: "9007199254740993" },
      { name: "b", rows: 2, sum: "1" },
    ];
    expect(total(shards)).toEqual({ rows: 4, sum: "9007199254740994" });
    expect(shardReasons({ gateway: { rows: 3, sum: "9007199254740993" }, shards, ...found })).toEqual([
      "rows on the shards: got 4, want the gateway's 3",
      "checksum of the shards: got 9007199254740994, want the gateway's 9007199254740993",
      "rows on a wrong shard: got 2, want 0",
      "on the shards, rows doubled: got 1, want 0",
    ]);
    ledger.close();
  });

  test("damage is a reason by itself", () => {
    const damage = { ...noDamage(), lost: { count: 3, examples: [] } };
    const same = { rows: 0, sum: "0" };
    expect(shardReasons({ gateway: same, shards: [], misplaced: { count: 0, examples: [] }, damage })).toEqual([
      "on the shards, acknowledged rows lost: got 3, want 0",
    ]);
  });
});
