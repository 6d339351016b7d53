/** How large the next batch is, and what a reader is told about the rest. Pure. */
import type { Conversion } from "./store.ts";

/** Rows are locked for about this long at a time, ms. */
export const BATCH_TARGET = 20;
const SMALLEST = 20;
const LARGEST = 5_000;

/** Rows of the next batch, from what the last one took: towards the target, at most half or double at a time. */
export function nextBatch(rows: number, took: number): number {
  const factor = Math.min(2, Math.max(0.5, BATCH_TARGET / Math.max(took, 0.1)));
  return Math.min(LARGEST, Math.max(SMALLEST, Math.round(rows * factor)));
}

/** A duration in the words of a progress line: "8 s", "3 min", "2.5 h". */
export function describeDuration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}

/** The name by which an operator knows the table. */
export const nameOf = ({ schema, table }: Pick<Conversion, "schema" | "table">): string =>
  schema === "public" ? table : `${schema}.${table}`;

type Known = Pick<Conversion, "schema" | "table" | "state" | "rowsTotal" | "rowsDone" | "rate">;

/** `messages: copying 43 %, about 3 min left`. A percentage only where the total is known. */
export function describeProgress({ state, rowsTotal, rowsDone, rate, ...name }: Known): string {
  const counted = (state === "copying" || state === "verifying") && rowsTotal > 0;
  if (state === "measuring") return `${nameOf(name)}: measuring, ${rowsDone.toLocaleString("en")} rows so far`;
  if (!counted) return `${nameOf(name)}: ${state}`;
  // Rows that came during the copy are not in the total.
  const share = Math.min(99, Math.floor((100 * rowsDone) / rowsTotal));
  const left = rate && rowsDone < rowsTotal ? `, about ${describeDuration((rowsTotal - rowsDone) / rate)} left` : "";
  return `${nameOf(name)}: ${state} ${share} %${left}`;
}
