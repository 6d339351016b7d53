/**
 * What the AWS target asks of ElastiCache, under mocks: every argument with its value. Cannot prove that AWS takes it, nor what is
 * replaced. Nothing of it has run on AWS.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Cache, cacheHost } from "../../components/aws/cache.ts";
import type { CacheRefs } from "../../components/aws/contract.ts";
import { plan, type Topology, toOutputs } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";
import { type Made, recorded, shortType, the } from "./aws-mocks.ts";
import { commonOf, HASH, HOME, keyOf, placeOf, secretsOf, tags, topologyOf } from "./aws-parts.ts";

const named = (part: string) => expect.stringMatching(new RegExp(`^pgladder-dev-${part}-${HASH}$`));

let refs: CacheRefs;
const build = (topology: Topology, protect = true, stack = "dev", project = "pgladder") =>
  recorded(
    (options) => {
      const place = placeOf(HOME, options, { protect });
      const { passwords } = secretsOf();
      refs = new Cache("cache", { ...commonOf(project, stack), place, topology, passwords, zoneId: "ZMADE" }, options).refs;
    },
    { project, stack },
  );
const run = (given: Given, protect = true) => build(topologyOf(given), protect);

describe("stage 3", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await run({ stage: 3 });
  });

  test("is exactly these resources", () => {
    const own = made.filter(({ type }) => type.startsWith("aws:"));
    expect(own.map(({ type, name }) => `${shortType(type)} ${name}`).sort()).toEqual([
      "cloudwatch.LogGroup cache-engine-log",
      "cloudwatch.LogGroup cache-slow-log",
      "elasticache.ParameterGroup cache-valkey8",
      "elasticache.ReplicationGroup cache",
      "elasticache.SubnetGroup cache",
      "elasticache.User cache-app",
      "elasticache.UserGroup cache",
      "route53.Record cache",
    ]);
  });

  test("one group of a primary and a copy in cluster mode, over zones, encrypted on the way and at rest", () => {
    const group = the(made, "elasticache.ReplicationGroup", "cache");
    expect(group.args).toEqual({
      replicationGroupId: named("cache"),
      description: expect.stringMatching(new RegExp(`^pgladder: pgladder-dev-cache-${HASH}$`)),
      engine: "valkey",
      engineVersion: "8.1",
      nodeType: "cache.m7g.large",
      port: 6379,
      clusterMode: "enabled",
      numNodeGroups: 1,
      replicasPerNodeGroup: 1,
      automaticFailoverEnabled: true,
      multiAzEnabled: true,
      parameterGroupName: named("cache-valkey8"),
      subnetGroupName: named("cache"),
      securityGroupIds: ["sg-cache"],
      transitEncryptionEnabled: true,
      transitEncryptionMode: "required",
      atRestEncryptionEnabled: true,
      kmsKeyId: keyOf(HOME),
      userGroupIds: [named("cache-users")],
      autoMinorVersionUpgrade: true,
      applyImmediately: true,
      snapshotRetentionLimit: 7,
      snapshotWindow: "01:00-02:00",
      maintenanceWindow: "sun:07:00-sun:08:00",
      finalSnapshotIdentifier: expect.stringMatching(new RegExp(`^pgladder-dev-cache-${HASH}-final-0a1b2c3d$`)),
      logDeliveryConfigurations: ["slow-log", "engine-log"].map((log) => ({
        logType: log,
        logFormat: "json",
        destinationType: "cloudwatch-logs",
        destination: expect.stringMatching(new RegExp(`^/pgladder/pgladder-dev-cache-${log}-${HASH}$`)),
      })),
      tags: tags("cache"),
    });
    expect(group).toMatchObject({ protect: true, provider: `aws-${HOME}`, customTimeouts: { create: "2h", update: "3h", delete: "2h" } });
  });

  test("one user, with the rules that it has on docker; its password is a secret", () => {
    const user = the(made, "elasticache.User", "cache-app");
    expect(user.args).toEqual({
      userId: named("cache-app"),
      userName: "app",
      engine: "valkey",
      accessString:
        "on ~* &* -@all +@all -@admin -@dangerous +info +cluster|info +cluster|keyslot +cluster|myid +cluster|nodes +cluster|shards +cluster|slots",
      authenticationMode: { type: "password", passwords: ["password-of-cache_app"] },
      tags: tags("cache-app"),
    });
    expect(user.secret).toEqual(["authenticationMode"]);
    expect(the(made, "elasticache.UserGroup", "cache").args).toMatchObject({ engine: "valkey", userIds: [named("cache-app")] });
  });

  test("the parameter group switches cluster mode on and evicts the keys unused the longest", () => {
    expect(the(made, "elasticache.ParameterGroup", "cache-valkey8").args).toMatchObject({
      family: "valkey8",
      parameters: [
        { name: "cluster-enabled", value: "yes" },
        { name: "maxmemory-policy", value: "allkeys-lru" },
      ],
    });
    expect(the(made, "elasticache.SubnetGroup", "cache").args.subnetIds).toEqual(["subnet-1", "subnet-2", "subnet-3"]);
  });

  test("the name that never changes leads to the configuration endpoint; nodes are named as CloudWatch names them", () => {
    const id = the(made, "elasticache.ReplicationGroup", "cache").args.replicationGroupId;
    expect(the(made, "route53.Record", "cache").args).toEqual({
      zoneId: "ZMADE",
      name: "cache.dev.pgladder.internal",
      type: "CNAME",
      ttl: 60,
      records: [`clustercfg.${id}.cache.test`],
    });
    expect(refs.memberClusterIds).toEqual([`${id}-0001-001`, `${id}-0001-002`]);
    expect([refs.replicationGroupId, refs.port]).toEqual([id, 6379]);
  });
});

describe("other shapes", () => {
  test("the configuration's groups, copies and class", async () => {
    const made = await run({ stage: 3, cache: { groups: 3, replicas: 2, class: "cache.r7g.large" } });
    expect(the(made, "elasticache.ReplicationGroup", "cache").args).toMatchObject({
      numNodeGroups: 3,
      replicasPerNodeGroup: 2,
      nodeType: "cache.r7g.large",
    });
    expect(refs.memberClusterIds).toHaveLength(9);
    expect(refs.memberClusterIds.at(-1)).toMatch(/-0003-003$/);
  });

  test("without copies there is no second zone", async () => {
    const made = await run({ stage: 3, cache: { replicas: 0 } });
    expect(the(made, "elasticache.ReplicationGroup", "cache").args).toMatchObject({ replicasPerNodeGroup: 0, multiAzEnabled: false });
  });

  test("is protected until it is let go", async () => {
    const step = (given: Given, last: Topology | undefined) =>
      plan(parse({ target: "aws", ...given }), last && toOutputs(last), { cores: 8, memory: gib(64) });
    const isProtected = async (topology: Topology) => the(await build(topology), "elasticache.ReplicationGroup", "cache").protect;
    const three = step({ stage: 3 }, undefined);
    const back = step({ stage: 2 }, three);
    const released = step({ stage: 2, release: true }, back);
    expect([await isProtected(three), await isProtected(back), await isProtected(released)]).toEqual([true, true, false]);
    expect(the(await run({ stage: 3 }, false), "elasticache.ReplicationGroup", "cache").protect).toBe(false);
  });

  test("names stay within AWS' limits for long projects and stacks", async () => {
    const long = "b".repeat(31);
    const made = await build(topologyOf({ stage: 3 }, long), true, long, "a".repeat(90));
    const length = (type: string, name: string, key: string) => (the(made, type, name).args[key] as string).length;
    expect(length("elasticache.ReplicationGroup", "cache", "replicationGroupId")).toBeLessThanOrEqual(40);
    expect(length("elasticache.UserGroup", "cache", "userGroupId")).toBeLessThanOrEqual(40);
  });

  test("the name is the stack's", () => {
    expect(cacheHost(topologyOf({ stage: 3 }, "prod"))).toBe("cache.prod.pgladder.internal");
  });
});
