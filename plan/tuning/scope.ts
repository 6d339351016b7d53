import type { Budget } from "./budget.ts";
import type { SettingValue, TuningInput } from "./types.ts";

/** What a selector may look at. */
export interface Scope {
  input: TuningInput;
  budget: Budget;
}

/** A parameter's computed value and why. */
export interface Choice {
  value: SettingValue;
  reason: string;
}

/** Computes one parameter; undefined where the platform owns it. */
export type Selector = (scope: Scope) => Choice | undefined;

/** The parameters of one topic, in the order they are shown. */
export type Topic = Readonly<Record<string, Selector>>;

/** A choice that is the same on every node. */
export const always =
  (value: SettingValue, reason: string): Selector =>
  () => ({ value, reason });

/** A choice for servers that Patroni runs; on RDS the service decides. */
export const selfManaged =
  (value: SettingValue, reason: string): Selector =>
  ({ input }) =>
    input.platform === "patroni" ? { value, reason } : undefined;
