import { createHash, randomBytes } from "node:crypto";
import type { Rule, Rules } from "./rules.ts";
import { isProps, isZero, type Props, UNKNOWN, type Value } from "./values.ts";

export interface Failure {
  readonly property: string;
  readonly reason: string;
}

/**
 * Validates a program's inputs against the table. Every problem is returned, not only the first.
 * @param fill writes defaults other than zero into the inputs and lists them in `__defaults`, as real plugins of the older kind do; those of the
 *   newer kind drop unknown properties instead of refusing them.
 */
export function checkInputs(rules: Rules, news: Props, fill: boolean): { inputs: Props; failures: Failure[] } {
  const failures: Failure[] = [];
  return { inputs: checkObject(rules, news, "", fill, failures), failures };
}

function checkObject(rules: Rules, news: Props, path: string, fill: boolean, failures: Failure[]): Props {
  const inputs: Props = {};
  const defaults: string[] = [];
  for (const [name, value] of Object.entries(news)) {
    if (name === "__defaults" || value === null) continue;
    const at = path === "" ? name : `${path}.${name}`;
    const rule = rules[name];
    if (rule === undefined && !fill) continue;
    if (rule === undefined || rule.output)
      failures.push({ property: at, reason: `got an unexpected property, want one of ${nameList(rules)}` });
    else if (rule.unsupported) failures.push({ property: at, reason: "the stand-in provider cannot do this; the real plugin is needed" });
    else inputs[name] = checkValue(rule, value, at, fill, failures);
  }
  for (const [name, rule] of Object.entries(rules)) {
    if (inputs[name] !== undefined) continue;
    if (rule.required && news[name] === undefined) {
      failures.push({ property: path === "" ? name : `${path}.${name}`, reason: "Missing required argument" });
    }
    if (fill && !isZero(rule.default)) {
      inputs[name] = rule.default ?? null;
      defaults.push(name);
    }
  }
  if (fill) inputs.__defaults = defaults.sort();
  return inputs;
}

function checkValue(rule: Rule, value: Value, path: string, fill: boolean, failures: Failure[]): Value {
  if (value === UNKNOWN) return value;
  const wrong = (got: Value): Value => {
    failures.push({ property: path, reason: `got ${JSON.stringify(got)}, want a value of type ${rule.type}` });
    return got;
  };
  let checked = value;
  switch (rule.type) {
    case "string":
      if (typeof value === "number" || typeof value === "boolean") checked = String(value);
      else if (typeof value !== "string") return wrong(value);
      break;
    case "integer":
      if (typeof value === "string" && /^-?\d+$/.test(value)) checked = Number(value);
      else if (typeof value !== "number" || !Number.isInteger(value)) return wrong(value);
      break;
    case "number":
      if (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value))) checked = Number(value);
      else if (typeof value !== "number") return wrong(value);
      break;
    case "boolean":
      if (value === "true" || value === "false") checked = value === "true";
      else if (typeof value !== "boolean") return wrong(value);
      break;
    case "map":
      if (!isProps(value)) return wrong(value);
      checked = Object.fromEntries(
        Object.entries(value)
          .filter(([key, item]) => key !== "__defaults" && item !== null)
          .map(([key, item]) => [key, checkValue({ type: "string" }, item, `${path}.${key}`, fill, failures)]),
      );
      break;
    case "list":
    case "set": {
      if (!Array.isArray(value)) return wrong(value);
      const items = rule.items ?? { type: "string" };
      checked = value.map((item, index) => checkValue(items, item, `${path}[${index}]`, fill, failures));
      break;
    }
    case "object":
      if (!isProps(value)) return wrong(value);
      checked = checkObject(rule.fields ?? {}, value, path, fill, failures);
      break;
  }
  const reason = rule.test?.(checked);
  if (reason !== undefined) failures.push({ property: path, reason });
  return checked;
}

function nameList(rules: Rules): string {
  return Object.keys(rules)
    .filter((name) => !rules[name]?.output)
    .sort()
    .join(", ");
}

/**
 * Gives a resource without a `name` one made of its Pulumi name and seven hexadecimal digits, and keeps it from then on.
 * The engine's seed makes a preview and its update agree.
 */
export function autoName(urn: string, inputs: Props, olds: Props, seed: Uint8Array): void {
  if (inputs.name !== undefined) return;
  const old = olds.name;
  const name = urn.slice(urn.lastIndexOf("::") + 2);
  const digits = seed.length > 0 ? createHash("sha256").update(seed).update(name).digest("hex") : randomBytes(4).toString("hex");
  inputs.name = typeof old === "string" ? old : `${name}-${digits.slice(0, 7)}`;
  inputs.__defaults = [...(Array.isArray(inputs.__defaults) ? inputs.__defaults : []), "name"];
}
