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

/** Stages whose configuration may say something about a part. */
const PARTS: Readonly<Record<string, (stage: Stage) => boolean>> = {
  replicas: (stage) => stage >= 2,
  cache: (stage) => stage >= 3,
  shards: (stage) => stage === 4,
};

/** The configuration of a step: what is said about parts that its stage does not have is left out, the number of shards is added. */
export function stepValues({ stage, shards }: Step, values: Values): Values {
  const kept = Object.entries(values).filter(([key]) => PARTS[key]?.(stage) ?? true);
  const { shards: said = "{}", ...rest } = Object.fromEntries(kept);
  const all = { ...(JSON.parse(said) as object), ...(shards === undefined ? {} : { count: shards }) };
  return { ...rest, stage: String(stage), ...(stage === 4 ? { shards: JSON.stringify(all) } : {}) };
}
