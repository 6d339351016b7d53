/** Steps of a rehearsed climb, as they are written: `3`, `4`, `4x6` for six shards. Pure. */
import { STAGES, type Stage } from "../../plan/types.ts";
import type { Values } from "./stack.ts";

export interface Step {
  stage: Stage;
  /** Undefined: the stage's own number. */
  shards: number | undefined;
}

/** @throws Error for a text that is no list of steps */
export function readSteps(text: string): Step[] {
  const steps = text.split(",").map((part): Step | undefined => {
    const [, stage, shards] = /^(\d)(?:x(\d{1,3}))?$/.exec(part.trim()) ?? [];
    const known = STAGES.find((one) => String(one) === stage);
    return known && { stage: known, shards: shards === undefined ? undefined : Number(shards) };
  });
  const all = steps.filter((step) => step !== undefined);
  if (all.length < steps.length || all.length < 2) throw new Error(`steps: got ${text}, want at least two of 1 to 5 such as 3,4,4x6,3`);
  return all;
}

export const stepName = ({ stage, shards }: Step): string => (shards === undefined ? String(stage) : `${stage} with ${shards} shards`);

/** The configuration of a step; how many shards there are is added to what is said about them otherwise. */
export function stepValues({ stage, shards }: Step, { shards: said = "{}" }: Values): Values {
  const own = shards === undefined ? {} : { count: shards };
  const values = { ...(JSON.parse(said) as object), ...own };
  return { stage: String(stage), ...(stage === 4 ? { shards: JSON.stringify(values) } : {}) };
}
