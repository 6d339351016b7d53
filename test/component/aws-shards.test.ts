/**
 * What the AWS target asks for at stage 4, under mocks: shards as databases of their own, who may reach whom, and that every shard is backed up and
 * watched. Cannot prove what AWS makes of it: test/engine/aws has its rules, nothing has run on AWS.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Backup } from "../../components/aws/backup.ts";
import type { LambdaEvent } from "../../plan/lambda.ts";
import type { Given } from "../support/config.ts";
import { left, type Made, ofType, recorded, runAws, the } from "./aws-mocks.ts";
import { AWAY, commonOf, databaseOf, HOME, placeOf, topologyOf } from "./aws-parts.ts";

const GIVEN: Given = { stage: 4, shards: { count: 2 }, replicaRegions: [AWAY] };
const PRIMARIES = ["main-1", "shard-0-1", "shard-1-1"];
const NODES = ["main", "shard-0", "shard-1"].flatMap((cluster) => [`${cluster}-1`, `${cluster}-2`, `${cluster}-${AWAY}-1`]);

const instance = (made: readonly Made[], name: string) => the(made, "rds.Instance", name);
const alarmed = (made: readonly Made[], watch: string) =>
  ofType(made, "cloudwatch.MetricAlarm")
    .flatMap(({ name }) =>
      name.startsWith(`${watch}-`) && name.endsWith("-critical") ? [name.slice(watch.length + 1, -"-critical".length)] : [],
    )
    .sort();

describe("two shards in two regions", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws(GIVEN);
  }, 60_000);

  test("every shard is a protected primary with a second zone, a replica, and a standby in the further region", () => {
    expect(
      ofType(made, "rds.Instance")
        .map(({ name }) => name)
        .sort(),
    ).toEqual([...NODES].sort());
    for (const name of PRIMARIES)
      expect(instance(made, name)).toMatchObject({
        args: { multiAz: true, username: "ladder_admin", dbName: "app", skipFinalSnapshot: false, deletionProtection: true },
        ...{ protect: true, provider: `aws-${HOME}` },
      });
    expect(instance(made, "shard-1-1").args).toMatchObject({ instanceClass: "db.r7g.4xlarge", allocatedStorage: 4_000 });
    const source = instance(made, "shard-1-1").args.identifier as string;
    expect(instance(made, "shard-1-2").args).toMatchObject({ replicateSourceDb: source, multiAz: false });
    expect(instance(made, `shard-1-${AWAY}-1`).args.replicateSourceDb).toContain(`:db:${source}`);
  });

  test("the parameter groups of gateway and shards are made for subscriptions both ways", () => {
    const of = (name: string) => {
      const { parameters } = the(made, "rds.ParameterGroup", `${name}-pg17`).args as { parameters: { name: string; value: string }[] };
      return Object.fromEntries(parameters.map((each) => [each.name, each.value]));
    };
    for (const name of [...PRIMARIES, "shard-0-2"])
      expect(of(name)).toMatchObject({
        "rds.logical_replication": "1",
        "rds.force_ssl": "1",
        max_logical_replication_workers: "24",
        max_sync_workers_per_subscription: "2",
        max_replication_slots: "34",
        max_wal_senders: "34",
        hot_standby_feedback: "1",
      });
  });

  test("servers reach each other's port 5432 and nothing else; a standby of the gateway reaches the shards at home", () => {
    const rules = (kind: "Ingress" | "Egress") =>
      ofType(made, `vpc.SecurityGroup${kind}Rule`)
        .filter(({ args }) => String(args.securityGroupId).startsWith("database-"))
        .map(({ name, args }) => `${name}: ${args.referencedSecurityGroupId ?? args.cidrIpv4} ${args.fromPort}-${args.toPort}`)
        .sort();
    expect(rules("Egress")).toEqual([
      `database-to-database-postgres-${HOME}: database-${HOME}-id 5432-5432`,
      `database-to-${HOME}-postgres-${AWAY}: 10.64.0.0/16 5432-5432`,
    ]);
    expect(rules("Ingress")).toEqual(
      [
        `database-from-${AWAY}-postgres-${HOME}: 10.72.0.0/16 5432-5432`,
        `database-from-${HOME}-postgres-${AWAY}: 10.64.0.0/16 5432-5432`,
        `database-from-agent-postgres-${AWAY}: agent-${AWAY}-id 5432-5432`,
        `database-from-agent-postgres-${HOME}: agent-${HOME}-id 5432-5432`,
        `database-from-database-postgres-${HOME}: database-${HOME}-id 5432-5432`,
        `database-from-pooler-postgres-${AWAY}: pooler-${AWAY}-id 5432-5432`,
        `database-from-pooler-postgres-${HOME}: pooler-${HOME}-id 5432-5432`,
      ].sort(),
    );
  });

  test("every shard is watched, its slots too, shown, backed up, and restored on the schedule", () => {
    expect(alarmed(made, "disk")).toEqual([...NODES].sort());
    expect(alarmed(made, "slot-lag")).toEqual(PRIMARIES);
    expect(alarmed(made, "replication-lag")).toEqual(NODES.filter((name) => !PRIMARIES.includes(name)).sort());
    const body = the(made, "cloudwatch.Dashboard", "dashboard").args.dashboardBody as string;
    for (const name of NODES) expect(body).toContain(instance(made, name).args.identifier);
    const arns = PRIMARIES.map((name) => expect.stringMatching(new RegExp(`:db:${instance(made, name).args.identifier}$`)));
    expect(the(made, "backup.Selection", "backups").args.resources).toEqual(arns);
    expect(the(made, "backup.RestoreTestingSelection", "restores").args.protectedResourceArns).toEqual(arns);
    const told = the(made, "rds.EventSubscription", `rds-instances-${HOME}`).args.sourceIds as string[];
    expect(told).toEqual(expect.arrayContaining(PRIMARIES.map((name) => instance(made, name).args.identifier)));
  });

  test("the mover is told every cluster's servers at home, its primary first, and the rows of each shard", () => {
    const { input } = the(made, "scheduler.Schedule", "agent-move").args.target as { input: string };
    const { desired, nodes, release } = JSON.parse(input) as LambdaEvent;
    const hosts = (...names: string[]) => names.map((name) => nodes.find((node) => node.name === name)!.host);
    expect(desired.cluster.nodes).toEqual(hosts("main-1", "main-2"));
    expect(desired.shards.map(({ name, nodes: its, class: rows }) => [name, its, rows])).toEqual([
      ["shard-0", hosts("shard-0-1", "shard-0-2"), { modulus: 2, remainder: 0 }],
      ["shard-1", hosts("shard-1-1", "shard-1-2"), { modulus: 2, remainder: 1 }],
    ]);
    expect(nodes.map(({ name, cluster }) => [name, cluster])).toContainEqual([`shard-1-${AWAY}-1`, "shard-1"]);
    expect(release).toBe(false);
  });

  test("the cache has three groups of two, in cluster mode as before", () => {
    expect(the(made, "elasticache.ReplicationGroup", "cache").args).toMatchObject({
      ...{ clusterMode: "enabled", numNodeGroups: 3, replicasPerNodeGroup: 1, automaticFailoverEnabled: true },
    });
  });
});

test("more databases than restore tests take by name are restored as all that the vault holds", async () => {
  const topology = topologyOf({ stage: 4, shards: { count: 30, replicas: 0 } });
  const made = await recorded((options) => {
    const places = { [HOME]: placeOf(HOME, options) };
    const backup = { retentionDays: 7, restoreTest: "week" } as const;
    const database = databaseOf(topology, options);
    new Backup("backup", { ...commonOf(), regions: [HOME], places, database, backup, topic: null }, options);
  });
  expect(the(made, "backup.Selection", "backups").args.resources).toHaveLength(31);
  expect(the(made, "backup.RestoreTestingSelection", "restores").args.protectedResourceArns).toEqual(["*"]);
});

test("shards that are no longer wanted stay, protected and reachable, until they are let go in two steps", async () => {
  const four: Given = { stage: 4, shards: { count: 2 } };
  const three: Given = { stage: 3 };
  const release = { ...three, release: true };
  const shards = (made: readonly Made[]) =>
    ofType(made, "rds.Instance")
      .flatMap(({ name, protect, args }) => (name.startsWith("shard-") ? [[name, protect, args.deletionProtection]] : []))
      .sort();
  const between = (made: readonly Made[]) =>
    ofType(made, "vpc.SecurityGroupEgressRule").some(({ name }) => name.startsWith("database-to-database"));
  const names = ["shard-0-1", "shard-0-2", "shard-1-1", "shard-1-2"];
  const [held, free, gone] = [
    await runAws(three, { last: left(four) }),
    await runAws(release, { last: left(four, three) }),
    await runAws(release, { last: left(four, three, release) }),
  ];
  expect([shards(held), between(held)]).toEqual([names.map((name) => [name, true, true]), true]);
  expect([shards(free), between(free)]).toEqual([names.map((name) => [name, false, false]), true]);
  expect([shards(gone), between(gone)]).toEqual([[], false]);
}, 60_000);
