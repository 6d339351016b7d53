/** A verdict as lines of text. Pure. */
import { DAMAGE_KINDS } from "./compare.ts";
import type { Second, Way } from "./history.ts";
import { total } from "./shards.ts";
import type { Verdict } from "./verdict.ts";

const SHOWN_SECONDS = 40;
/** A second is worth a line when its slowest write took longer than this, ms. */
const SLOW = 500;

const line = (name: string, value: string) => `${name.padEnd(34)} ${value}`;
const ms = (n: number) => `${n.toFixed(n < 10 ? 1 : 0)} ms`;

/** The whole verdict, one figure a line, ending in `passed` or the reasons against. */
export function renderVerdict(v: Verdict): string {
  const { writes, reads, plan } = v;
  const { acknowledged, failed, refused, unknown, pending } = writes.outcomes;
  const second = (at: number) => `at second ${Math.max(0, (at - plan.started) / 1000).toFixed(1)}`;
  const stall = (s: { ms: number; from: number }) => (s.ms === 0 ? "none" : `${ms(s.ms)}, ${second(s.from)}`);
  const lines = [
    `Rehearsal: ${plan.clients} clients${plan.routed ? `, ${plan.routed} of them through the router` : ""}, ${plan.rate} writes/s for ${v.seconds.toFixed(1)} s on ${plan.table}`,
    ...(v.complete ? [] : ["The load process died before its end: what it had not recorded counts as pending."]),
    "",
    line("writes attempted", `${writes.attempted}`),
    line("  acknowledged", `${acknowledged}`),
    line("  failed / refused", `${failed} / ${refused}`),
    line("  unknown, then found / missing", `${unknown + pending}, ${writes.unknownFound} / ${writes.unknownMissing}`),
    line("  due, never started", `${writes.overdue}`),
    line("reconnects", `${writes.reconnects}`),
    line("latency p50 / p95 / p99", `${ms(writes.latency.p50)} / ${ms(writes.latency.p95)} / ${ms(writes.latency.p99)}`),
    line("longest write", ms(writes.latency.longest)),
    line("longest write stall", stall(writes.stall)),
    ...writes.ways.flatMap((way) => wayLines(way, stall)),
    ...writes.errors.map(({ error, times }) => `  ${times} × ${error}`),
    "",
    line("compared: keys / rows in the table", `${v.compared.keys} / ${v.compared.rows}`),
    ...DAMAGE_KINDS.map((kind) => line(`  ${kind}`, `${v.damage[kind].count}`)),
    ...DAMAGE_KINDS.flatMap((kind) => v.damage[kind].examples.map((example) => `    ${kind}: ${example}`)),
    ...shardLines(v),
    "",
    ...(plan.readers === 0 ? ["no read URL: nothing was read"] : readLines(v, stall)),
    ...reads.messages.map(({ error, times }) => `  ${times} × ${error}`),
    "",
    ...timelineLines(v.timeline),
    v.passed ? "passed" : "NOT passed:",
    ...v.reasons.map((reason) => `  ${reason}`),
  ];
  return lines.join("\n");
}

const wayLines = ({ way, clients, acknowledged, latency, stall }: Way, stalled: (s: Way["stall"]) => string): string[] => [
  line(`  ${clients} clients by ${way}: acked`, `${acknowledged}`),
  line("    p50 / p95 / p99", `${ms(latency.p50)} / ${ms(latency.p95)} / ${ms(latency.p99)}`),
  line("    longest write stall", stalled(stall)),
];

function shardLines({ shards: figures }: Verdict): string[] {
  if (!figures) return [];
  const { gateway, shards, misplaced, damage } = figures;
  const all = total(shards);
  return [
    line(
      "rows: gateway / on the shards",
      `${gateway.rows} / ${all.rows} (${shards.map(({ name, rows }) => `${name}: ${rows}`).join(", ")})`,
    ),
    line("  checksums", gateway.sum === all.sum ? "equal" : `gateway ${gateway.sum}, shards ${all.sum}`),
    line("  on a wrong shard", `${misplaced.count}`),
    ...misplaced.examples.map((example) => `    ${example}`),
    line("  damage, shards read straight", `${DAMAGE_KINDS.reduce((sum, kind) => sum + damage[kind].count, 0)}`),
    ...DAMAGE_KINDS.flatMap((kind) => damage[kind].examples.map((example) => `    ${kind}: ${example}`)),
  ];
}

function readLines({ reads }: Verdict, stall: (s: { ms: number; from: number }) => string): string[] {
  return [
    line("reads answered / errors", `${reads.answered} / ${reads.errors}`),
    line("  stale, longest behind", `${reads.stale}, ${ms(reads.stalest)}`),
    ...(reads.unseen > 0 ? [line("  own writes not seen", `${reads.unseen}`)] : []),
    line("  longest read stall", stall(reads.stall)),
    line("  reconnects", `${reads.reconnects}`),
    line("writes through the read URL", `${reads.writesAccepted} accepted, ${reads.writesRefused} refused`),
  ];
}

/** Only the seconds in which something happened; the whole timeline is in the JSON. */
function timelineLines(timeline: readonly Second[]): string[] {
  const eventful = timeline.filter(
    (s) =>
      s.errors > 0 || s.readErrors > 0 || s.reconnects > 0 || s.slowest > SLOW || s.marks.length > 0 || (s.due > 0 && s.acknowledged === 0),
  );
  if (eventful.length === 0) return [];
  const cells = (values: readonly (string | number)[]) => values.map((value) => String(value).padStart(9)).join("");
  const rows = eventful.slice(0, SHOWN_SECONDS).map((s) => {
    const figures = cells([s.at, s.due, s.acknowledged, s.errors, s.reconnects, Math.round(s.slowest), s.readErrors]);
    return s.marks.length > 0 ? `${figures}  ${s.marks.join("; ")}` : figures;
  });
  const more = eventful.length > SHOWN_SECONDS ? [`  … and ${eventful.length - SHOWN_SECONDS} more such seconds`] : [];
  return [cells(["second", "due", "acked", "errors", "reconn.", "slowest", "rd.err."]), ...rows, ...more, ""];
}
