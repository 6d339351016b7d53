/**
 * The AWS target on the real engine in the stand-in account: beside the ways of transitions.test.ts, what a first `up` meets: failures,
 * other stacks, what exists already; and its end. Cannot prove what AWS itself would refuse beyond the rules in ./rules.
 */
import * as aws from "@pulumi/aws";
import { afterAll, expect, test } from "vitest";
import { Cloud, CloudStack, type Config } from "./cloud.ts";

const cloud = await Cloud.open();
afterAll(() => cloud.close());

const one: Config = { target: "aws", stage: "1" };
const INSTANCE = "aws:rds/instance:Instance";

test("a failed first up resumes: nothing made, made but not ready", async () => {
  const stack = await CloudStack.open(cloud, "prod");
  stack.configure(one);
  cloud.strike({ operation: "create", type: INSTANCE, mode: "fails", times: 1 });
  expect(await stack.failing("up")).toContain("InternalFailure");
  expect(cloud.things("Instance")).toEqual([]);
  cloud.strike({ operation: "create", type: INSTANCE, mode: "timeout", times: 1 });
  expect(await stack.failing("up")).toContain("timeout while waiting for state to become 'available'");
  await stack.up();
  expect(cloud.things("Instance").map(({ state }) => state.status)).toEqual(["available"]);
  expect(await stack.preview()).toEqual([]);
});

test("another image, and the way back: each is pushed under a tag of its own and reaches the hosts", async () => {
  const stack = await CloudStack.open(cloud, "prod");
  const running = () =>
    cloud.things("LaunchTemplate").map(({ state }) => /^IMAGE=(.*)$/m.exec(Buffer.from(String(state.userData), "base64").toString())?.[1]);
  const seen = [...running()];
  for (const config of [{ ...one, images: JSON.stringify({ postgres: "debian:sid-slim" }) }, one]) {
    stack.configure(config);
    await stack.up();
    seen.push(...running());
  }
  expect(
    seen.map((image) =>
      image
        ?.replace(/[0-9a-f]{64}$/, "")
        .split("/")
        .at(-1)
        ?.replace(/-[0-9a-f]{6}@/, "@"),
    ),
  ).toEqual(Array.from({ length: 3 }, () => "pgladder-prod-pooler@sha256:"));
  expect(new Set(seen).size).toBe(3);
  expect(await stack.preview()).toEqual([]);
});

test("destroy refuses protected parts, and AWS refuses what Pulumi was told to let go", async () => {
  const stack = await CloudStack.open(cloud, "prod");
  const before = cloud.account.read().things.length;
  expect(await stack.failing("destroy")).toContain("cannot be deleted");
  expect(cloud.account.read().things.length).toBe(before);
  expect(await stack.protected()).toContain(`${INSTANCE} main-1`);

  const saved = stack.save();
  await stack.unprotect();
  expect(await stack.failing("destroy")).toContain("rule deletion-protection");
  expect(cloud.things("Instance").map(({ state }) => state.dbName)).toEqual(["app"]);
  stack.restore(saved);
});

test("a second stack in the same account meets none of the first one's names", async () => {
  const [first, second] = [cloud.account.read().things, await CloudStack.open(cloud, "prod-2")];
  second.configure({ ...one, protect: "false" });
  await second.up();
  expect(cloud.account.read().things.length).toBe(2 * first.length);
  await second.destroy();
  const [still, own] = [first.map(({ id }) => id), cloud.account.read().things];
  expect(own.slice(0, still.length).map(({ id }) => id)).toEqual(still);
  // Its final snapshot could not be read without.
  expect(own.slice(still.length).map(({ type }) => type)).toEqual(["aws:kms/key:Key"]);
});

/** What a company's account may have already. */
async function company(): Promise<{ vpcId: string; subnetIds: string[]; kmsKeyArn: string; zoneId: string }> {
  const stack = await CloudStack.open(cloud, "company", async () => {
    const vpc = new aws.ec2.Vpc("vpc", { cidrBlock: "10.0.0.0/16", enableDnsHostnames: true });
    const subnets = ["a", "b"].map(
      (zone, i) => new aws.ec2.Subnet(zone, { vpcId: vpc.id, cidrBlock: `10.0.${i}.0/24`, availabilityZone: `us-east-1${zone}` }),
    );
    const key = new aws.kms.Key("key", {});
    const zone = new aws.route53.Zone("zone", { name: "guest.pgladder.internal", vpcs: [{ vpcId: vpc.id }] });
    return { vpcId: vpc.id, subnetIds: subnets.map(({ id }) => id), kmsKeyArn: key.arn, zoneId: zone.zoneId };
  });
  await stack.up();
  return (await stack.outputs()) as Awaited<ReturnType<typeof company>>;
}

test("what exists is used and not made: network, key and zone, each by one key", async () => {
  const { vpcId, subnetIds, kmsKeyArn, zoneId } = await company();
  const stack = await CloudStack.open(cloud, "guest");
  const makes = async (existing: object) => {
    stack.configure({ ...one, protect: "false", aws: JSON.stringify(existing) });
    const made = (await stack.preview()).map(({ type }) => type.split(":")[2]);
    return {
      networks: made.filter((type) => type === "Vpc").length,
      keys: made.filter((type) => type === "Key").length,
      zones: made.filter((type) => type === "Zone").length,
    };
  };
  expect(await makes({ vpcId, subnetIds })).toEqual({ networks: 0, keys: 1, zones: 1 });
  expect(await makes({ kmsKeyArn })).toEqual({ networks: 1, keys: 0, zones: 1 });
  expect(await makes({ zoneId })).toEqual({ networks: 1, keys: 1, zones: 0 });
  stack.configure({ ...one, protect: "false", aws: JSON.stringify({ vpcId, subnetIds, kmsKeyArn, zoneId }) });
  await stack.up();
  expect(cloud.things("Instance").find(({ state }) => state.kmsKeyId === kmsKeyArn)?.state.dbName).toBe("app");
  expect(await stack.preview()).toEqual([]);
});
