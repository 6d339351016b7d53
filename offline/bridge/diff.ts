import type { Rule, Rules } from "./rules.ts";
import { hasUnknown, isProps, isZero, listOf, type Props, type Value } from "./values.ts";

export interface Change {
  readonly property: string;
  readonly kind: "add" | "update" | "delete";
  readonly replaces: boolean;
}

/**
 * Compares the recorded state with what the program asks for now, by the real provider's rules: what the program leaves out is a
 * change only where the provider does not compute it and the state holds something, sets have no order, unset and zero are the same.
 * A list that the provider should have filled in and did not, because a creation broke off, counts as changed: this is what makes the
 * next update replace a half-made container.
 */
export function diffState(rules: Rules, state: Props, inputs: Props): Change[] {
  const changes: Change[] = [];
  for (const [property, rule] of Object.entries(rules)) {
    const old = state[property];
    const now = inputs[property];
    if (rule.type === "list" && (rule.computed || rule.output) && old === undefined && now === undefined) {
      changes.push({ property, kind: "add", replaces: rule.replaces === true });
    }
    if (rule.output) continue;
    if (now === undefined ? rule.computed || isZero(old) || rule.same?.(old, "") : sameValue(rule, old, now)) continue;
    const kind = now === undefined ? "delete" : isUnset(old) ? "add" : "update";
    changes.push({ property, kind, replaces: replacing(rule, old, now) });
  }
  return changes;
}

/** Not there at all, where false, 0 and "" are values. */
function isUnset(value: Value | undefined): boolean {
  return (typeof value === "object" || value === undefined) && isZero(value);
}

/** Whether a change makes a new resource; some lists do so only when their length changes. */
function replacing(rule: Rule, old: Value | undefined, now: Value | undefined): boolean {
  return rule.replaces === "length" ? listOf(old).length !== listOf(now).length : rule.replaces === true;
}

function sameValue(rule: Rule, old: Value | undefined, now: Value): boolean {
  if (hasUnknown(now)) return false;
  if (rule.same?.(old, now)) return true;
  if (isZero(old) && isZero(now)) return true;
  return canonical(rule, old) === canonical(rule, now);
}

/** A text that is equal for two values exactly when the real provider sees no difference between them. */
function canonical(rule: Rule, value: Value | undefined): string {
  if (isZero(value)) return "unset";
  if (rule.items !== undefined && Array.isArray(value)) {
    const items = rule.items;
    const texts = value.map((item) => canonical(items, item));
    return `[${(rule.type === "set" ? texts.sort() : texts).join(",")}]`;
  }
  if (rule.fields !== undefined && isProps(value)) {
    const fields = Object.entries(rule.fields).map(([name, field]) => `${name}:${canonical(field, value[name])}`);
    return `{${fields.join(",")}}`;
  }
  if (isProps(value)) {
    const entries = Object.entries(value).filter(([key]) => key !== "__defaults");
    return JSON.stringify(entries.map(([key, item]) => [key, String(item)]).sort());
  }
  return JSON.stringify(value);
}

/** The inputs with every default of the table, zero ones too. */
export function withDefaults(rules: Rules, inputs: Props): Props {
  const wanted: Props = { ...inputs };
  for (const [property, rule] of Object.entries(rules)) {
    if (wanted[property] === undefined && rule.default !== undefined) wanted[property] = rule.default;
  }
  return wanted;
}

/**
 * The state that an update without further observation leaves behind: what is wanted, and what the provider computed before.
 * A plain value that is no longer wanted stays as its zero.
 */
export function plannedState(rules: Rules, state: Props, wanted: Props): Props {
  const planned: Props = {};
  for (const [property, rule] of Object.entries(rules)) {
    const old = state[property];
    const zero = typeof old === "number" ? 0 : typeof old === "string" ? "" : typeof old === "boolean" ? false : undefined;
    const value = wanted[property] ?? (rule.computed || rule.output ? old : zero);
    if (value !== undefined) planned[property] = value;
  }
  return planned;
}

/** The properties that the table knows, as they are. */
export function known(rules: Rules, state: Props): Props {
  return Object.fromEntries(Object.entries(state).filter(([property]) => rules[property] !== undefined));
}

/**
 * A state as the real provider's: lists of blocks are there even when empty, and blocks have all their texts and lists.
 * @param finished false when a creation broke off before the provider filled in its own lists.
 */
export function settledState(rules: Rules, state: Props, finished: boolean): Props {
  return Object.fromEntries(
    Object.entries(rules).flatMap(([property, rule]) => {
      const value = state[property];
      const listed = rule.type === "list" || rule.type === "set";
      if (value === undefined || value === null) {
        const own = rule.computed === true || rule.output === true;
        const present = own ? finished || rule.type === "set" : rule.items?.fields !== undefined;
        return listed && present && !rule.unsupported ? [[property, []]] : [];
      }
      return [[property, settledValue(rule, value)]];
    }),
  );
}

function settledValue(rule: Rule, value: Value): Value {
  const { items, fields } = rule;
  if (items !== undefined && Array.isArray(value)) return value.map((item) => settledValue(items, item));
  if (fields === undefined || !isProps(value) || Object.keys(fields).length === 0) return value;
  const settled: Props = {};
  for (const [name, field] of Object.entries(fields)) {
    const inner = value[name] ?? field.default ?? EMPTY[field.type];
    if (inner !== undefined) settled[name] = settledValue(field, inner);
  }
  return settled;
}

const EMPTY: Readonly<Partial<Record<Rule["type"], Value>>> = { string: "", list: [], set: [], map: {} };

/** After a refresh: the old inputs with the values that were found, so that the next preview shows what drifted. */
export function driftedInputs(rules: Rules, inputs: Props, state: Props): Props {
  const { __defaults: filled, ...given } = inputs;
  const drifted: Props = {};
  const moved = new Set<Value>();
  const imported = Object.keys(given).length === 0;
  for (const [property, rule] of Object.entries(rules)) {
    const asked = given[property];
    const found = state[property];
    if (imported && !rule.output && !isZero(found) && found !== undefined) drifted[property] = found;
    if (asked === undefined) continue;
    const same = found === undefined || sameValue(rule, found, asked);
    drifted[property] = same ? asked : found;
    if (!same) moved.add(property);
  }
  if (Array.isArray(filled)) drifted.__defaults = filled.filter((property) => !moved.has(property));
  return drifted;
}
