/** Which move there is to work on: the last one, the same given up, or a new one. */
import { isDeepStrictEqual } from "node:util";
import type pg from "pg";
import { danger } from "./guard.ts";
import { addStep, beginRun, lastRun, type Run, type Subject, standing } from "./store.ts";
import type { Fleet } from "./types.ts";
import type { ShardsOptions } from "./work.ts";

/** Steps of a climb that was swapped when the named one is done. */
const FLIP = "flip";
const RETRY = 3_600;

/** What a climb that begins now is about. */
const subjectOf = ({ wanted, fleet: { tables, globals, shards } }: ShardsOptions): Subject => ({
  tables,
  globals,
  shards: shards
    .filter(({ index }) => wanted.includes(index))
    .map(({ index, database, class: rows }) => ({ index, database, class: rows })),
});

/** The fleet as it was when a move began, with today's servers. */
export function fleetOf({ tables, globals, shards }: Subject, fleet: Fleet): Fleet {
  return {
    ...fleet,
    tables,
    globals,
    shards: shards.map((was) => {
      const now = fleet.shards.find(({ index }) => index === was.index);
      if (!now) throw new Error(`${was.database}: got no servers for it, want them until its rows have left it`);
      return { ...now, ...was };
    }),
  };
}

/** @param steps of a climb and of a way back @returns undefined when rows are where they belong */
export async function direct(
  gateway: pg.Client,
  options: ShardsOptions,
  steps: { climb: readonly string[]; back: readonly string[] },
): Promise<Run | undefined> {
  const run = await lastRun(gateway);
  const wanted = options.wanted.length > 0;
  const climb = () => beginRun(gateway, "3-4", steps.climb, subjectOf(options));
  if (!run) return wanted ? climb() : undefined;
  switch (standing(run)) {
    case "under way": {
      const reason = await whyGiveUp(gateway, run, options);
      if (reason === undefined) return run;
      await addStep(gateway, run, "undo", reason);
      options.log(`shards: given up: ${reason.reason}`);
      return lastRun(gateway);
    }
    case "undoing":
      return run;
    case "kept": {
      const finishing = run.steps.some(({ detail }) => detail.finish === true);
      return wanted || finishing ? run : beginRun(gateway, "4-3", steps.back, run.subject);
    }
    case "undone": {
      const { detail, age } = run.steps.find(({ step }) => step === "undo")!;
      if (!wanted || (detail.guarded && age < (options.retry ?? RETRY))) return undefined;
      return climb();
    }
    case "done":
      if (run.kind === "4-3" && wanted) return climb();
      return undefined;
  }
}

/** A climb is given up before its flip when something else is wanted, or when it has become a danger. */
async function whyGiveUp(gateway: pg.Client, run: Run, options: ShardsOptions): Promise<{ reason: string; guarded: boolean } | undefined> {
  if (run.kind !== "3-4" || run.steps.some(({ step, state }) => step === FLIP && state === "done")) return undefined;
  if (options.wanted.length === 0) return { reason: "shards are no longer wanted", guarded: false };
  if (!isDeepStrictEqual(run.subject, JSON.parse(JSON.stringify(subjectOf(options)))))
    return { reason: "what belongs on shards has changed", guarded: false };
  const reason = await danger(gateway, fleetOf(run.subject, options.fleet), options.retained);
  return reason === undefined ? undefined : { reason, guarded: true };
}
