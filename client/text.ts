/** Values as PostgreSQL's text: the same for parameters and for COPY, so a row is the same whichever way it goes in. Pure. */
import type { Column } from "./catalog.ts";

type Type = Pick<Column, "base" | "array">;

/**
 * The text of a value for a column; null stays null. What node-postgres reads from a column can be written to it again:
 * - json, jsonb: any value as JSON. A string becomes a JSON string, so do not stringify before. SQL's NULL for null.
 * - arrays: JavaScript arrays, nested for more dimensions.
 * - bytea: Buffer or Uint8Array. Date: exact to its millisecond; local time for `timestamp` and `date`, as node-postgres reads them.
 * - int8 and numeric: string, bigint or number.
 */
export function toText(value: unknown, type: Type): string | null {
  if (value === null || value === undefined) return null;
  if (type.array && Array.isArray(value)) return arrayText(value, type.base);
  if (!type.array && (type.base === "json" || type.base === "jsonb")) return JSON.stringify(value);
  if (typeof value === "string") return value;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "boolean") return value ? "t" : "f";
  if (value instanceof Date) return dateText(value, type.base === "timestamptz");
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}`;
  return hasOwnText(value) ? value.toPostgres() : JSON.stringify(value);
}

/** As node-postgres's own types have it, intervals for one. */
function hasOwnText(value: unknown): value is { toPostgres: () => string } {
  return typeof value === "object" && value !== null && "toPostgres" in value && typeof value.toPostgres === "function";
}

function arrayText(values: readonly unknown[], base: string): string {
  const nested = base !== "json" && base !== "jsonb";
  const elements = values.map((value) => {
    if (nested && Array.isArray(value)) return arrayText(value, base);
    const text = toText(value, { base, array: false });
    return text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`;
  });
  return `{${elements.join(",")}}`;
}

function dateText(date: Date, utc: boolean): string {
  const [year, month, day, hour, minute, second] = utc
    ? [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    : [date.getFullYear(), date.getMonth(), date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()];
  const pad = (n: number, width = 2) => String(n).padStart(width, "0");
  const before = year < 1;
  const day_ = `${pad(before ? 1 - year : year, 4)}-${pad(month + 1)}-${pad(day)}`;
  const time = `${pad(hour)}:${pad(minute)}:${pad(second)}.${pad(date.getUTCMilliseconds(), 3)}`;
  return `${day_} ${time}${utc ? "+00" : ""}${before ? " BC" : ""}`;
}

const ESCAPES: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One line of COPY's text format. */
export function copyLine(texts: readonly (string | null)[]): string {
  return `${texts.map((text) => (text === null ? "\\N" : text.replace(/[\\\n\r\t]/g, (c) => ESCAPES[c]!))).join("\t")}\n`;
}
