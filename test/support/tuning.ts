import type { TuningInput } from "../../plan/tuning/index.ts";
import { lookUp, type Settings } from "../../plan/tuning/index.ts";
import { showValue } from "../../plan/tuning/values.ts";
import { gib, type Machine, ms } from "../../plan/types.ts";

export const STAGE_1: Machine = { cores: 2, memory: gib(4), storage: 50, disk: "ssd" };

/** Stage 1 with 50 server connections, and what the test changes. */
export function inputFor(changes: Partial<TuningInput> = {}): TuningInput {
  return {
    machine: STAGE_1,
    workload: "oltp",
    serverConnections: 50,
    replicas: 0,
    logMinDuration: ms(1_000),
    citus: false,
    platform: "patroni",
    overrides: {},
    ...changes,
  };
}

/** A parameter's value as postgresql.conf shows it. */
export const shown = (settings: Settings, name: string): string | undefined => {
  const found = lookUp(settings, name);
  return found && showValue(found.value);
};
