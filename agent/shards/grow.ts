/** Shards are added, split and merged while the application runs, one at a time. See docs/guide/sharding-grow.md. */
import type pg from "pg";
import { ms } from "../../plan/types.ts";
import { clean, open } from "./grow-end.ts";
import { announce, flip } from "./grow-flip.ts";
import { classesOfMap, nextShape } from "./grow-shape.ts";
import { bareNew, catchUp, check, copy, indexNew, prepareShards, verify, wayBack } from "./grow-steps.ts";
import { forget, undo, whyGiveUp } from "./grow-undo.ts";
import { type GrowDetail, type GrowSteps, type Growth, growth, subjectOf, wantedClasses, withClasses } from "./grow-work.ts";
import { readMap } from "./map.ts";
import { describeMove } from "./progress.ts";
import { alone, inTransaction, isBusy, onServer } from "./session.ts";
import { SHRINK } from "./shrink.ts";
import { addStep, beginRun, complain, lastRun, type Run, remember, type Step, standing } from "./store.ts";
import type { Outcome, ShardsOptions } from "./work.ts";

export { nextShape } from "./grow-shape.ts";

/** In order. */
const GROW: GrowSteps = {
  check,
  prepare: prepareShards,
  bare: bareNew,
  copy,
  indexes: indexNew,
  "catch-up": catchUp,
  verify,
  "way-back": wayBack,
  announce,
  flip,
  open,
  clean,
};
const STEPS: Record<"grow" | "shrink", GrowSteps> = { grow: GROW, shrink: SHRINK };
/** The way back of the climb, which goes on for the new number of shards: `finishShards` ends it. */
const KEPT = "kept";
const SLICE = ms(2_000);
const RETRY = 3_600;

/**
 * Does the next bounded piece of work towards the wanted shards, and says what is under way; undefined when the shards are as wanted. Another process can
 * go on where this one was killed.
 */
export function advanceGrow(options: ShardsOptions): Promise<string | undefined> {
  return onServer(options.fleet.gateway, async (gateway) =>
    (await alone(gateway)) ? grow(gateway, options) : "shards: another process is moving",
  );
}

/** The same on a session that holds the mover's lock. */
export async function grow(gateway: pg.Client, options: ShardsOptions): Promise<string | undefined> {
  const end = performance.now() + (options.slice ?? SLICE);
  const last = await lastRun(gateway);
  const underWay = last?.kind === "4-4" && ["under way", "undoing"].includes(standing(last));
  const run = underWay ? last : last && (await next(gateway, last, options));
  if (!run) return undefined;
  for (;;) {
    const giveUp = await abandon(workOn(gateway, run, run.steps[0]!, options, end));
    const now = giveUp ?? run;
    const step = current(now);
    if (!step || step.step === KEPT) {
      await supersede(gateway, now);
      return `${describeMove(now, now.steps.at(-1)!)}: done`;
    }
    const outcome = await perform(workOn(gateway, now, step, options, end));
    if (step.step === "undo" && outcome === "done") {
      const { reason = "", guarded = false } = step.detail;
      await inTransaction(gateway, () => forget(gateway, now, { reason, guarded }));
      return `${describeMove(now, step)}: everything is as before`;
    }
    if (typeof outcome === "object") return describeMove(now, step, outcome.waits);
    if (performance.now() >= end) return describeMove(now, step);
  }
}

/** Begins the next step from the shards that there are to those that are wanted. */
async function next(gateway: pg.Client, last: Run, options: ShardsOptions): Promise<Run | undefined> {
  const state = standing(last);
  const ending = state === "kept" && last.steps.some(({ detail }) => detail.finish);
  const early = last.steps.some(({ detail, age }) => detail.guarded && age < (options.retry ?? RETRY));
  if (options.wanted.length === 0 || last.kind === "4-3" || ending || early || (state !== "kept" && state !== "done")) return undefined;
  const map = await readMap(gateway);
  if (!map || map.databases[0] === options.fleet.database || map.moving.length > 0) return undefined;
  const shape = nextShape(classesOfMap(map.shards, map.databases.length), wantedClasses(options));
  if (!shape) return undefined;
  const kept = state === "kept";
  const first: GrowDetail = { shape, kept };
  const { tables } = last.subject;
  const after = withClasses({ ...options.fleet, tables }, shape.after);
  return inTransaction(gateway, async () => {
    const run = await beginRun(gateway, "4-4", [...Object.keys(STEPS[shape.kind]), ...(kept ? [KEPT] : [])], subjectOf(after));
    await remember(gateway, run.steps[0]!, { detail: first });
    return run;
  });
}

/** An undo comes before everything else. */
const current = ({ steps }: Run): Step | undefined =>
  steps.find(({ step, state }) => step === "undo" && state !== "done") ?? steps.find(({ state }) => state !== "done");

const workOn = (gateway: pg.Client, run: Run, step: Step, options: ShardsOptions, end: number): Growth =>
  growth({ gateway, run, step, end, passing: options.passing ?? (() => Promise.resolve()) }, options);

/** Turns a run round where it has to be; undefined when it goes on. */
async function abandon(work: Growth): Promise<Run | undefined> {
  const { gateway, run, options } = work;
  if (standing(run) !== "under way") return undefined;
  const why = await whyGiveUp(work);
  if (!why) return undefined;
  options.log(`shards: given up: ${why.reason}`);
  await addStep(gateway, run, "undo", why);
  return lastRun(gateway);
}

/** One piece of a step. What it fails with stays in the step's row until it succeeds. */
async function perform(work: Growth): Promise<Outcome> {
  const { gateway, step, shape, passing } = work;
  if ((step.detail.next ?? 0) > Date.now()) return { waits: step.detail.waits ?? "the next try" };
  if (step.state !== "running") await remember(gateway, step, { state: "running" });
  await passing(`${step.step}: begins`);
  try {
    const outcome = step.step === "undo" ? await undo(work) : await STEPS[shape.kind][step.step]!(work);
    const waits = typeof outcome === "object" ? outcome.waits : null;
    const state = outcome === "done" ? "done" : "running";
    if (step.state !== state || (step.detail.waits ?? null) !== waits || step.error !== null)
      await remember(gateway, step, { state, error: null, detail: { waits } });
    await passing(`${step.step}: ${state}`);
    return outcome;
  } catch (error) {
    if (isBusy(error)) return { waits: "a lock" };
    await complain(gateway, step, (error as Error).message).catch(() => undefined);
    throw error;
  }
}

/** The way back is this run's from now on. */
async function supersede(gateway: pg.Client, { kind, run }: Run): Promise<void> {
  await gateway.query(
    `update ladder.move set state = 'done', started = coalesce(started, clock_timestamp()), finished = clock_timestamp()
     where step = $1 and state <> 'done' and (kind, run) <> ($2, $3)`,
    [KEPT, kind, run],
  );
}
