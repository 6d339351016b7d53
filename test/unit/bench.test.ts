/** The bench's arithmetic and tables. Cannot prove: what it measures (postgres/bench). */
import { describe, expect, test } from "vitest";

import { type Comparison, compare, ratiosOf, spreadOf, turnsOf, type Variant } from "../../bench/measure.ts";
import { readReport } from "../../bench/pgbench.ts";
import { baselineTable, measuredText, ratioTable, ratioText } from "../../bench/report.ts";

describe("spread", () => {
  test("median and quartiles, between values where there is none", () => {
    expect(spreadOf([5, 1, 4, 2, 3])).toEqual({ low: 2, median: 3, high: 4 });
    expect(spreadOf([4, 1, 2, 3])).toEqual({ low: 1.75, median: 2.5, high: 3.25 });
    expect(spreadOf([7])).toEqual({ low: 7, median: 7, high: 7 });
  });
  test("of nothing is an error", () => {
    expect(() => spreadOf([])).toThrow("spread: got no values, want at least one");
  });
});

test("each variant is first in turn", () => {
  expect([0, 1, 2, 3].map((round) => turnsOf(["a", "b", "c"], round).join(""))).toEqual(["abc", "bca", "cab", "abc"]);
});

test("ratios are those of the same round, not of the medians", () => {
  const [a, b] = [
    { name: "a", measure: async () => 0 },
    { name: "b", measure: async () => 0 },
  ] as const;
  const comparison: Comparison = { what: "w", unit: "ms", variants: [a, b] };
  const samples = new Map<Variant, number[]>([
    [a, [10, 40, 90]],
    [b, [10, 10, 30]],
  ]);
  expect(ratiosOf(comparison, samples)).toEqual([
    {
      what: "w",
      unit: "ms",
      base: "a",
      variant: "b",
      ratio: { low: 2, median: 3, high: 3.5 },
      measured: { base: { low: 25, median: 40, high: 65 }, variant: { low: 10, median: 10, high: 20 } },
      rounds: 3,
    },
  ]);
});

describe("a comparison", () => {
  const logged = (rounds?: number) => {
    const log: string[] = [];
    const variant = (name: string, value: number) => ({
      name,
      before: async () => log.push(`before ${name}`),
      measure: async () => {
        log.push(name);
        return value;
      },
    });
    const comparison: Comparison = { what: "w", unit: "ms", variants: [variant("a", 6), variant("b", 2)], ...(rounds ? { rounds } : {}) };
    return { log, comparison };
  };

  test("prepares before each measurement, in turns, after a round that does not count", async () => {
    const { log, comparison } = logged();
    const [ratio] = await compare(comparison, 2);
    expect(log.join(", ")).toBe("before a, a, before b, b, before b, b, before a, a, before a, a, before b, b");
    expect([ratio!.rounds, ratio!.ratio.median]).toEqual([2, 3]);
  });

  test("measures sizes once", async () => {
    const { log, comparison } = logged(1);
    const [ratio] = await compare(comparison, 7);
    expect([log.filter((line) => line === "a").length, ratio!.rounds]).toEqual([1, 1]);
  });
});

const REPORT = `transaction type: <builtin: TPC-B (sort of)>
scaling factor: 10
number of transactions actually processed: 4012
number of failed transactions: 3 (0.075%)
latency average = 7.045 ms
tps = 1144.523456 (without initial connection time)
`;

describe("pgbench's report", () => {
  test("gives its figures", () => {
    expect(readReport(REPORT)).toEqual({ transactionsPerSecond: 1144.523456, latency: 7.045, failed: 3 });
  });
  test("without them is an error", () => {
    expect(() => readReport("connection refused")).toThrow('pgbench: got "connection refused", want tps, latency, failed');
  });
});

describe("tables", () => {
  const same = (value: number) => ({ low: value, median: value, high: value });

  test("ratios with their spread, and what was measured", () => {
    const ratio = { what: "size", unit: "bytes", base: "b-tree", variant: "BRIN", rounds: 1 } as const;
    const spread = { what: "page", unit: "ms", base: "OFFSET", variant: "keyset", rounds: 7 } as const;
    expect(
      ratioTable([
        {
          scenario: "s",
          facts: [],
          ratios: [
            { ...ratio, ratio: same(183.4), measured: { base: same(4_513_792), variant: same(24_576) } },
            { ...spread, ratio: { low: 0.914, median: 12.345, high: 1234.5 }, measured: { base: same(15.25), variant: same(0.26) } },
          ],
        },
      ]).slice(2),
    ).toEqual([
      "| size | b-tree | BRIN | **183×** | 4,514 kB → 24.6 kB |",
      "| page | OFFSET | keyset | **12.3× (0.91–1,235)** | 15.3 ms → 260 µs |",
    ]);
  });

  test.each([
    [999, "bytes", "999 B"],
    [25_000_000, "bytes", "25 MB"],
    [1.04, "ms", "1 ms"],
    [1234.56, "ms", "1,235 ms"],
    [0.0004, "ms", "0.4 µs"],
  ] as const)("%d %s is %s", (value, unit, text) => {
    expect(measuredText(value, unit)).toBe(text);
  });

  test("a ratio without spread has none shown", () => {
    expect(ratioText({ low: 2.01, median: 2.02, high: 2.03 })).toBe("2×");
  });

  test("baselines", () => {
    const baseline = {
      what: "TPC-B",
      scale: 10,
      clients: 8,
      seconds: 10,
      transactionsPerSecond: 1144.5,
      latency: 7.045,
      failed: 0,
    } as const;
    expect(baselineTable([baseline]).slice(2)).toEqual(["| TPC-B | 10 | 8 | 10 | 1,145 | 7 ms | 0 |"]);
  });
});
