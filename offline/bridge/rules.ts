import type { Value } from "./values.ts";

/** What may be said about one property, as in the real provider's schema. */
export interface Traits {
  readonly required?: true;
  /** The provider fills it in where the program leaves it out, so its absence is no change. */
  readonly computed?: true;
  /** Only an output: the program may not set it. */
  readonly output?: true;
  /** A change makes a new resource; "length": only when a list gets longer or shorter. */
  readonly replaces?: true | "length";
  /** Kept encrypted in the state. */
  readonly secret?: true;
  /** Present in the real provider, not built here: refused with a message instead of being ignored. */
  readonly unsupported?: true;
  readonly default?: Value;
  /** @returns what is wrong with the value, or undefined. */
  readonly test?: (value: Value) => string | undefined;
  /** @returns true when the old and the new value mean the same, beyond plain equality; a value that was taken out is "". */
  readonly same?: (old: Value | undefined, now: Value) => boolean;
}

export interface Rule extends Traits {
  readonly type: "string" | "integer" | "number" | "boolean" | "map" | "list" | "set" | "object" | "any";
  readonly items?: Rule;
  readonly fields?: Rules;
}

export type Rules = { readonly [property: string]: Rule };

export const text = (traits: Traits = {}): Rule => ({ type: "string", ...traits });
export const integer = (traits: Traits = {}): Rule => ({ type: "integer", ...traits });
export const flag = (traits: Traits = {}): Rule => ({ type: "boolean", ...traits });
export const map = (traits: Traits = {}): Rule => ({ type: "map", ...traits });
export const list = (items: Rule, traits: Traits = {}): Rule => ({ type: "list", items, ...traits });
export const set = (items: Rule, traits: Traits = {}): Rule => ({ type: "set", items, ...traits });
export const object = (fields: Rules, traits: Traits = {}): Rule => ({ type: "object", fields, ...traits });

/** @returns a test that refuses numbers below `least`. */
export function atLeast(least: number): (value: Value) => string | undefined {
  return (value) => (Number(value) < least ? `'${value}' cannot be lower than ${least}` : undefined);
}

/** @returns a test that refuses strings that do not match. */
export function matches(pattern: RegExp): (value: Value) => string | undefined {
  return (value) => (pattern.test(String(value)) ? undefined : `'${value}' doesn't match the pattern '${pattern.source}'`);
}

/** @returns a test that refuses strings outside the list. */
export function oneOf(allowed: readonly string[]): (value: Value) => string | undefined {
  return (value) =>
    allowed.includes(String(value)) ? undefined : `value must be one of: [${allowed.map((a) => `"${a}"`).join(" ")}], got: "${value}"`;
}
