/**
 * The whole AWS target at stages 1 to 3 under mocks, held to rules that every resource must keep: names, tags, secrets, providers, parents.
 * Cannot prove that AWS takes it, nor what is replaced: test/engine/aws does the second. Nothing of it has run on AWS.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Given } from "../support/config.ts";
import { left, type Made, ofType, runAws, runTarget, shortType, the } from "./aws-mocks.ts";

const AWAY = "eu-west-1";

/** What an account may have one of in a region (IAM: anywhere), by type: the argument that names it and the most characters it may have. */
const NAMES: Readonly<Record<string, readonly [argument: string, limit: number]>> = {
  "autoscaling.Group": ["name", 255],
  "backup.Plan": ["name", 50],
  "backup.RestoreTestingPlan": ["name", 50],
  "backup.Vault": ["name", 50],
  "cloudwatch.Dashboard": ["dashboardName", 255],
  "cloudwatch.EventRule": ["name", 64],
  "cloudwatch.LogGroup": ["name", 512],
  "cloudwatch.MetricAlarm": ["name", 255],
  "ec2.LaunchTemplate": ["name", 128],
  "ec2.SecurityGroup": ["name", 255],
  "ecr.Repository": ["name", 256],
  "elasticache.ParameterGroup": ["name", 255],
  "elasticache.ReplicationGroup": ["replicationGroupId", 40],
  "elasticache.SubnetGroup": ["name", 255],
  "elasticache.User": ["userId", 40],
  "elasticache.UserGroup": ["userGroupId", 40],
  "iam.InstanceProfile": ["name", 128],
  "iam.Role": ["name", 64],
  "kms.Alias": ["name", 256],
  "lambda.Function": ["name", 64],
  "lb.LoadBalancer": ["name", 32],
  "lb.TargetGroup": ["name", 32],
  "rds.EventSubscription": ["name", 255],
  "rds.Instance": ["identifier", 63],
  "rds.ParameterGroup": ["name", 255],
  "rds.SubnetGroup": ["name", 255],
  "route53.Zone": ["name", 255],
  "scheduler.Schedule": ["name", 64],
  "secretsmanager.Secret": ["name", 512],
  "sns.Topic": ["name", 256],
  "ssm.Parameter": ["name", 1011],
};

/** Types whose names need to be unique in what they belong to only: a role, a zone, a plan, a group. */
const INNER = ["iam.RolePolicy", "route53.Record", "backup.Selection", "backup.RestoreTestingSelection", "autoscaling.LifecycleHook"];

/** Types that AWS gives no tags. */
const UNTAGGED = [
  ...["ec2.Route", "ec2.RouteTableAssociation", "iam.RolePolicy", "iam.RolePolicyAttachment", "kms.Alias"],
  ...["secretsmanager.SecretVersion", "ecr.LifecyclePolicy", "sns.TopicPolicy", "cloudwatch.EventTarget", "cloudwatch.Dashboard"],
  ...["route53.Record", "backup.Selection", "backup.RestoreTestingSelection", "autoscaling.LifecycleHook"],
  "lambda.FunctionEventInvokeConfig",
  // A schedule has a group's tags; the group here is the account's default one.
  ...["lambda.Invocation", "scheduler.Schedule"],
];

const CASES: readonly (readonly [string, Given])[] = [
  ["stage 1", { stage: 1 }],
  ["stage 2", { stage: 2 }],
  ["stage 3", { stage: 3 }],
  ["stage 3 in two regions", { stage: 3, replicaRegions: [AWAY] }],
  ["stage 4 in two regions", { stage: 4, shards: { count: 2 }, replicaRegions: [AWAY] }],
];

/** Auto-scaling groups have a list of tags, everything else a map. */
const asMap = (tags: unknown): Record<string, unknown> =>
  Array.isArray(tags) ? Object.fromEntries(tags.map(({ key, value }) => [key, value])) : (tags as Record<string, unknown>);

const ofAws = (made: readonly Made[]) => made.filter(({ type }) => type.startsWith("aws:"));

describe.each(CASES)("%s", (_, given) => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws(given);
  });

  test("no two resources of a type have the same name", () => {
    const all = made.map(({ type, name }) => `${shortType(type)} ${name}`);
    expect(all.filter((each, i) => all.indexOf(each) < i && !each.startsWith("ec2.VpcPeering"))).toEqual([]);
  });

  test("everything that can be tagged says whose it is", () => {
    const untagged = ofAws(made).filter(({ args }) => args.tags === undefined);
    expect([...new Set(untagged.map(({ type }) => shortType(type)))].filter((type) => !UNTAGGED.includes(type))).toEqual([]);
    const own = { project: "pgladder", stack: "dev", part: expect.any(String), "managed-by": "pgladder" };
    for (const { args, name } of ofAws(made))
      if (args.tags !== undefined) expect({ name, ...asMap(args.tags) }).toEqual(expect.objectContaining({ name, ...own }));
  });

  test("nothing is made by the default provider, and everything below the target", () => {
    expect(ofAws(made).filter(({ provider }) => !provider?.startsWith("aws-"))).toEqual([]);
    expect(made.filter(({ parent, name }) => parent === undefined && name !== "dev")).toEqual([]);
  });

  test("a password or a private key is in no argument that is not a secret", () => {
    const found = made.flatMap(({ type, name, args, secret }) =>
      Object.entries(args).flatMap(([argument, value]) =>
        /secret-password-|private-/.test(JSON.stringify(value).replaceAll(/private-\d-/g, "")) && !secret.includes(argument)
          ? [`${shortType(type)} ${name}.${argument}`]
          : [],
      ),
    );
    expect(found.filter((each) => !/^(tls|random)\./.test(each))).toEqual([]);
  });
});

/** Kind and name of every component right below the target. */
const parts = (made: readonly Made[]) => made.filter(({ parent, type }) => parent === "dev" && type.startsWith("pgladder:")).map(partOf);
const partOf = ({ type, name }: Made) => `${shortType(type)} ${name}`;
const ALWAYS = [
  ...["Keys keys-us-east-1", "Network network-us-east-1", "Security security-us-east-1", "Secrets secrets", "Store store"],
  ...["Database database", "Dns dns", "PoolerImage image", "Pooler pooler-us-east-1", "Agent agent"],
  ...["Notices notices", "Backup backup", "Monitoring monitoring"],
];
const FURTHER = ["Keys", "Network", "Peering", "Security", "Pooler"].map((kind) => `${kind} ${kind.toLowerCase()}-${AWAY}`);

describe("what the target is made of", () => {
  test.each<[string, Given, readonly string[]]>([
    ["stage 1", { stage: 1 }, ALWAYS],
    ["stage 3 has a cache", { stage: 3 }, [...ALWAYS, "Cache cache"]],
    ["a further region", { stage: 3, replicaRegions: [AWAY] }, [...ALWAYS, "Cache cache", ...FURTHER]],
    ["RDS Proxy when it is asked for", { stage: 1, aws: { rdsProxy: true } }, [...ALWAYS, "RdsProxy proxy"]],
    ["no alarms without monitoring", { stage: 1, monitoring: false }, ALWAYS.filter((part) => !/^(Notices|Monitoring)/.test(part))],
  ])("%s", async (_, given, wanted) => {
    expect(parts(await runAws(given)).sort()).toEqual([...wanted].sort());
  });

  test("a cache that an earlier stage left stays, protected, until it is let go, and goes in two steps", async () => {
    const groups = async (given: Given, ...before: Given[]) =>
      ofType(await runAws(given, { last: left(...before) }), "elasticache.ReplicationGroup").map(({ protect }) => protect);
    expect(await groups({ stage: 2 }, { stage: 3 })).toEqual([true]);
    expect(await groups({ stage: 2, release: true }, { stage: 3 }, { stage: 2 })).toEqual([false]);
    expect(await groups({ stage: 2, release: true }, { stage: 3 }, { stage: 2 }, { stage: 2, release: true })).toEqual([]);
  });
});

describe("what the stack exports", () => {
  const URL = "postgresql://app:secret-password-app@db.dev.pgladder.internal:6432/app?sslmode=require";

  test("at stage 1: the contract's names, with every password a secret", async () => {
    const { outputs, secret } = await runTarget({ stage: 1 });
    expect(outputs).toEqual({
      stage: 1,
      writeUrl: URL,
      readUrl: "postgresql://app_ro:secret-password-app_ro@db.dev.pgladder.internal:6432/app_read?sslmode=require",
      sessionUrl: URL.replace("/app?", "/app_session?"),
      cacheUrl: "",
      shardMap: {},
      caCertificate: "certificate-ca\n",
      held: [],
      topology: expect.objectContaining({ format: 1, stage: 1, target: "aws" }),
      dashboardUrl: expect.stringMatching(
        /^https:\/\/us-east-1\.console\.aws\.amazon\.com\/cloudwatch\/home\?region=us-east-1#dashboards\/dashboard\/pgladder-dev-dashboard-[0-9a-f]{6}$/,
      ),
    });
    expect(secret.sort()).toEqual(["cacheUrl", "readUrl", "sessionUrl", "writeUrl"]);
  });

  test("at stage 3: the same URLs, and the cache's", async () => {
    const { outputs } = await runTarget({ stage: 3, replicaRegions: [AWAY] });
    expect(outputs.writeUrl).toBe(URL);
    expect(outputs.cacheUrl).toMatch(/^rediss:\/\/app:secret-password-cache_app@[a-z0-9.-]+:6379$/);
  });

  test("without monitoring there is no dashboard", async () => {
    expect((await runTarget({ stage: 1, monitoring: false })).outputs.dashboardUrl).toBe("");
  });
});

test("pooler hosts start after the databases, their secrets' values and the private subnets' way out", async () => {
  const made = await runAws({ stage: 2 });
  const home = "us-east-1";
  const between = ["ladder_gateway", "ladder_gateway_ro", "ladder_replication"];
  const owners = ["app", "app_ro", "cache_app", "ladder_admin", "ladder_agent", "ladder_monitor", ...between];
  expect(the(made, "autoscaling.Group", `pooler-${home}`).dependsOn.toSorted()).toEqual(
    [
      ...[1, 2, 3].flatMap((n) => ["ec2.Route", "ec2.RouteTableAssociation"].map((type) => `${type} private-${n}-${home}`)),
      ...["identity-pooler", ...owners.map((role) => `password-${role}`)].map((name) => `secretsmanager.SecretVersion ${name}`),
      ...[`iam.RolePolicy pooler-${home}`, `lb.Listener door-${home}`, `route53.Record door-${home}`, `ssm.Parameter pooler-${home}`],
    ].sort(),
  );
});

test("a rotation makes new passwords for those that log in, and for nobody else", async () => {
  const made = await runAws({ stage: 1, rotation: 2 });
  const rotation = Object.fromEntries(
    ofType(made, "random.RandomPassword").map(({ name, args }) => [name, (args.keepers as Record<string, string>).rotation]),
  );
  expect(rotation).toMatchObject({
    "password-app": "2",
    "password-app_ro": "2",
    "password-cache_app": "2",
    "password-ladder_monitor": "2",
  });
  expect([rotation["password-ladder_admin"], rotation["password-ladder_agent"]]).toEqual([undefined, undefined]);
});

describe("two stacks with long names in one account", () => {
  const project = "a-project-whose-name-is-longer-than-any-limit-of-a-load-balancer";
  const stacks = ["production-of-a-big-company-one", "production-of-a-big-company-two"];
  const given = { stage: 3, replicaRegions: [AWAY] };
  let all: Made[][];
  beforeAll(async () => {
    all = [];
    for (const stack of stacks) all.push(await runAws(given, { project, stack }));
  });
  const namesIn = (made: readonly Made[]) =>
    ofAws(made).flatMap(({ type, args, provider }) => {
      const [argument = "", limit = 0] = NAMES[shortType(type)] ?? [];
      const where = type.startsWith("aws:iam/") ? "" : provider;
      return argument === "" ? [] : [{ key: `${where} ${shortType(type)} ${args[argument]}`, name: String(args[argument]), limit }];
    });

  test("every name is within AWS' limit", () => {
    for (const made of all) expect(namesIn(made).filter(({ name, limit }) => name.length > limit)).toEqual([]);
  });

  test("no name is used twice, in a stack or by both", () => {
    const keys = all.flatMap((made) => namesIn(made).map(({ key }) => key));
    expect(keys.length).toBeGreaterThan(80);
    expect(keys.filter((key, i) => keys.indexOf(key) < i)).toEqual([]);
  });

  test("every type with a name is in the table of limits", () => {
    const named = all.flatMap((made) => ofAws(made).filter(({ args }) => args.name !== undefined || args.identifier !== undefined));
    expect([...new Set(named.map(({ type }) => shortType(type)))].filter((type) => !(type in NAMES) && !INNER.includes(type))).toEqual([]);
  });
});

test("only the target itself reads the configuration; parts take plain values", () => {
  const folder = join(import.meta.dirname, "../../components/aws");
  const readers = readdirSync(folder).filter((file) =>
    /pulumi\.Config|getAllConfig|process\.env|TargetArgs/.test(readFileSync(join(folder, file), "utf8")),
  );
  expect(readers).toEqual(["index.ts"]);
});
