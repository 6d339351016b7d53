/** What properties of one resource demand of each other, by the table. */
import type { Failure } from "../../../../offline/bridge/check.ts";
import { isProps, type Props, type Value } from "../../../../offline/bridge/values.ts";
import type { PropertyRule, PropertyRules } from "./table.ts";

const present = (value: Value | undefined) => value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);

/** The table names neighbours by their path from the top; they lie in the same object. */
const neighbour = (name: string) => name.split(".").at(-1)!;

function problem(name: string, rule: PropertyRule, written: Props): string | undefined {
  const set = (names: readonly string[] = []) => names.map(neighbour).filter((other) => present(written[other]));
  if (present(written[name])) {
    const conflicts = set(rule.conflictsWith).filter((other) => other !== name);
    if (conflicts.length > 0) return `got it together with ${conflicts.join(", ")}, want one of them`;
    const missing = (rule.requiredWith ?? []).map(neighbour).filter((other) => !present(written[other]));
    if (missing.length > 0) return `got it without ${missing.join(", ")}, want both`;
  }
  const one = rule.exactlyOneOf;
  if (one && set(one).length !== 1) return `got ${set(one).join(" and ") || "none"}, want exactly one of ${one.map(neighbour).join(", ")}`;
  const some = rule.atLeastOneOf;
  if (some && set(some).length === 0) return `got none, want at least one of ${some.map(neighbour).join(", ")}`;
  return undefined;
}

/** @param written what the program wrote, without defaults: a default conflicts with nothing */
export function crossProblems(rules: PropertyRules, written: Props, path = ""): Failure[] {
  const failures: Failure[] = [];
  const told = new Set<string>();
  for (const [name, rule] of Object.entries(rules)) {
    if (rule.verified === false || rule.output) continue;
    const reason = problem(name, rule, written);
    if (reason !== undefined && !told.has(reason)) failures.push({ property: path + name, reason });
    if (reason !== undefined) told.add(reason);
    const value = written[name];
    const fields = rule.fields ?? rule.items?.fields;
    if (fields === undefined) continue;
    for (const block of [value ?? []].flat()) if (isProps(block)) failures.push(...crossProblems(fields, block, `${path}${name}.`));
  }
  return failures;
}
