/** The rules of the real provider as data (../rules/*.json), in the terms of the bridge that serves them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Rule, Rules } from "../../../../offline/bridge/rules.ts";
import type { Props, Value } from "../../../../offline/bridge/values.ts";
import { formatProblem } from "./formats.ts";

/** One property. Limits that only AWS holds are told together with the provider's own. */
export interface PropertyRule {
  readonly type: Rule["type"];
  readonly required?: boolean;
  readonly computed?: boolean;
  readonly output?: boolean;
  readonly forceNew?: boolean;
  readonly sensitive?: boolean;
  readonly default?: Value;
  readonly enum?: readonly Value[];
  readonly orEnum?: readonly Value[];
  readonly orMultipleOf?: number;
  readonly ignoreCase?: boolean;
  readonly min?: number;
  readonly max?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly orPattern?: string;
  readonly notPattern?: string | readonly string[];
  readonly format?: string;
  readonly conflictsWith?: readonly string[];
  readonly requiredWith?: readonly string[];
  readonly exactlyOneOf?: readonly string[];
  readonly atLeastOneOf?: readonly string[];
  readonly lowercased?: boolean;
  readonly autoName?: { readonly separator: string; readonly maxLength: number; readonly lowercase?: boolean };
  readonly items?: PropertyRule;
  readonly fields?: PropertyRules;
  /** false: not read in a source, so it does not fail anything. */
  readonly verified?: boolean;
}

export type PropertyRules = Readonly<Record<string, PropertyRule>>;

/** A rule that code holds (coded-*.ts), in plain words. */
export interface PlainRule {
  readonly text: string;
  readonly verified?: boolean;
}

export interface ResourceType {
  /** Holds data. */
  readonly stateful: boolean;
  /** Template of the id: `${property}` of the resource, and what `fill` in create.ts knows. */
  readonly id: string;
  /** The property that names it. */
  readonly name?: string;
  readonly deleteBeforeReplace?: boolean;
  readonly properties: PropertyRules;
  /** Templates of the computed values. */
  readonly outputs: Props;
  /** By id. */
  readonly rules: Readonly<Record<string, PlainRule>>;
}

const FOLDER = join(import.meta.dirname, "../rules");

/** All resource types that the stand-in knows, by token. */
export const TYPES: Readonly<Record<string, ResourceType>> = Object.assign(
  {},
  ...readdirSync(FOLDER).map((file) => JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as Record<string, ResourceType>),
);

/** A property's own limits as a test; undefined means it holds. */
function limits(rule: PropertyRule): (value: Value) => string | undefined {
  const flags = rule.ignoreCase ? "i" : "";
  const allowed = rule.enum && [...rule.enum, ...(rule.orEnum ?? [])];
  const patterns = [rule.pattern, rule.orPattern].flatMap((source) => (source === undefined ? [] : [new RegExp(source, flags)]));
  const forbidden = [rule.notPattern ?? []].flat().map((source) => new RegExp(source));
  const same = (a: Value, b: Value) => (rule.ignoreCase ? String(a).toLowerCase() === String(b).toLowerCase() : a === b);
  return (value) => {
    if (rule.orEnum?.includes(value)) return undefined;
    if (allowed && !allowed.some((option) => same(option, value))) {
      const multiple = rule.orMultipleOf !== undefined && Number(value) % rule.orMultipleOf === 0;
      if (!multiple) return `got ${JSON.stringify(value)}, want one of ${allowed.join(", ")}`;
    }
    if (typeof value === "number") {
      if (rule.min !== undefined && value < rule.min) return `got ${value}, want at least ${rule.min}`;
      if (rule.max !== undefined && value > rule.max) return `got ${value}, want at most ${rule.max}`;
    }
    if (Array.isArray(value)) {
      if (rule.minItems !== undefined && value.length < rule.minItems) return `got ${value.length} items, want at least ${rule.minItems}`;
      if (rule.maxItems !== undefined && value.length > rule.maxItems) return `got ${value.length} items, want at most ${rule.maxItems}`;
    }
    if (typeof value !== "string") return undefined;
    if (rule.minLength !== undefined && value.length < rule.minLength)
      return `got ${value.length} characters, want at least ${rule.minLength}`;
    if (rule.maxLength !== undefined && value.length > rule.maxLength)
      return `got ${value.length} characters, want at most ${rule.maxLength}`;
    if (patterns.length > 0 && !patterns.some((pattern) => pattern.test(value)))
      return `got ${JSON.stringify(value)}, want ${patterns.map(String).join(" or ")}`;
    const hit = forbidden.find((pattern) => pattern.test(value));
    if (hit) return `got ${JSON.stringify(value)}, want nothing like ${hit}`;
    return rule.format === undefined ? undefined : formatProblem(rule.format, value);
  };
}

/** Documents that say the same, in whatever order their keys stand. */
function sameDocument(old: Value | undefined, now: Value): boolean {
  if (typeof old !== "string" || typeof now !== "string" || old === "" || now === "") return false;
  try {
    return sorted(JSON.parse(old)) === sorted(JSON.parse(now));
  } catch {
    return false;
  }
}

function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${sorted(inner)}`)
    .join(",")}}`;
}

const sameLetters = (old: Value | undefined, now: Value) =>
  typeof old === "string" && typeof now === "string" && old.toLowerCase() === now.toLowerCase();

function bridgeRule(rule: PropertyRule): Rule {
  const same = rule.format === "json" ? sameDocument : rule.ignoreCase || rule.lowercased ? sameLetters : undefined;
  return {
    type: rule.type,
    ...(rule.required ? { required: true } : {}),
    ...(rule.computed ? { computed: true } : {}),
    ...(rule.output ? { output: true } : {}),
    ...(rule.forceNew ? { replaces: true } : {}),
    ...(rule.sensitive ? { secret: true } : {}),
    ...(rule.default === undefined ? {} : { default: rule.default }),
    ...(rule.items ? { items: bridgeRule(rule.items) } : {}),
    ...(rule.fields ? { fields: bridgeRules(rule.fields) } : {}),
    ...(same ? { same } : {}),
    ...(rule.verified === false ? {} : { test: limits(rule) }),
  };
}

export const bridgeRules = (properties: PropertyRules): Rules =>
  Object.fromEntries(Object.entries(properties).map(([name, rule]) => [name, bridgeRule(rule)]));
