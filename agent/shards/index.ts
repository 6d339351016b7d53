/** The mover between one server and shards. See docs/guide/sharding.md. */
import type pg from "pg";
import { ms } from "../../plan/types.ts";
import * as climb from "./climb.ts";
import { direct, fleetOf } from "./direct.ts";
import * as fill from "./fill.ts";
import { endKept } from "./finish.ts";
import { announce, flip, open } from "./flip.ts";
import { grow } from "./grow.ts";
import { announceReturn, goBack, tidy } from "./home.ts";
import { describeMove } from "./progress.ts";
import { alone, isBusy, onServer } from "./session.ts";
import { followGlobals } from "./settle.ts";
import { complain, current, type Kind, lastRun, type Run, remember, type Step, standing } from "./store.ts";
import { undo } from "./undo.ts";
import { prepareWayBack, wayBackProblem } from "./wayback.ts";
import type { Outcome, ShardsOptions, Steps, Work } from "./work.ts";

export { finishShards } from "./finish.ts";
export { moveUnderWay } from "./store.ts";
export type { Blocker, ShardsOptions } from "./work.ts";

/** The climb, in order. */
const CLIMB: Steps = {
  check: climb.check,
  prepare: climb.prepareServers,
  schema: climb.defineTables,
  fence: climb.fence,
  sequences: climb.sequences,
  globals: climb.globals,
  bare: fill.bare,
  copy: fill.copy,
  indexes: fill.index,
  "catch-up": climb.catchUp,
  verify: climb.verify,
  "way-back": prepareWayBack,
  announce,
  flip,
  open,
};
const RETURN: Steps = { announce: announceReturn, return: goBack, tidy };
const STEPS: Partial<Record<Kind, Steps>> = { "3-4": { ...CLIMB, undo }, "4-3": RETURN };
/** Rows have moved, and the way back is open: the last step of a climb, which ends with `finishShards`. */
const KEPT = "kept";

const NAMES = { climb: [...Object.keys(CLIMB), KEPT], back: Object.keys(RETURN) };
const SLICE = ms(2_000);

/**
 * Does the next bounded piece of work of a move, and says what is under way; undefined when rows are where they belong. Another process can go on
 * where this one was killed.
 */
export function advanceShards(options: ShardsOptions): Promise<string | undefined> {
  return onServer(options.fleet.gateway, async (gateway) => {
    if (options.wanted.length === 0 && !(await lastRun(gateway))) return undefined;
    if (!(await alone(gateway))) return "shards: another process is moving";
    const growing = await grow(gateway, options);
    if (growing !== undefined) return growing;
    const run = await direct(gateway, options, NAMES);
    if (!run) return rest(gateway, options);
    return standing(run) === "kept" ? keep(gateway, run, options) : advance(gateway, run, options);
  });
}

/** Nothing moves. While rows are on shards the copies of global tables are kept there. */
async function rest(gateway: pg.Client, options: ShardsOptions): Promise<string | undefined> {
  const run = await lastRun(gateway);
  if (!run || run.kind === "4-3" || standing(run) !== "done") return undefined;
  if (options.wanted.length === 0)
    return "shards: they have the only rows since ladder finish: got none wanted, want them in the configuration again";
  await followGlobals(options.fleet);
  return undefined;
}

async function advance(gateway: pg.Client, run: Run, options: ShardsOptions): Promise<string | undefined> {
  const end = performance.now() + (options.slice ?? SLICE);
  for (;;) {
    const step = current(run);
    if (!step || step.step === KEPT) return `${describeMove(run, run.steps.at(-1)!)}: done`;
    const outcome = await perform(workOn(gateway, run, step, options, end));
    if (typeof outcome === "object") return describeMove(run, step, outcome.waits);
    if (performance.now() >= end) return describeMove(run, step);
  }
}

function workOn(gateway: pg.Client, run: Run, step: Step, options: ShardsOptions, end: number): Work {
  const passing = async (point: string) => options.passing?.(`${step.step}: ${point}`);
  return { options, fleet: fleetOf(run.subject, options.fleet), gateway, run, step, end, passing };
}

/** One piece of a step. What it fails with stays in the step's row until it succeeds. */
async function perform(work: Work): Promise<Outcome> {
  const { gateway, run, step, passing } = work;
  if ((step.detail.next ?? 0) > Date.now()) return { waits: step.detail.waits ?? "the next try" };
  if (step.state !== "running") await remember(gateway, step, { state: "running" });
  await passing("begins");
  try {
    const outcome = await STEPS[run.kind]![step.step]!(work);
    const waits = typeof outcome === "object" ? outcome.waits : null;
    const state = outcome === "done" ? "done" : "running";
    const error = step.step === "check" ? step.error : null;
    if (step.state !== state || (step.detail.waits ?? null) !== waits || step.error !== error)
      await remember(gateway, step, { state, error: state === "done" ? null : error, detail: { waits } });
    await passing(state);
    return outcome;
  } catch (error) {
    if (isBusy(error)) return { waits: "a lock" };
    await complain(gateway, step, (error as Error).message).catch(() => undefined);
    throw error;
  }
}

/** While the way back is kept: it has to follow, global tables too. */
async function keep(gateway: pg.Client, run: Run, options: ShardsOptions): Promise<string | undefined> {
  const work = workOn(gateway, run, current(run)!, options, Number.POSITIVE_INFINITY);
  if (work.step.state !== "running") await remember(gateway, work.step, { state: "running" });
  if (work.step.detail.finish) {
    const over = await endKept(work).then(
      () => true,
      (error: unknown) => (isBusy(error) ? false : Promise.reject(error)),
    );
    return over ? "shards: the way back is over" : "shards: the way back ends, waits for a lock";
  }
  const problem = (await wayBackProblem(work)) ?? null;
  if (problem !== work.step.error) {
    if (problem !== null) options.log(`shards: ${problem}`);
    await remember(gateway, work.step, { error: problem });
  }
  await followGlobals(options.fleet);
  return undefined;
}
