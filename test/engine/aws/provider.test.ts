/**
 * The stand-in `aws` provider itself, on the real engine with small programs: what the tests of the target rely on. Cannot prove that AWS
 * behaves so: the rules come from the provider's sources and AWS' documents, and nothing here has met an account.
 */
import * as aws from "@pulumi/aws";
import type { PulumiFn } from "@pulumi/pulumi/automation/index.js";
import { afterAll, expect, test } from "vitest";
import { Cloud, CloudStack } from "./cloud.ts";

const cloud = await Cloud.open();
const INSTANCE = "aws:rds/instance:Instance";
const nothing: PulumiFn = async () => {};
const stack = await CloudStack.open(cloud, "small", nothing);

afterAll(() => cloud.close());

interface Wanted {
  instanceClass?: string;
  storage?: number;
  encrypted?: boolean;
  protection?: boolean;
  zone?: string;
  immediately?: boolean;
}

/** A network with a database in two zones. */
function database(wanted: Wanted = {}): PulumiFn {
  const { instanceClass = "db.t4g.medium", storage = 50, encrypted = true, protection = false, zone, immediately = true } = wanted;
  return async () => {
    const zones = await aws.getAvailabilityZones({ state: "available" });
    const vpc = new aws.ec2.Vpc("vpc", { cidrBlock: "10.0.0.0/16" });
    const subnets = [0, 1].map(
      (n) => new aws.ec2.Subnet(`subnet-${n}`, { vpcId: vpc.id, cidrBlock: `10.0.${n}.0/24`, availabilityZone: zones.names[n]! }),
    );
    const group = new aws.rds.SubnetGroup("group", { subnetIds: subnets.map(({ id }) => id) });
    const main = new aws.rds.Instance("main", {
      identifier: "main",
      engine: "postgres",
      engineVersion: "17",
      instanceClass,
      allocatedStorage: storage,
      storageEncrypted: encrypted,
      username: "admin1",
      password: "a-long-password",
      dbSubnetGroupName: group.name,
      deletionProtection: protection,
      skipFinalSnapshot: true,
      applyImmediately: immediately,
      ...(zone ? { availabilityZone: zone } : {}),
    });
    return { endpoint: main.endpoint, arn: main.arn, vpc: group.vpcId };
  };
}

const ops = (steps: readonly { op: string; name: string }[]) => steps.map(({ op, name }) => `${op} ${name}`).sort();

test("a preview of a new stack knows nothing that AWS computes, and makes nothing", async () => {
  const steps = await stack.preview(database());
  expect(ops(steps)).toEqual(["create group", "create main", "create subnet-0", "create subnet-1", "create vpc"]);
  expect(cloud.account.read().things).toEqual([]);
});

test("an up makes them with ids, ARNs and endpoints; the next changes nothing", async () => {
  await stack.up(database());
  const { endpoint, arn, vpc } = await stack.outputs();
  expect(endpoint).toBe("main.c9akciq32rgh.us-east-1.rds.amazonaws.com:5432");
  expect(arn).toBe("arn:aws:rds:us-east-1:123456789012:db:main");
  expect(vpc).toBe(cloud.things("Vpc")[0]!.id);
  expect(await stack.up(database())).toEqual([]);
});

test("changes are in place or replacements, as the provider's schema says", async () => {
  const plan = async (wanted: Wanted) => (await stack.preview(database(wanted))).filter(({ name }) => name === "main");
  const told = async (wanted: Wanted) => (await plan(wanted)).map(({ op, type, differs }) => [op, type, differs]);
  expect(await told({ instanceClass: "db.m7g.large", storage: 60 })).toEqual([["update", INSTANCE, ["allocatedStorage", "instanceClass"]]]);
  expect(await told({ encrypted: false })).toEqual([["replace", INSTANCE, ["storageEncrypted"]]]);
});

test("without applyImmediately a new class waits for the maintenance window, and every preview says so", async () => {
  await stack.up(database({ immediately: false, instanceClass: "db.m7g.large" }));
  expect(cloud.things("Instance")[0]!.state.instanceClass).toBe("db.t4g.medium");
  expect((await stack.preview(database({ immediately: false, instanceClass: "db.m7g.large" })))[0]!.differs).toEqual(["instanceClass"]);
  await stack.up(database());
});

test("a rule about a change holds in the preview already", async () => {
  expect(await stack.failing("preview", database({ storage: 40 }))).toContain(
    "rule storage-never-shrinks: allocatedStorage cannot be reduced",
  );
});

test("a rule over inputs refuses the program", async () => {
  expect(await stack.failing("preview", database({ instanceClass: "", storage: 10 }))).toContain("rule storage-size-postgres");
});

test("deletion protection keeps the instance, and nothing that it stands on is deleted", async () => {
  await stack.up(database({ protection: true }));
  expect(await stack.failing("destroy")).toContain("rule deletion-protection: delete is refused while deletionProtection is true");
  expect(cloud.account.read().things.map(({ type }) => type.split(":").pop())).toEqual([
    "Vpc",
    "Subnet",
    "Subnet",
    "SubnetGroup",
    "Instance",
  ]);
  await stack.up(database());
});

test("a name is taken once in an account, whoever took it", async () => {
  const other = await CloudStack.open(cloud, "other", nothing);
  expect(await other.failing("up", database())).toContain('identifier: got "main", want a name that is not taken');
  await other.destroy();
});

test("failures: nothing made, made but not ready, made but lost", async () => {
  await stack.destroy();
  expect(cloud.account.read().things).toEqual([]);

  cloud.strike({ operation: "create", type: INSTANCE, mode: "fails", times: 1 });
  expect(await stack.failing("up", database())).toContain("creating main: InternalFailure");
  expect(cloud.things("Instance")).toEqual([]);

  cloud.strike({ operation: "create", type: INSTANCE, mode: "timeout", times: 1 });
  expect(await stack.failing("up", database())).toContain("timeout while waiting for state to become 'available'");
  expect(cloud.things("Instance").length).toBe(1);
  expect(ops(await stack.up(database()))).toEqual(["update main"]);
  expect(await stack.up(database())).toEqual([]);

  await stack.destroy();
  cloud.strike({ operation: "create", type: INSTANCE, mode: "lost", times: 1 });
  await stack.failing("up", database());
  expect(await stack.failing("up", database())).toContain('identifier: got "main", want a name that is not taken');
});
