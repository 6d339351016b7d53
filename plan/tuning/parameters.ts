import { type KiB, kib, type Ms, ms } from "../types.ts";
import data from "./parameters.json" with { type: "json" };
import type { SettingValue } from "./types.ts";
import { bool, memory, number, text, time } from "./values.ts";

/** One row of pg_settings: what PostgreSQL accepts for a parameter and when it reads it. */
export interface Parameter {
  type: "bool" | "integer" | "real" | "enum" | "string";
  context: "user" | "superuser" | "sighup" | "postmaster" | "backend" | "superuser-backend";
  /** Unit of a bare number, of `min`, `max` and `boot`. */
  unit?: "B" | "kB" | "8kB" | "MB" | "ms" | "s" | "min";
  min?: number;
  max?: number;
  enum?: readonly string[];
  /** PostgreSQL's own default, in `unit`. */
  boot: string;
}

const PARAMETERS = data.parameters as Readonly<Record<string, Parameter>>;
const BY_LOWER_CASE = new Map(Object.keys(PARAMETERS).map((name) => [name.toLowerCase(), name]));

/** The parameter's spelling in pg_settings (names are case-insensitive), or undefined where PostgreSQL 17 has none. */
export const canonicalName = (name: string): string | undefined => BY_LOWER_CASE.get(name.toLowerCase());

/** @throws Error for a name that PostgreSQL 17 does not have */
export function parameter(name: string): Parameter {
  const found = PARAMETERS[name];
  if (!found) throw new Error(`PostgreSQL 17 has no parameter "${name}"`);
  return found;
}

/** PostgreSQL reads the parameter at server start only. */
export const needsRestart = (name: string): boolean => parameter(name).context === "postmaster";

/** KiB in each memory unit. */
export const MEMORY_UNIT: Readonly<Record<string, number>> = {
  B: 1 / 1024,
  kB: 1,
  "8kB": 8,
  MB: 1024,
  GB: 1024 * 1024,
  TB: 1024 * 1024 * 1024,
};
/** Milliseconds in each time unit. */
export const TIME_UNIT: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

const BOOLEANS: Readonly<Record<string, boolean>> = {
  on: true,
  true: true,
  yes: true,
  1: true,
  off: false,
  false: false,
  no: false,
  0: false,
};

/** What an operator may write for the parameter, for an error's `want`. */
export function accepted(name: string): string {
  const { type, unit, min, max, enum: choices } = parameter(name);
  switch (type) {
    case "bool":
      return "on or off";
    case "enum":
      return `one of ${(choices ?? []).join(", ")}`;
    case "string":
      return "a text on one line";
    default: {
      const kind = type === "real" ? "a number" : "a whole number";
      const units =
        unit === undefined ? "" : `, in ${unit}${unit in MEMORY_UNIT ? " or with a unit such as 16MB" : " or with a unit such as 5s"}`;
      return `${kind} from ${min} to ${max}${units}`;
    }
  }
}

/**
 * Reads a value as postgresql.conf would: '16MB', '1s', 'on', '0.9', a bare number in the parameter's own unit.
 * Special values (-1 of a parameter with a unit) stay numbers.
 * @returns undefined where PostgreSQL would refuse the value
 */
export function parseValue(name: string, raw: string): SettingValue | undefined {
  const { type, unit, min, max, enum: choices } = parameter(name);
  const value = raw.trim();
  if (type === "string") return /[\n\r\0]/.test(raw) ? undefined : text(raw);
  if (type === "bool") {
    const found = BOOLEANS[value.toLowerCase()];
    return found === undefined ? undefined : bool(found);
  }
  if (type === "enum") {
    const found = choices?.find((choice) => choice.toLowerCase() === value.toLowerCase());
    return found === undefined ? undefined : text(found);
  }
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z]*)$/i.exec(value);
  if (!match) return undefined;
  const table = unit === undefined ? undefined : unit in MEMORY_UNIT ? MEMORY_UNIT : TIME_UNIT;
  const written = match[2] ?? "";
  if (written !== "" && (table === undefined || written === "8kB" || !(written in table))) return undefined;
  const scale = table && unit ? table[written || unit]! / table[unit]! : 1;
  const inUnit = Number(match[1]) * scale;
  const exact = type === "integer" ? Math.round(inUnit) : inUnit;
  if (type === "integer" && written === "" && !Number.isInteger(inUnit)) return undefined;
  if (!Number.isFinite(exact) || exact < (min ?? -Infinity) || exact > (max ?? Infinity)) return undefined;
  return inUnits(exact, unit);
}

function inUnits(value: number, unit: Parameter["unit"]): SettingValue {
  if (unit === undefined || value < 0) return number(value);
  return unit in MEMORY_UNIT ? memory(kib(value * MEMORY_UNIT[unit]!) as KiB) : time(ms(value * TIME_UNIT[unit]!) as Ms);
}

/** PostgreSQL's own default, or undefined where it has none that can be read back (an empty text). */
export function stockValue(name: string): SettingValue | undefined {
  const { boot } = parameter(name);
  return boot === "" ? undefined : parseValue(name, boot);
}
