/** What the cache counts. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

const COUNTERS = [
  "localHits",
  "remoteHits",
  "staleHits",
  "misses",
  "loads",
  "loadErrors",
  "joined",
  "waited",
  "refreshes",
  "refused",
  "bypassed",
  "undecodable",
  "errors",
  "timeouts",
  "skipped",
  "invalidations",
  "unconfirmed",
  "flushes",
] as const;

export type Counter = (typeof COUNTERS)[number];

/** Durations in ms. */
export interface Latency {
  count: number;
  mean: number;
  p50: number;
  p99: number;
  max: number;
}

/**
 * Counts since the cache was opened. `joined` callers shared a load of their own process, `waited` ones that of another; `refused` loads
 * were not stored because their key changed meanwhile; `bypassed` ones ran beside an unfinished write; `unconfirmed` invalidations had to be
 * repeated; `flushes` counts how often the in-process level was emptied because its messages had stopped; `skipped` commands were not sent
 * because the cache was down.
 */
export interface Figures extends Record<Counter, number> {
  latency: { read: Latency; load: Latency };
  /** Invalidations that the cache has not confirmed yet. */
  owed: number;
  /** Whether commands are being sent at all. */
  up: boolean;
  /** Whether the in-process level may be used: its messages arrive. */
  coherent: boolean;
}

const NS = 1e6;

function latency(histogram: RecordableHistogram): Latency {
  if (histogram.count === 0) return { count: 0, mean: 0, p50: 0, p99: 0, max: 0 };
  const { count, mean, max } = histogram;
  return { count, mean: mean / NS, p50: histogram.percentile(50) / NS, p99: histogram.percentile(99) / NS, max: max / NS };
}

export class Counters {
  readonly #counts = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<Counter, number>;
  readonly #latency = { read: createHistogram(), load: createHistogram() };

  add(counter: Counter, n = 1): void {
    this.#counts[counter] += n;
  }

  /** Runs it and records how long it took, failed or not. */
  async timed<T>(what: "read" | "load", run: () => Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await run();
    } finally {
      this.#latency[what].record(Math.max(1, Math.round((performance.now() - start) * NS)));
    }
  }

  read(): Omit<Figures, "owed" | "up" | "coherent"> {
    return { ...this.#counts, latency: { read: latency(this.#latency.read), load: latency(this.#latency.load) } };
  }
}
