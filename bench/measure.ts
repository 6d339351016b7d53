/** How things are compared: in turns, several rounds, ratios of the same round; medians and quartiles. No I/O of its own. */

/** One of the ways that are compared. */
export interface Variant {
  name: string;
  /** What has to be there first; not measured. */
  before?: () => Promise<unknown>;
  /** @returns milliseconds or bytes */
  measure: () => Promise<number>;
}

export interface Comparison {
  what: string;
  unit: "ms" | "bytes";
  /** The first one is what the others are compared with. */
  variants: readonly [Variant, Variant, ...Variant[]];
  /** For what is the same in every round, such as sizes. @default the rounds of the run */
  rounds?: number;
}

/** Median and quartiles. */
export interface Spread {
  low: number;
  median: number;
  high: number;
}

export interface Ratio {
  what: string;
  unit: Comparison["unit"];
  base: string;
  variant: string;
  /** How many times less the variant takes than the base: above 1 it is better. */
  ratio: Spread;
  /** What was measured: context, true for this machine and moment only. */
  measured: { base: Spread; variant: Spread };
  rounds: number;
}

/** @throws RangeError for no values */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError("spread: got no values, want at least one");
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => {
    const place = (sorted.length - 1) * share;
    const below = sorted[Math.floor(place)]!;
    return below + (sorted[Math.ceil(place)]! - below) * (place - Math.floor(place));
  };
  return { low: at(0.25), median: at(0.5), high: at(0.75) };
}

/** The order of a round: each variant is first in turn, so that none always profits from what another left in memory. */
export function turnsOf<T>(items: readonly T[], round: number): T[] {
  return items.map((_, i) => items[(i + round) % items.length]!);
}

/** Ratios from what each variant measured in each round; the first variant is the base. */
export function ratiosOf({ what, unit, variants }: Comparison, samples: ReadonlyMap<Variant, readonly number[]>): Ratio[] {
  const [base, ...others] = variants;
  const of = (variant: Variant): readonly number[] => samples.get(variant) ?? [];
  return others.map((variant) => ({
    what,
    unit,
    base: base.name,
    variant: variant.name,
    ratio: spreadOf(of(base).map((value, round) => value / of(variant)[round]!)),
    measured: { base: spreadOf(of(base)), variant: spreadOf(of(variant)) },
    rounds: of(base).length,
  }));
}

/** Runs a comparison. One more round comes first and does not count: it fills caches and compiles. */
export async function compare(comparison: Comparison, rounds: number): Promise<Ratio[]> {
  const samples = new Map<Variant, number[]>(comparison.variants.map((variant) => [variant, []]));
  const counted = comparison.rounds ?? rounds;
  for (let round = counted === 1 ? 0 : -1; round < counted; round++)
    for (const variant of turnsOf(comparison.variants, round + 1)) {
      await variant.before?.();
      const value = await variant.measure();
      if (round >= 0) samples.get(variant)!.push(value);
    }
  return ratiosOf(comparison, samples);
}

/** Milliseconds that the work takes, on average over `times` runs of it. */
export async function timed(work: () => Promise<unknown>, times = 1): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < times; i++) await work();
  return (performance.now() - start) / times;
}
