/**
 * Every PostgreSQL parameter of one node, computed from its machine, the pooled connections and the workload.
 * One file a topic, one small pure selector a parameter; layers: computed defaults, the operator's overrides, fixed.
 *
 * budget.ts: what the memory is spent on · climb.ts: what static parameters are sized for · fixed.ts: what cannot be
 * overridden · parameters.ts: what PostgreSQL 17 accepts · pgtune.ts, rds-defaults.ts, compare.ts, page.ts: for comparison only.
 */
import { InputError, type KiB, kib, mib, type Problem, WORKLOADS } from "../types.ts";
import { autovacuumTopic } from "./autovacuum.ts";
import { memoryBudget } from "./budget.ts";
import { connectionTopic } from "./connections.ts";
import { FIXED } from "./fixed.ts";
import { loggingTopic } from "./logging.ts";
import { memoryTopic } from "./memory.ts";
import { asNumber, combinedProblems, isRoleTimeout, lookIn, type Overrides, readOverrides } from "./overrides.ts";
import { parallelTopic } from "./parallel.ts";
import { needsRestart } from "./parameters.ts";
import { plannerTopic } from "./planner.ts";
import { replicationTopic } from "./replication.ts";
import type { Scope, Topic } from "./scope.ts";
import { timeoutTopic } from "./timeouts.ts";
import type { Setting, Settings, SettingValue, TuningInput } from "./types.ts";
import { number } from "./values.ts";
import { walTopic } from "./wal.ts";
import { writerTopic } from "./writer.ts";

export { maxServerConnections } from "./budget.ts";
export { RESERVED_CONNECTIONS } from "./climb.ts";
export { roleTimeouts } from "./timeouts.ts";
export type { Platform, Setting, Settings, SettingValue, TuningInput } from "./types.ts";

/** All parameters by topic, in the order they are shown. */
export const TOPICS: Readonly<Record<string, Topic>> = {
  Memory: memoryTopic,
  "WAL and checkpoints": walTopic,
  Planner: plannerTopic,
  Parallelism: parallelTopic,
  Autovacuum: autovacuumTopic,
  "Background writer": writerTopic,
  "Time-outs": timeoutTopic,
  "Logging and statistics": loggingTopic,
  "Connections and libraries": connectionTopic,
  Replication: replicationTopic,
};

/** PostgreSQL refuses a standby on which one of these is lower than on its primary. */
export const STANDBY_NOT_BELOW = [
  "max_connections",
  "max_worker_processes",
  "max_wal_senders",
  "max_prepared_transactions",
  "max_locks_per_transaction",
] as const;

/** One parameter of the settings, or undefined where this node does not set it. */
export const lookUp = (settings: Settings, name: string): Setting | undefined => settings.find((setting) => setting.name === name);

/**
 * The value of a parameter that every node sets.
 * @throws Error where this node does not set it
 */
export function settingValue(settings: Settings, name: string): SettingValue {
  const found = lookUp(settings, name);
  if (!found) throw new Error(`${name} is not set on this node`);
  return found.value;
}

const isCount = (value: number, least: number): boolean => Number.isInteger(value) && value >= least;

function inputProblems({ machine, workload, serverConnections, plannedConnections, replicas, logMinDuration }: TuningInput): Problem[] {
  const checks: readonly [ok: boolean, path: string, got: unknown, want: string][] = [
    [isCount(machine.cores, 1), "machine.cores", machine.cores, "a whole number of at least 1"],
    [Number.isFinite(machine.memory) && machine.memory > 0, "machine.memory", machine.memory, "memory in KiB above 0"],
    [Number.isFinite(machine.storage) && machine.storage > 0, "machine.storage", machine.storage, "storage in GiB above 0"],
    [WORKLOADS.includes(workload), "workload", workload, `one of ${WORKLOADS.join(", ")}`],
    [isCount(serverConnections, 1), "serverConnections", serverConnections, "a whole number of at least 1"],
    [
      plannedConnections === undefined || isCount(plannedConnections, 1),
      "plannedConnections",
      plannedConnections,
      "a whole number of at least 1",
    ],
    [isCount(replicas, 0), "replicas", replicas, "a whole number of at least 0"],
    [isCount(logMinDuration, -1), "logMinDuration", logMinDuration, "milliseconds, 0 for all statements, -1 for none"],
  ];
  return checks.filter(([ok]) => !ok).map(([, path, got, want]) => ({ path, got, want }));
}

function computeAll(scope: Scope): Setting[] {
  return Object.values(TOPICS).flatMap((topic) =>
    Object.entries(topic).flatMap(([name, select]) => {
      const choice = select(scope);
      return choice ? [{ name, ...choice, restart: needsRestart(name), source: FIXED[name] ? "fixed" : "default" } as const] : [];
    }),
  );
}

function applyOverrides(computed: Setting[], overrides: Overrides): Setting[] {
  const serverWide = [...overrides].filter(([name]) => !isRoleTimeout(name));
  const changed = new Map(
    serverWide.map(([name, value]): [string, Setting] => [
      name,
      { name, value, reason: "config key settings", restart: needsRestart(name), source: "override" },
    ]),
  );
  const added = [...changed.values()].filter(({ name }) => !computed.some((setting) => setting.name === name));
  return [...computed.map((setting) => changed.get(setting.name) ?? setting), ...added];
}

function liftToPrimary(settings: Setting[], primary: Settings): Setting[] {
  return settings.map((setting) => {
    if (!(STANDBY_NOT_BELOW as readonly string[]).includes(setting.name)) return setting;
    const least = asNumber(lookUp(primary, setting.name)?.value) ?? 0;
    const own = asNumber(setting.value) ?? 0;
    return own >= least
      ? setting
      : { ...setting, value: number(least), reason: `as on the primary, not ${own}: a standby may not have less` };
  });
}

/**
 * Computes all PostgreSQL parameters of one node.
 * @throws InputError with every problem at once: a machine or count that makes no sense; a memory budget that cannot hold,
 * with the arithmetic (path `serverConnections`, or the override that breaks it); an override that is unknown, invalid,
 * fixed, or below what the climb needs (path `settings.<name>`)
 */
export function tune(input: TuningInput): Settings {
  const wrong = inputProblems(input);
  const { overrides, problems } = readOverrides(input);
  if (wrong.length > 0) throw new InputError("tuning", [...wrong, ...problems]);
  const scope = { input, budget: memoryBudget(input, lookIn(overrides)) };
  const computed = computeAll(scope);
  const all = [...problems, ...combinedProblems(input, overrides, computed)];
  if (all.length > 0) throw new InputError("tuning", all);
  const settings = applyOverrides(computed, overrides);
  return input.primary ? liftToPrimary(settings, input.primary) : settings;
}

/**
 * /dev/shm that a container of this node needs: parallel queries share their hash tables there, each worker and each
 * leader up to work_mem × hash_mem_multiplier; Docker's own 64 MB would fail them.
 */
export function sharedMemorySize(settings: Settings): KiB {
  const figure = (name: string) => asNumber(settingValue(settings, name)) ?? 0;
  const each = figure("work_mem") * figure("hash_mem_multiplier");
  return kib(Math.max(mib(64), 2 * figure("max_parallel_workers") * each));
}
