/**
 * Every resource of stages 1 to 4 under the rule pack of policies/: nothing breaks a rule but what an exception gives a reason for.
 * Under mocks: cannot prove what AWS makes of it. The same over the real engine's resources: test/engine/aws.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { EXCEPTIONS } from "../../policies/exceptions.ts";
import { describeViolation, evaluate, type Recorded, RULES, type Verdict } from "../../policies/index.ts";
import { token } from "../../policies/types.ts";
import type { Given } from "../support/config.ts";
import { runAws } from "./aws-mocks.ts";

const RUNS: Readonly<Record<string, Given>> = {
  "stage 1": { stage: 1 },
  "stage 2": { stage: 2 },
  "stage 3": { stage: 3 },
  "stage 3 in two regions": { stage: 3, replicaRegions: ["eu-west-1"] },
  "stage 4 in two regions": { stage: 4, shards: { count: 2 }, replicaRegions: ["eu-west-1"] },
  "an RDS Proxy": { stage: 2, aws: { rdsProxy: true } },
  "an existing network": { stage: 1, aws: { vpcId: "vpc-0123456789abcdef0", subnetIds: ["subnet-0000000a", "subnet-0000000b"] } },
};

const seen = new Map<string, { resources: readonly Recorded[]; verdict: Verdict }>();

beforeAll(async () => {
  for (const [name, given] of Object.entries(RUNS)) {
    const made = await runAws({ alerts: { receivers: ["oncall@example.com"] }, ...given });
    const resources = made.map(({ type, name: its, args, protect }) => ({ type, name: its, inputs: args, protect, id: `${its}-id` }));
    seen.set(name, { resources, verdict: evaluate(resources) });
  }
}, 120_000);

describe.each(Object.keys(RUNS))("%s", (name) => {
  test("breaks no rule without a reason", () => {
    expect(seen.get(name)!.verdict.violations.map(describeViolation)).toEqual([]);
  });
});

test("every exception is needed somewhere", () => {
  const used = new Set([...seen.values()].flatMap(({ verdict }) => verdict.excused.map(({ rule, reason }) => `${rule}: ${reason}`)));
  expect(EXCEPTIONS.map(({ rule, reason }) => `${rule}: ${reason}`).filter((each) => !used.has(each))).toEqual([]);
});

test("at least 45 rules judge something that the target makes", () => {
  const types = new Set([...seen.values()].flatMap(({ resources }) => resources.map(({ type }) => type)));
  const idle = RULES.filter(({ on }) => !on.some((kind) => types.has(token(kind)))).map(({ id }) => id);
  // There is no bucket, no function that others may call, no policy apart from its role, and no secret that AWS rotates.
  expect(idle.sort()).toEqual(["bucket-key", "bucket-private", "bucket-tls", "bucket-versions", "function-callers"]);
  expect(RULES.length - idle.length).toBeGreaterThanOrEqual(45);
});
