/**
 * The rule pack on made-up resources: an account in order passes every rule, and every rule is broken by a change of its own.
 * Whether the target keeps the rules: test/component/aws-policies and test/engine/aws.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EXCEPTIONS } from "../../policies/exceptions.ts";
import { describeViolation, evaluate, type Recorded, RULES } from "../../policies/index.ts";
import { statements } from "../../policies/read.ts";
import { BAD, type Change } from "./policies-bad.ts";
import { GOOD } from "./policies-good.ts";

const change = (by: Change): Recorded[] =>
  GOOD.flatMap((resource) => {
    const changed = by[resource.name];
    if (changed === null) return [];
    if (changed === undefined) return [resource];
    if ("protect" in changed) return [{ ...resource, protect: changed.protect === true }];
    return [{ ...resource, inputs: { ...resource.inputs, ...changed } }];
  });

test("an account in order has no violation and needs no exception", () => {
  expect(evaluate(GOOD, [])).toEqual({ violations: [], excused: [] });
});

test("rules have names of their own, a source, and something in the account in order that they judge", () => {
  const ids = RULES.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(RULES.filter(({ from, on }) => from.length === 0 || on.length === 0)).toEqual([]);
  expect(Object.keys(BAD).sort()).toEqual([...ids].sort());
});

describe.each(Object.entries(BAD))("%s", (rule, cases) => {
  test.each(cases)("is broken by %s", (path, by) => {
    const found = evaluate(change(by), []).violations.filter((violation) => violation.rule === rule);
    const [name] = Object.keys(by) as [string];
    expect(found).toContainEqual(expect.objectContaining({ path, want: RULES.find(({ id }) => id === rule)!.want }));
    // A missing companion is told of the resource that lacks it.
    if (!/^[a-z0-9]+\.[A-Z]/.test(path)) expect(found.map((violation) => violation.name)).toContain(name);
  });
});

describe("exceptions", () => {
  const broken = change({ "main-1": { port: 5432 } });

  test("excuse what they cover, with their reason, and nothing else", () => {
    const covers = ({ name }: Recorded) => name === "main-1";
    const { violations, excused } = evaluate(broken, [{ rule: "rds-port", covers, reason: "because" }]);
    expect(violations).toEqual([]);
    expect(excused).toEqual([
      {
        rule: "rds-port",
        type: "aws:rds/instance:Instance",
        name: "main-1",
        want: "another than 5432",
        path: "port",
        got: 5432,
        reason: "because",
      },
    ]);
  });

  test("of another rule or another resource excuse nothing", () => {
    for (const exception of [
      { rule: "rds-private", covers: () => true, reason: "because" },
      { rule: "rds-port", covers: ({ name }: Recorded) => name === "main-2", reason: "because" },
    ])
      expect(evaluate(broken, [exception]).violations.map(describeViolation)).toEqual([
        "rds-port: aws:rds/instance:Instance main-1: port: got 5432, want another than 5432",
      ]);
  });
});

test("a replica in its source's region is not asked for what it inherits", () => {
  const { kmsKeyId, dbSubnetGroupName, username, finalSnapshotIdentifier, ...inherits } = GOOD[0]!.inputs;
  const replica = { ...GOOD[0]!, inputs: { ...inherits, replicateSourceDb: "main-0", skipFinalSnapshot: true } };
  expect(evaluate([replica, ...GOOD.slice(1)], []).violations).toEqual([]);
  const abroad = { ...replica, inputs: { ...replica.inputs, replicateSourceDb: "arn:aws:rds:us-east-1:1:db:main-0" } };
  expect(evaluate([abroad, ...GOOD.slice(1)], []).violations.map(({ rule }) => rule)).toEqual(["rds-own-key", "rds-in-vpc"]);
});

test("policy documents are read with single values and lists alike; what is none has no statements", () => {
  const one = { Effect: "Allow", Action: "a:B", Resource: "r", Principal: { AWS: ["x", "y"], Service: "z" } };
  expect(statements(JSON.stringify({ Statement: one }))).toEqual([
    { effect: "Allow", actions: ["a:B"], resources: ["r"], principals: ["AWS:x", "AWS:y", "Service:z"], condition: undefined },
  ]);
  expect(statements({ Statement: [one, one] })).toHaveLength(2);
  for (const none of ["{", undefined, 1]) expect(statements(none)).toEqual([]);
});

describe("docs/policies.md", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/policies.md"), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| `"));
  const on = (kinds: readonly string[]) => (kinds.length > 4 ? `${kinds.length} types` : kinds.join(", "));

  test("lists every exception with its reason and every rule with its source", () => {
    expect(rows).toEqual([
      ...EXCEPTIONS.map(({ rule, reason }) => `| \`${rule}\` | ${reason} |`),
      ...RULES.map(
        (rule) => `| \`${rule.id}\` | ${on(rule.on)} | ${[rule.path, rule.want].filter(Boolean).join(": ")} | ${rule.from.join(", ")} |`,
      ),
    ]);
    expect(page).toContain(`${RULES.length} rules of AWS Security Hub`);
  });
});
