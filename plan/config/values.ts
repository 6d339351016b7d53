/** Building blocks of the configuration's schema: each says in words what it wants, for the error message. */
import * as z from "zod";
import { type KiB, kib, type Ms, ms } from "../types.ts";

/** A value that `read` understands; `read` answers undefined for anything else, and the problem then says `want`. */
export function value<T>(want: string, read: (raw: unknown) => T | undefined) {
  return z.unknown().transform((raw, context): T => {
    const found = read(raw);
    if (found !== undefined) return found;
    context.addIssue({ code: "custom", message: want, input: raw });
    return z.NEVER;
  });
}

/** Whole number, also as text because Pulumi keeps top-level values as text. */
export function integer(from: number, to: number, want = `a whole number from ${from} to ${to}`) {
  return value(want, (raw) => {
    const n = typeof raw === "string" && /^-?\d+$/.test(raw) ? Number(raw) : raw;
    return typeof n === "number" && Number.isInteger(n) && n >= from && n <= to ? n : undefined;
  });
}

export const boolean = () =>
  value("true or false", (raw) => (raw === true || raw === "true" ? true : raw === false || raw === "false" ? false : undefined));

export const text = (pattern: RegExp, want: string) =>
  value(want, (raw) => (typeof raw === "string" && pattern.test(raw) ? raw : undefined));

export function oneOf<const T extends string | number>(choices: readonly T[]) {
  const want = choices.length > 1 ? `one of ${choices.join(", ")}` : `${choices[0]}`;
  return value(want, (raw) => choices.find((choice) => choice === raw || String(choice) === raw));
}

const SIZE_UNITS: Record<string, number> = { kB: 1, MB: 1024, GB: 1024 ** 2, TB: 1024 ** 3 };

/** A size in PostgreSQL's spelling, such as "512MB", as KiB; undefined where it is none. */
export function readSize(raw: unknown): KiB | undefined {
  const [, amount, unit] = (typeof raw === "string" && /^(\d+(?:\.\d+)?) ?(kB|MB|GB|TB)$/.exec(raw)) || [];
  return unit === undefined ? undefined : kib(Math.round(Number(amount) * SIZE_UNITS[unit]!));
}

export const size = (atLeast: string) =>
  value(`a size of at least ${atLeast}, such as "512MB" or "8GB"`, (raw) => {
    const found = readSize(raw);
    return found !== undefined && found >= readSize(atLeast)! ? found : undefined;
  });

const TIME_UNITS: Record<string, number> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration in PostgreSQL's spelling, such as "500ms" or "10min", as milliseconds; 0 needs no unit. */
export const duration = () =>
  value('a duration such as "500ms", "3s" or "10min"', (raw): Ms | undefined => {
    if (raw === 0 || raw === "0") return ms(0);
    const [, amount, unit] = (typeof raw === "string" && /^(\d+) ?(ms|s|min|h|d)$/.exec(raw)) || [];
    return unit === undefined ? undefined : ms(Number(amount) * TIME_UNITS[unit]!);
  });

/** What an unknown key's problem says: the nearest known key, or all of them. */
export function knownKey(given: string, known: readonly string[]): string {
  const [nearest] = known
    .map((key) => ({ key, distance: editDistance(given.toLowerCase(), key.toLowerCase()) }))
    .filter(({ key, distance }) => distance <= Math.ceil(key.length / 3))
    .sort((a, b) => a.distance - b.distance);
  return nearest ? `a known key (did you mean "${nearest.key}"?)` : `a known key (${known.join(", ")})`;
}

/** Levenshtein's distance: single-character edits from `a` to `b`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, char] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (char === b[j] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** A map with these keys and no other. Its message for unknown keys has one line for each of them. */
export const object = <S extends z.ZodRawShape>(shape: S) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys" ? issue.keys.map((key) => knownKey(key, Object.keys(shape))).join("\n") : "a map",
  });

export const list = <T extends z.ZodType>(item: T, of: string) => z.array(item, { error: `a list of ${of}` });

export const map = <T extends z.ZodType>(key: RegExp, keyWant: string, item: T) =>
  z.record(z.string().regex(key, { error: keyWant }), item, { error: "a map" });
