/** From what was written to what is meant: defaults, and the stage's profile under the operator's overrides. */
import { className, instanceClass } from "../classes.ts";
import { type Engine, type MachineProfile, STAGE_PROFILES, type StageProfile } from "../stages.ts";
import { mib, ms, type Stage, type Target } from "../types.ts";
import type { Written } from "./schema.ts";

/** Written keys, with defaults for those that rules and the profile read. */
export type Filled = Omit<Written, "stage" | "target" | "region"> & {
  readonly stage: Stage;
  readonly target: Target;
  readonly region: string;
};

export const fill = (written: Written): Filled => ({ stage: 1, target: "docker", region: "us-east-1", ...written });

/** Thresholds of the requirement documents (checklist O2). */
export const DEFAULT_ALERTS = {
  /** Percent of max_connections. */
  connections: { warning: 70, critical: 90 },
  /** Percent; alerts below. */
  cacheHit: { warning: 99, critical: 95 },
  replicationLag: { warning: mib(1), critical: mib(100) },
  /** Percent of the volume. */
  disk: { warning: 70, critical: 85 },
  p99: { warning: ms(500), critical: ms(2_000) },
  /** Rows of one table. */
  deadTuples: { warning: 10_000_000, critical: 50_000_000 },
} as const;

/** What runs PostgreSQL on AWS: as written, else the stage's default. */
export const engineOf = ({ engine, stage }: Filled): Engine => engine ?? STAGE_PROFILES[stage].engines[0];

/** The stage's profile with the operator's overrides; on AWS the class decides cores and memory. */
export function profileOf(config: Filled): StageProfile {
  const base: StageProfile = STAGE_PROFILES[config.stage];
  const sized = <M extends MachineProfile>(machine: M): M => (config.target === "aws" ? awsSized(machine, engineOf(config)) : machine);
  const primary = { ...base.primary, ...config.primary };
  return {
    ...base,
    primary: sized(primary),
    replicas: sized({ ...primary, count: base.replicas.count, ...config.replicas }),
    pooler: { ...base.pooler, ...(config.target === "docker" ? { count: 1 } : {}), ...config.pooler },
    cache: base.cache && { ...base.cache, ...(config.target === "docker" ? { groups: 1 } : {}), ...config.cache },
    shards: base.shards && sized({ ...base.shards, ...config.shards }),
    workers: base.workers && sized({ ...base.workers, ...config.workers }),
  };
}

function awsSized<M extends MachineProfile>(machine: M, engine: Engine): M {
  return { ...machine, ...instanceClass(machine.class), class: className(machine.class, engine) };
}
