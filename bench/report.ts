/** What a run found, as text and as Markdown tables. */
import type { Baseline } from "./baseline.ts";
import type { Ratio, Spread } from "./measure.ts";

export interface Found {
  scenario: string;
  ratios: readonly Ratio[];
  facts: readonly string[];
}

/** Three significant digits at most; no false precision. */
function shortened(value: number): string {
  if (value >= 100) return new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 }).format(value);
  return Number(value.toPrecision(value >= 10 ? 3 : 2)).toString();
}

export function ratioText({ low, median, high }: Spread): string {
  const [from, to] = [shortened(low), shortened(high)];
  return from === to ? `${shortened(median)}×` : `${shortened(median)}× (${from}–${to})`;
}

export function measuredText(value: number, unit: Ratio["unit"]): string {
  if (unit === "ms") return value < 1 ? `${shortened(value * 1000)} µs` : `${shortened(value)} ms`;
  if (value < 10_000) return `${shortened(value)} B`;
  return value < 10_000_000 ? `${shortened(value / 1000)} kB` : `${shortened(value / 1_000_000)} MB`;
}

/** One line a ratio. */
export function ratioTable(found: readonly Found[]): string[] {
  return [
    "| what | against | instead | ratio | measured |",
    "|---|---|---|---|---|",
    ...found.flatMap(({ ratios }) =>
      ratios.map(({ what, unit, base, variant, ratio, measured }) => {
        const context = `${measuredText(measured.base.median, unit)} → ${measuredText(measured.variant.median, unit)}`;
        return `| ${what} | ${base} | ${variant} | **${ratioText(ratio)}** | ${context} |`;
      }),
    ),
  ];
}

export function baselineTable(baselines: readonly Baseline[]): string[] {
  return [
    "| pgbench | scale | clients | seconds | transactions a second | latency | failed |",
    "|---|---|---|---|---|---|---|",
    ...baselines.map(
      (b) =>
        `| ${b.what} | ${b.scale} | ${b.clients} | ${b.seconds} | ${shortened(b.transactionsPerSecond)} | ${measuredText(b.latency, "ms")} | ${b.failed} |`,
    ),
  ];
}
