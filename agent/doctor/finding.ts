/** What the doctor says. */

/** "blocks": sharding fails, or is silently wrong. "costs": it works, and this is what changes. "fine": looked at, nothing to do. */
export type Level = "blocks" | "costs" | "fine";

export interface Finding {
  object: string;
  level: Level;
  why: string;
  /** SQL, a line of configuration, or what to do; empty where nothing is to be done. */
  fix: string;
}

export const block = (object: string, why: string, fix: string): Finding => ({ object, level: "blocks", why, fix });
export const cost = (object: string, why: string, fix: string): Finding => ({ object, level: "costs", why, fix });
export const fine = (object: string, why: string): Finding => ({ object, level: "fine", why, fix: "" });

/** A line for the stack's configuration file. */
export const tableLine = (table: string, declaration: string): string => `pgladder:tables: { ${table}: ${declaration} }`;

const SIZES = ["B", "kB", "MB", "GB", "TB"] as const;

/** Bytes as PostgreSQL shows them: 1 kB is 1,024 B. */
export function size(bytes: number): string {
  const step = Math.min(SIZES.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  const value = bytes / 1_024 ** step;
  return `${value >= 100 || step === 0 ? Math.round(value) : Number(value.toFixed(1))} ${SIZES[step]}`;
}

/** A number for people: 12,345 or 0.042. */
export const count = (value: number): string =>
  value.toLocaleString("en-US", value < 10 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 });
