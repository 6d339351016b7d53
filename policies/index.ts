/**
 * Rules for resources on AWS, evaluated over what was asked for: by the mocks (test/component) and by the real engine (test/engine/aws).
 * They say nothing about what AWS does with it. What is not covered by a reasoned exception is a violation.
 */
import { EXCEPTIONS } from "./exceptions.ts";
import { ACCESS } from "./rules/access.ts";
import { CACHE } from "./rules/cache.ts";
import { DATABASE } from "./rules/database.ts";
import { HOSTS } from "./rules/hosts.ts";
import { NETWORK } from "./rules/network.ts";
import { UPKEEP } from "./rules/upkeep.ts";
import { type Exception, type Excused, type Recorded, type Rule, token, type Violation } from "./types.ts";

export type { Exception, Excused, Recorded, Rule, Violation } from "./types.ts";

export const RULES: readonly Rule[] = [...DATABASE, ...CACHE, ...NETWORK, ...HOSTS, ...ACCESS, ...UPKEEP];

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly excused: readonly Excused[];
}

/** Judges every resource of one stack by every rule. */
export function evaluate(resources: readonly Recorded[], exceptions: readonly Exception[] = EXCEPTIONS): Verdict {
  const violations: Violation[] = [];
  const excused: Excused[] = [];
  for (const { id, on, want, check } of RULES) {
    const types = new Set(on.map(token));
    for (const resource of resources.filter(({ type }) => types.has(type)))
      for (const finding of check(resource, resources)) {
        const violation = { rule: id, type: resource.type, name: resource.name, want, ...finding };
        const exception = exceptions.find(({ rule, covers }) => rule === id && covers(resource, resources));
        if (exception) excused.push({ ...violation, reason: exception.reason });
        else violations.push(violation);
      }
  }
  return { violations, excused };
}

/** One line for a violation, in the project's words. */
export const describeViolation = ({ rule, type, name, path, got, want }: Violation): string =>
  `${rule}: ${type} ${name}: ${path}: got ${got === undefined ? "nothing" : JSON.stringify(got)}, want ${want}`;
