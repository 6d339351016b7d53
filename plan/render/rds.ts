import { asNumber } from "../tuning/overrides.ts";
import { MEMORY_UNIT, TIME_UNIT } from "../tuning/parameters.ts";
import type { Setting, Settings, SettingValue } from "../tuning/types.ts";
import data from "./rds-parameters.json" with { type: "json" };

/** One entry of an RDS parameter group. */
export interface RdsParameter {
  name: string;
  value: string;
  /** Static parameters must say `pending-reboot`: the API refuses `immediate` for them. */
  applyMethod: "immediate" | "pending-reboot";
}

interface RdsRule {
  apply: string;
  unit?: string;
  min?: number;
  max?: number;
}

const RULES = new Map(
  Object.entries(data.parameters as Readonly<Record<string, RdsRule>>).map(([name, rule]) => [name.toLowerCase(), { name, ...rule }]),
);

/** What RDS calls by another name: these can only be asked for in its own terms. */
const RDS_OWN: Readonly<Record<string, { name: string; value: string }>> = {
  wal_level: { name: "rds.logical_replication", value: "1" },
  ssl: { name: "rds.force_ssl", value: "1" },
};

/** Parameters that PostgreSQL got after version 15, the oldest that is offered. */
const SINCE: Readonly<Record<string, number>> = {
  vacuum_buffer_usage_limit: 16,
  reserved_connections: 16,
  io_combine_limit: 17,
  transaction_timeout: 17,
};

function inRdsUnit(value: SettingValue, unit: string | undefined): string {
  if (value.kind === "bool") return value.value ? "1" : "0";
  const amount = asNumber(value);
  if (amount === undefined || value.kind === "number" || unit === undefined) return String(value.kind === "text" ? value.value : amount);
  const size = (value.kind === "memory" ? MEMORY_UNIT : TIME_UNIT)[unit];
  if (size === undefined) throw new Error(`RDS unit "${unit}" is not known`);
  return String(Math.round(amount / size));
}

function renderOne({ name, value }: Setting): RdsParameter[] {
  const own = RDS_OWN[name];
  const rule = RULES.get((own?.name ?? name).toLowerCase());
  if (!rule) return [];
  const applyMethod = rule.apply === "static" ? "pending-reboot" : "immediate";
  return [{ name: rule.name, value: own?.value ?? inRdsUnit(value, rule.unit), applyMethod }];
}

/**
 * The settings as an RDS parameter group: RDS' units, static or dynamic, without what RDS does not let be set (it decides
 * that itself) and without what the major version does not have. Sorted by name, so that a preview shows real changes only.
 */
export function renderRds(settings: Settings, majorVersion: number): RdsParameter[] {
  return settings
    .filter(({ name }) => majorVersion >= (SINCE[name] ?? 0))
    .flatMap(renderOne)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
