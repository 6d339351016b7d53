/** What a rehearsed climb found, as lines of text. Pure. */
import type { Verdict } from "../verdict.ts";
import type { Run } from "./pgbench.ts";
import type { Speeds } from "./speed.ts";

export interface StepReport {
  /** Such as `3 → 4 (4 shards)`. */
  step: string;
  seconds: number;
  verdict: Verdict;
  /** What a user of the example application saw. */
  visitor: { written: number; read: number; failed: number; longest: number };
  /** What is wrong with the application's tables, or what the visitor and pgbench saw fail; a line each. */
  wrong: readonly string[];
  speeds: Speeds | undefined;
  pgbench: { during: readonly Run[]; after: readonly Run[] } | undefined;
}

export interface ClimbReport {
  messages: number;
  /** At the first stage, before the first step. */
  speeds: Speeds | undefined;
  pgbench: readonly Run[];
  steps: readonly StepReport[];
}

export const passed = ({ steps }: ClimbReport): boolean => steps.every(({ verdict, wrong }) => verdict.passed && wrong.length === 0);

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
const heading = (cells: readonly string[]): string[] => [row(cells), `|${"---|".repeat(cells.length)}`];
const ms = (n: number): string => `${Math.round(n)} ms`;

function stepRow({ step, seconds, verdict, visitor, wrong }: StepReport): string {
  const { writes, reads, damage, shards } = verdict;
  const { acknowledged, failed, refused, unknown } = writes.outcomes;
  const checksums =
    wrong.some((line) => line.includes("sum")) || verdict.reasons.some((line) => line.includes("checksum")) ? "differ" : "equal";
  return row([
    step,
    `${Math.round(seconds)} s`,
    `${acknowledged} of ${writes.attempted}`,
    failed + refused + unknown + visitor.failed,
    damage.lost.count,
    damage.doubled.count,
    damage.duplicateId.count,
    shards ? shards.misplaced.count : "–",
    `${reads.errors} of ${reads.answered + reads.errors}`,
    reads.unseen,
    checksums,
    ms(writes.stall.ms),
    verdict.passed && wrong.length === 0 ? "passed" : "**not passed**",
  ]);
}

const STEPS = [
  ...["step", "took", "acknowledged", "failed", "lost", "doubled", "ids twice", "on a wrong shard", "read errors", "own writes unseen"],
  ...["checksums", "longest stall", ""],
];

/** The tables, one line each step; the last lines say whether it passed. */
export function renderClimb(report: ClimbReport): string[] {
  const { messages, steps } = report;
  return [
    `${messages} messages at first`,
    "",
    ...heading(STEPS),
    ...steps.map(stepRow),
    ...steps.flatMap(({ step, verdict, wrong }) => [...verdict.reasons, ...wrong].map((reason) => `- ${step}: ${reason}`)),
    ...speedLines(report),
    ...pgbenchLines(report),
    "",
    passed(report) ? "passed" : "NOT passed",
  ];
}

function speedLines({ speeds: before, steps }: ClimbReport): string[] {
  const measured = steps.filter((step) => step.speeds !== undefined);
  if (!before || measured.length === 0) return [];
  const cells = (name: string, { router, url }: Speeds) =>
    row([
      name,
      ...[router, url].flatMap(({ perSecond, p99, cpu }, i) => {
        const first = i === 0 ? before.router : before.url;
        return [
          Math.round(perSecond),
          (perSecond / first.perSecond).toFixed(2),
          ms(p99),
          (p99 / first.p99).toFixed(2),
          `${cpu.toFixed(2)} ms`,
          (cpu / first.cpu).toFixed(2),
        ];
      }),
    ]);
  const of = (way: string) => [`${way}: turns a second`, "÷ before", "p99", "÷ before", "CPU a turn", "÷ before"];
  return [
    "",
    ...heading(["after", ...of("router"), ...of("write URL")]),
    cells("before", before),
    ...measured.map(({ step, speeds }) => cells(step, speeds!)),
  ];
}

function pgbenchLines({ pgbench, steps }: ClimbReport): string[] {
  if (pgbench.length === 0) return [];
  const line = (when: string) => (run: Run) => row([when, run.what, Math.round(run.perSecond), run.error ?? run.failed]);
  return [
    "",
    ...heading(["when", "pgbench", "transactions a second", "failed"]),
    ...pgbench.map(line("before")),
    ...steps.flatMap(({ step, pgbench: runs }) => [
      ...(runs?.during ?? []).map(line(`during ${step}`)),
      ...(runs?.after ?? []).map(line(`after ${step}`)),
    ]),
  ];
}
