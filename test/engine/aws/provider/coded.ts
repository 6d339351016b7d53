/** The provider's and AWS' rules that no table of properties can hold, each under the id that its plain words have in ../rules. */
import { hasUnknown, isZero, listOf, objectsOf, type Props, UNKNOWN, type Value } from "../../../../offline/bridge/values.ts";
import type { Book } from "./account.ts";

/** What a rule looks at. In a preview, values may be unknown. */
export interface Look {
  readonly wanted: Props;
  /** The state before an update. */
  readonly before: Props;
  readonly book: Book;
  readonly region: string;
  readonly id: string;
}

/** When a rule is held: over the program's inputs, at AWS when something is made, changed, either, or deleted. */
export type Phase = "check" | "create" | "update" | "write" | "delete";

export interface Coded {
  readonly at: Phase;
  readonly broken: (look: Look) => boolean;
  /** Fails although the rule's words were not verified in a source. */
  readonly sure?: true;
}

/** By type token and the rule's id. */
export type CodedRules = Readonly<Record<string, Readonly<Record<string, Coded>>>>;

export const check = (broken: (wanted: Props) => boolean, sure?: true): Coded => ({
  at: "check",
  broken: ({ wanted }) => broken(wanted),
  ...(sure ? { sure } : {}),
});
const phase =
  (at: Phase) =>
  (broken: (look: Look) => boolean, sure?: true): Coded => ({ at, broken, ...(sure ? { sure } : {}) });
export const create = phase("create");
export const update = phase("update");
export const write = phase("write");
export const remove = phase("delete");

/** Set to something, or to something that is not known yet. */
export const given = (value: Value | undefined): boolean => !isZero(value);

/** Known, and exactly this. */
export const is = (value: Value | undefined, wanted: Value): boolean => value === wanted;

/** Known not to be this: unknown values may still become it. */
export const isNot = (value: Value | undefined, wanted: Value): boolean => value !== UNKNOWN && value !== wanted;

/** A number that is known; NaN, which no comparison holds for, otherwise. */
export const amount = (value: Value | undefined): number => (typeof value === "number" ? value : Number.NaN);

/** A text that is known, else undefined. */
export const known = (value: Value | undefined): string | undefined => (typeof value === "string" && value !== UNKNOWN ? value : undefined);

/** How many of these are given. */
export const count = (wanted: Props, ...names: readonly string[]): number => names.filter((name) => given(wanted[name])).length;

/** The blocks of a list or of a single block, known ones only. */
export const blocks = (value: Value | undefined): Props[] =>
  Array.isArray(value) ? objectsOf(value) : typeof value === "object" && value !== null ? [value] : [];

/** The known texts of a list; undefined when the whole list is unknown. */
export const words = (value: Value | undefined): string[] => listOf(value).flatMap((item) => known(item) ?? []);

/** True when a list holds a value that is not known yet. */
export const open = (value: Value | undefined): boolean => hasUnknown(value);

/** Whether a text is JSON; unknown text may be. */
export function isJson(value: Value | undefined): boolean {
  const text = known(value);
  if (text === undefined) return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** `rate(n unit)` or `cron(six fields)`, or with `at`, a single time. */
export function isSchedule(value: Value | undefined, kinds: readonly ("rate" | "cron" | "at")[]): boolean {
  const text = known(value);
  if (text === undefined) return true;
  const forms = {
    rate: /^rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)$/,
    cron: /^cron\(\S+ \S+ (\? \S+ \S+|\S+ \S+ \?) \S+\)$/,
    at: /^at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)$/,
  };
  return kinds.some((kind) => forms[kind].test(text));
}
