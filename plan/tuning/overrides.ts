import rds from "../render/rds-parameters.json" with { type: "json" };
import type { Problem } from "../types.ts";
import { budgetProblem, type Overridden } from "./budget.ts";
import { RESERVED_CONNECTIONS as R, RESERVED } from "./climb.ts";
import { FIXED } from "./fixed.ts";
import { accepted, canonicalName, parseValue } from "./parameters.ts";
import { ROLE_TIMEOUTS } from "./timeouts.ts";
import type { Setting, SettingValue, TuningInput } from "./types.ts";
import { showValue } from "./values.ts";

/** The operator's values by the parameters' canonical names. */
export type Overrides = ReadonlyMap<string, SettingValue>;

const RDS_NAMES = new Set(Object.keys(rds.parameters).map((name) => name.toLowerCase()));

/** A value as a number, in KiB, ms or plain; undefined for words and switches. */
export function asNumber(value: SettingValue | undefined): number | undefined {
  switch (value?.kind) {
    case "memory":
      return value.kib;
    case "time":
      return value.ms;
    case "number":
      return value.value;
    default:
      return undefined;
  }
}

export const lookIn =
  (overrides: Overrides): Overridden =>
  (name) =>
    asNumber(overrides.get(name));

function problemOf(name: string, raw: string, input: TuningInput): Problem | undefined {
  const path = `settings.${name}`;
  const canonical = canonicalName(name);
  if (canonical === undefined) return { path, got: raw, want: "a parameter of PostgreSQL 17, pg_stat_statements, pg_cron or pgaudit" };
  const fixed = FIXED[canonical];
  if (fixed !== undefined) return { path, got: raw, want: `no override: ${fixed}` };
  if (input.platform === "rds" && !RDS_NAMES.has(canonical.toLowerCase())) {
    return { path, got: raw, want: "a parameter that RDS lets be set" };
  }
  return parseValue(canonical, raw) === undefined ? { path, got: raw, want: accepted(canonical) } : undefined;
}

/**
 * Reads the operator's overrides against PostgreSQL 17's own table of parameters.
 * @returns the values that are right, and a problem for each that is not
 */
export function readOverrides(input: TuningInput): { overrides: Overrides; problems: Problem[] } {
  const overrides = new Map<string, SettingValue>();
  const problems: Problem[] = [];
  for (const [name, raw] of Object.entries(input.overrides)) {
    const problem = problemOf(name, raw, input);
    if (problem) problems.push(problem);
    else overrides.set(canonicalName(name)!, parseValue(canonicalName(name)!, raw)!);
  }
  return { overrides, problems };
}

/** Sized for the climb, so more is welcome and less is refused. */
const AT_LEAST = ["max_wal_senders", "max_replication_slots", "max_worker_processes", "max_logical_replication_workers"];

interface Rule {
  name: string;
  /** What is wrong, as the `want` of the problem; undefined where all is well. */
  check(value: number, other: (name: string) => number, input: TuningInput): string | undefined;
}

const RULES: readonly Rule[] = [
  {
    name: "max_connections",
    check: (value, _, { serverConnections }) =>
      value < serverConnections + RESERVED
        ? `at least ${serverConnections + RESERVED}: ${serverConnections} of the poolers + ${RESERVED} reserved`
        : undefined,
  },
  {
    name: "superuser_reserved_connections",
    check: (value) => (value < R.superuser ? `at least ${R.superuser}: Patroni and an operator` : undefined),
  },
  {
    name: "reserved_connections",
    check: (value, other, { serverConnections }) => {
      const most = other("max_connections") - other("superuser_reserved_connections") - serverConnections;
      return value > most ? `at most ${most}, so that the poolers get their ${serverConnections}` : undefined;
    },
  },
  {
    name: "min_wal_size",
    check: (value, other) => (value > other("max_wal_size") ? "at most max_wal_size" : undefined),
  },
];

/** What is wrong with overrides that are right by themselves: with the climb, the budget, or each other. */
export function combinedProblems(input: TuningInput, overrides: Overrides, computed: readonly Setting[]): Problem[] {
  const overridden = lookIn(overrides);
  const other = (name: string) => overridden(name) ?? asNumber(computed.find((setting) => setting.name === name)?.value) ?? 0;
  const problems: Problem[] = [];
  const refuse = (name: string, want: string) => problems.push({ path: `settings.${name}`, got: showValue(overrides.get(name)!), want });
  for (const name of AT_LEAST) {
    const value = overridden(name);
    const setting = computed.find((candidate) => candidate.name === name);
    const least = asNumber(setting?.value);
    if (value !== undefined && least !== undefined && value < least) refuse(name, `at least ${least}: ${setting?.reason}`);
  }
  for (const { name, check } of RULES) {
    const value = overridden(name);
    const want = value === undefined ? undefined : check(value, other, input);
    if (want !== undefined) refuse(name, want);
  }
  const budget = budgetProblem(input, overridden);
  return budget ? [...problems, budget] : problems;
}

/** Overrides of these go to the application's roles and leave the server-wide value alone. */
export const isRoleTimeout = (name: string): boolean => (ROLE_TIMEOUTS as readonly string[]).includes(name);
