/** What a reader is told about a move. Pure. */
import { describeDuration } from "../convert/progress.ts";
import type { Run, Step } from "./store.ts";

const NAMES = { "3-4": "moving onto shards", "4-3": "moving back to one server", "4-4": "moving between shards" } as const;

/** `moving onto shards: copy (8 of 16) 43 %, about 3 min left, waits for 2 of 4 shards`. */
export function describeMove({ kind, steps }: Run, step: Step, waits?: string): string {
  const { rowsDone, rowsTotal, left } = step.detail;
  const steady = steps.filter((one) => one.step !== "kept");
  const place = steady.includes(step) ? ` (${steady.indexOf(step) + 1} of ${steady.length})` : "";
  const share = rowsTotal ? ` ${Math.min(99, Math.floor((100 * (rowsDone ?? 0)) / rowsTotal))} %` : "";
  const rest = rowsTotal && left ? `, about ${describeDuration(left)} left` : "";
  return `${NAMES[kind]}: ${step.step}${place}${share}${rest}${waits === undefined ? "" : `, waits for ${waits}`}`;
}
