/**
 * What `ladder plan` says about a change on AWS before it runs, from Pulumi's preview. Cannot prove that AWS interrupts just these: the
 * figures are AWS' own, and nothing of this project has run there.
 */
import { describe, expect, test } from "vitest";
import { announceAws, describeAws } from "../../cli/announce-aws.ts";
import type { Change } from "../../cli/progress.ts";

const change = (type: string, name: string, more: Partial<Change> = {}): Change => ({
  op: "update",
  kind: type.slice(type.lastIndexOf(":") + 1).toLowerCase(),
  name,
  urn: `urn:pulumi:dev::pgladder::pgladder:aws:Target$pgladder:aws:Database$${type}::${name}`,
  id: name,
  inputs: {},
  before: {},
  differs: [],
  ...more,
});

const INSTANCE = "aws:rds/instance:Instance";
const PARAMETERS = "aws:rds/parameterGroup:ParameterGroup";
const parameters = (...list: [name: string, value: string, applyMethod: string][]) => ({
  parameters: list.map(([name, value, applyMethod]) => ({ name, value, applyMethod })),
});

const largerClass = (name: string, before: Record<string, unknown> = {}) =>
  change(INSTANCE, name, {
    differs: ["instanceClass", "allocatedStorage"],
    before: { instanceClass: "db.t4g.medium", ...before },
    inputs: { instanceClass: "db.m7g.xlarge", ...before },
  });

describe("another class", () => {
  test("in one zone takes minutes, and the static parameters come with it", () => {
    const group = change(PARAMETERS, "main-1-pg17", {
      differs: ["parameters"],
      before: parameters(["max_connections", "100", "pending-reboot"], ["work_mem", "4096", "immediate"]),
      inputs: parameters(["max_connections", "200", "pending-reboot"], ["work_mem", "8192", "immediate"]),
    });
    expect(announceAws([group, largerClass("main-1")])).toEqual({
      restarts: [
        "PostgreSQL on main-1 takes max_connections 100 -> 200 with its restart",
        "instance main-1 changes its class (db.t4g.medium -> db.m7g.xlarge): it is down while RDS starts it on the other machine",
      ],
      stall: "minutes, for which AWS names no figure",
    });
  });

  test("in two zones is a fail-over", () => {
    expect(announceAws([largerClass("main-1", { multiAz: true })])).toEqual({
      restarts: [
        "instance main-1 changes its class (db.t4g.medium -> db.m7g.xlarge): its second zone takes over, and connections to it break",
      ],
      stall: "60 to 120 s, RDS' own figure for a fail-over",
    });
  });

  test("of a replica keeps no write waiting", () => {
    expect(announceAws([largerClass("main-2", { replicateSourceDb: "main-1" })])).toEqual({
      restarts: ["instance main-2 changes its class (db.t4g.medium -> db.m7g.xlarge): it restarts, reads go to the other nodes meanwhile"],
      stall: "none",
    });
  });
});

test("static parameters alone wait for a restart that the operator chooses", () => {
  const group = change(PARAMETERS, "main-2-pg17", {
    differs: ["parameters"],
    before: parameters(["shared_buffers", "131072", "pending-reboot"]),
    inputs: parameters(["shared_buffers", "262144", "pending-reboot"], ["max_wal_senders", "40", "pending-reboot"]),
  });
  expect(announceAws([group])).toEqual({
    restarts: [
      "PostgreSQL on main-2 takes shared_buffers 131072 -> 262144, max_wal_senders unset -> 40 at its next restart " +
        "(aws rds reboot-db-instance), which is yours to choose",
    ],
    stall: "none",
  });
});

test.each([
  ["dynamic parameters", change(PARAMETERS, "main-1-pg17", { inputs: parameters(["work_mem", "8192", "immediate"]) })],
  ["storage", change(INSTANCE, "main-1", { differs: ["allocatedStorage"] })],
  ["a new replica", change(INSTANCE, "main-2", { op: "create", before: undefined })],
])("%s: nothing restarts, nothing waits", (_, one) => {
  expect(announceAws([one])).toEqual({ restarts: [], stall: "none" });
});

test("a second zone slows writes down and refuses none", () => {
  const wider = change(INSTANCE, "main-1", { differs: ["multiAz"], before: { multiAz: false }, inputs: { multiAz: true } });
  expect(announceAws([wider])).toEqual({
    restarts: ["instance main-1 gets its second zone; writes slow down while it is copied, none is refused"],
    stall: "none",
  });
});

test("the worst of several changes is what is expected", () => {
  const upgrade = change(INSTANCE, "main-1", {
    differs: ["engineVersion", "instanceClass"],
    before: { engineVersion: "17" },
    inputs: { engineVersion: "18" },
  });
  const cache = change("aws:elasticache/replicationGroup:ReplicationGroup", "cache", { differs: ["nodeType"] });
  const hosts = change("aws:ec2/launchTemplate:LaunchTemplate", "pooler-us-east-1", { differs: ["userData"] });
  expect(announceAws([hosts, cache, upgrade])).toEqual({
    restarts: [
      "pooler hosts are replaced one after the other: each client connection is closed once",
      "cache cache changes its nodes one after the other: its primary moves, and connections to it break once",
      "instance main-1 is upgraded (17 -> 18), which cannot be undone",
    ],
    stall: "as long as the upgrade takes: minutes to hours, by the number of tables",
  });
  expect(announceAws([hosts]).stall).toBe("seconds");
});

test("a replacement is told as the loss that it is", () => {
  expect(announceAws([change(INSTANCE, "main-1", { op: "replace", differs: ["kmsKeyId"] })]).restarts).toEqual([
    "instance main-1 is made anew (kmsKeyId changed): its data is lost",
  ]);
});

test("changes in words: one line a kind", () => {
  const rules = Array.from({ length: 8 }, (_, i) =>
    change("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", `rule-${i + 1}`, { op: "create" }),
  );
  expect(
    describeAws([
      change(INSTANCE, "main-2", { op: "create" }),
      ...rules,
      change(INSTANCE, "main-3", { op: "create" }),
      change(INSTANCE, "main-1"),
      change("aws:lambda/invocation:Invocation", "agent-configure", { op: "replace" }),
      change("aws:lambda/invocation:Invocation", "agent-migrate", { op: "create" }),
      change("random:index/randomPassword:RandomPassword", "password-app", { op: "create", kind: "secret" }),
    ]),
  ).toEqual([
    "+ new: instance main-2, main-3",
    "+ new: securitygroupingressrule rule-1, rule-2, rule-3, rule-4, rule-5, rule-6 and 2 more",
    "> runs: agent-configure, agent-migrate",
    "~ changed in place: instance main-1",
    "1 passwords, keys and certificates",
  ]);
});
