/**
 * The rule table refuses mistakes: one for each kind of rule, made on a resource that is right without it. What the ups of the target prove is
 * worth as much as this. No engine runs here: the stand-in's own functions are asked.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { type Props, unwrapSecret } from "../../../offline/bridge/values.ts";
import { Account } from "./provider/account.ts";
import { awsHandler } from "./provider/handler.ts";
import { TYPES } from "./provider/table.ts";

const folder = mkdtempSync(join(tmpdir(), "pgladder-aws-"));
const account = new Account(folder);
const session = { cancelled: new AbortController().signal, log: () => undefined };
const seed = new Uint8Array();

beforeEach(() => {
  account.change((book) => Object.assign(book, { things: [], waiting: [] }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const handlerOf = (type: string) => awsHandler(type, TYPES[type]!, { account, region: () => "us-east-1" });

/** What the program's inputs become. @throws Error with every reason where they are refused */
async function checked(type: string, news: Props, olds: Props = {}): Promise<Props> {
  const { inputs, failures } = await handlerOf(type).check({ urn: "urn:pulumi:s::p::t::own", olds, news, seed }, session);
  if (failures.length > 0) throw new Error(failures.map(({ property, reason }) => `${property} ${reason}`).join("\n"));
  return inputs;
}

async function make(type: string, news: Props): Promise<{ id: string; state: Props }> {
  const { id, state } = await handlerOf(type).create({ inputs: await checked(type, news), preview: false }, session);
  return { id, state: Object.fromEntries(Object.entries(state).map(([property, value]) => [property, unwrapSecret(value) ?? null])) };
}

async function change(type: string, { id, state }: { id: string; state: Props }, news: Props): Promise<Props> {
  return handlerOf(type).update({ id, state, inputs: await checked(type, news), preview: false }, session);
}

const VPC = "aws:ec2/vpc:Vpc";
const SUBNET = "aws:ec2/subnet:Subnet";
const INSTANCE = "aws:rds/instance:Instance";
const GROUP = "aws:rds/parameterGroup:ParameterGroup";
const CACHE = "aws:elasticache/replicationGroup:ReplicationGroup";
const ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm";
const RECORD = "aws:route53/record:Record";
const INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule";
const SECRET = "aws:secretsmanager/secret:Secret";
const FUNCTION = "aws:lambda/function:Function";
const ROLE = "arn:aws:iam::123456789012:role/agent";
const TRUST = JSON.stringify({ Version: "2012-10-17", Statement: [] });

/** Inputs that no rule has anything against. */
const RIGHT: Readonly<Record<string, Props>> = {
  [VPC]: { cidrBlock: "10.0.0.0/16" },
  [INSTANCE]: {
    identifier: "main",
    engine: "postgres",
    engineVersion: "17",
    instanceClass: "db.m7g.large",
    allocatedStorage: 50,
    storageType: "gp3",
    username: "boss",
    password: "long-enough-1",
    skipFinalSnapshot: true,
  },
  [GROUP]: { name: "main-17", family: "postgres17" },
  [CACHE]: {
    replicationGroupId: "cache",
    description: "cache",
    engine: "valkey",
    engineVersion: "8.0",
    nodeType: "cache.m7g.large",
    automaticFailoverEnabled: true,
    numCacheClusters: 2,
    parameterGroupName: "default.valkey8",
  },
  [ALARM]: {
    name: "lag",
    comparisonOperator: "GreaterThanThreshold",
    evaluationPeriods: 3,
    metricName: "Lag",
    namespace: "pgladder",
    statistic: "Maximum",
    period: 60,
    threshold: 1,
  },
  [SECRET]: { name: "app/password" },
  "aws:kms/key:Key": { enableKeyRotation: true },
  "aws:iam/role:Role": { name: "agent", assumeRolePolicy: TRUST },
  "aws:cloudwatch/logGroup:LogGroup": { name: "/pgladder/hosts", retentionInDays: 365 },
  "aws:lb/targetGroup:TargetGroup": { name: "door", port: 6432, protocol: "TCP", vpcId: "vpc-0123456789abcdef0" },
  "aws:ec2/launchTemplate:LaunchTemplate": { name: "pooler", imageId: "ami-0123456789abcdef0", instanceType: "c7g.large" },
  "aws:sns/topicSubscription:TopicSubscription": {
    topic: "arn:aws:sns:us-east-1:123456789012:n",
    protocol: "email",
    endpoint: "a@b.example",
  },
  [FUNCTION]: { name: "agent", role: ROLE, code: "x", runtime: "nodejs24.x", handler: "agent.handler" },
  [INGRESS]: { securityGroupId: "sg-0123456789abcdef0", ipProtocol: "tcp", fromPort: 5432, toPort: 5432, cidrIpv4: "10.0.0.0/16" },
  [RECORD]: { zoneId: "Z0123456789", name: "db", type: "CNAME", ttl: 60, records: ["a.example"] },
  "aws:backup/plan:Plan": { name: "daily", rules: [{ ruleName: "daily", targetVaultName: "vault", schedule: "cron(0 5 * * ? *)" }] },
  "aws:autoscaling/group:Group": {
    name: "pooler",
    minSize: 2,
    maxSize: 4,
    launchTemplate: { id: "lt-0123456789abcdef0" },
    vpcZoneIdentifiers: ["subnet-0"],
  },
};

const static_ = { name: "max_connections", value: "200", applyMethod: "immediate" };

/** What is wrong, in which resource, what is written beside the right inputs (null takes away), and what the refusal says. */
const MISTAKES: readonly (readonly [rule: string, type: string, mistake: Props, says: string])[] = [
  [
    "a required property is missing",
    INSTANCE,
    { instanceClass: null },
    "instanceClass aws:rds/instance:Instance: Missing required argument",
  ],
  ["a property that does not exist", INSTANCE, { storagesize: 50 }, "got an unexpected property"],
  ["an output that is written", INSTANCE, { resourceId: "db-X" }, "got an unexpected property"],
  ["a value of another type", INSTANCE, { allocatedStorage: "much" }, 'got "much", want a value of type integer'],
  ["a value outside its list", INSTANCE, { storageType: "gp4" }, 'got "gp4", want one of'],
  ["a number below its least", "aws:kms/key:Key", { deletionWindowInDays: 3 }, "got 3, want at least 7"],
  ["a number above its most", INSTANCE, { backupRetentionPeriod: 36 }, "got 36, want at most 35"],
  ["a number outside its list", "aws:cloudwatch/logGroup:LogGroup", { retentionInDays: 366 }, "got 366, want one of"],
  ["a text that is too long", "aws:lb/targetGroup:TargetGroup", { name: "a-load-balancer-with-a-name-too-long" }, "want at most 32"],
  [
    "a text that is too short",
    "aws:backup/plan:Plan",
    { rules: [{ ruleName: "d", targetVaultName: "v" }] },
    "got 1 characters, want at least 2",
  ],
  ["a text against its pattern", INSTANCE, { identifier: "1main" }, 'got "1main", want '],
  ["a text like a forbidden one", INSTANCE, { identifier: "main--2" }, 'got "main--2", want nothing like'],
  ["an address block that is none", VPC, { cidrBlock: "10.0.0.0" }, "want ipv4-cidr"],
  ["an ARN that is none", FUNCTION, { role: "agent" }, "want arn"],
  ["a document that is no JSON", "aws:iam/role:Role", { assumeRolePolicy: "{" }, "want json"],
  ["properties that exclude each other", CACHE, { numNodeGroups: 2 }, "want one of them"],
  ["a property without its companion", "aws:kms/key:Key", { rotationPeriodInDays: 100, enableKeyRotation: null }, "want both"],
  ["none of those of which one is needed", "aws:ec2/route:Route", { routeTableId: "rtb-0123456789abcdef0" }, "want exactly one of"],
  ["a list where one block belongs", FUNCTION, { vpcConfig: [] }, "want a value of type object"],
  ["static parameters at once", GROUP, { parameters: [static_] }, "rule static-needs-reboot"],
  ["a parameter that RDS does not know", GROUP, { parameters: [{ name: "max_conections", value: "1" }] }, "rule unknown-parameter"],
  ["a parameter that RDS keeps for itself", GROUP, { parameters: [{ name: "archive_command", value: "x" }] }, "rule not-modifiable"],
  ["performance below 400 GiB", INSTANCE, { iops: 12_000 }, "rule gp3-below-400"],
  ["too little performance from 400 GiB", INSTANCE, { allocatedStorage: 400, iops: 3_000, storageThroughput: 500 }, "rule gp3-from-400"],
  ["two zones and one zone", INSTANCE, { multiAz: true, availabilityZone: "us-east-1a" }, "rule multi-az-no-az"],
  ["windows that overlap", INSTANCE, { backupWindow: "05:00-06:00", maintenanceWindow: "sun:05:30-sun:06:30" }, "rule windows-overlap"],
  ["monitoring without its role", INSTANCE, { monitoringInterval: 60 }, "rule monitoring-role"],
  ["a cache fail-over with one node", CACHE, { numCacheClusters: 1 }, "rule failover-needs-two"],
  ["a token without TLS", CACHE, { authToken: "x".repeat(20) }, "rule auth-token-needs-tls"],
  ["a secret that ends like AWS' own", SECRET, { name: "app-pass01" }, "rule name-suffix"],
  ["an alarm without a statistic", ALARM, { statistic: null }, "rule alarm-metric-statistic"],
  ["a period that CloudWatch does not have", ALARM, { period: 90 }, "rule alarm-period"],
  ["hosts' data that is not base64", "aws:ec2/launchTemplate:LaunchTemplate", { userData: "#!/bin/sh" }, 'got "#!/bin/sh", want base64'],
  ["sizes that contradict each other", "aws:autoscaling/group:Group", { minSize: 5 }, "rule asg-sizes"],
  [
    "an address that is none for its protocol",
    "aws:sns/topicSubscription:TopicSubscription",
    { endpoint: "nobody" },
    "rule endpoint-by-protocol",
  ],
  ["ports with all protocols", INGRESS, { ipProtocol: "-1" }, "rule vsgr-all-no-ports"],
  ["a record with nothing to say", RECORD, { records: null, ttl: null }, "got none, want exactly one of aliases, records"],
  [
    "a schedule in Unix' words",
    "aws:backup/plan:Plan",
    { rules: [{ ruleName: "d", targetVaultName: "vault", schedule: "0 5 * * *" }] },
    "rule schedule-cron",
  ],
];

const without = (props: Props): Props => Object.fromEntries(Object.entries(props).filter(([, value]) => value !== null));

test.each(MISTAKES)("refused in the preview: %s", async (_, type, mistake, says) => {
  const right = RIGHT[type] ?? {};
  if (RIGHT[type]) await checked(type, right);
  await expect(checked(type, without({ ...right, ...mistake }))).rejects.toThrow(says);
});

test("right inputs of every kind above are refused by nothing", async () => {
  for (const [type, right] of Object.entries(RIGHT)) await expect(checked(type, right)).resolves.toBeTypeOf("object");
});

test("names that are taken, in this region only", async () => {
  await make(INSTANCE, RIGHT[INSTANCE]!);
  await expect(make(INSTANCE, RIGHT[INSTANCE]!)).rejects.toThrow('identifier: got "main", want a name that is not taken');
  await make(INSTANCE, { ...RIGHT[INSTANCE]!, region: "eu-west-1" });
});

test("ids, ARNs and names of what does not exist", async () => {
  await expect(make(SUBNET, { vpcId: "vpc-0123456789abcdef0", cidrBlock: "10.0.0.0/24" })).rejects.toThrow(
    "vpcId: got vpc-0123456789abcdef0, want something that exists",
  );
  await expect(make(FUNCTION, RIGHT[FUNCTION]!)).rejects.toThrow(`role: got ${ROLE}, want something that exists`);
  await expect(make(INSTANCE, { ...RIGHT[INSTANCE]!, parameterGroupName: "none" })).rejects.toThrow(
    'parameterGroupName: got "none", want the name of a aws:rds/parameterGroup:ParameterGroup in us-east-1',
  );
});

test("address blocks that meet", async () => {
  const { id: vpcId } = await make(VPC, RIGHT[VPC]!);
  await make(SUBNET, { vpcId, cidrBlock: "10.0.0.0/20" });
  await expect(make(SUBNET, { vpcId, cidrBlock: "10.0.1.0/24" })).rejects.toThrow("rule subnet-no-overlap");
  await expect(make(SUBNET, { vpcId, cidrBlock: "10.1.0.0/24" })).rejects.toThrow("rule subnet-inside-vpc");
});

test("a copy of an instance without backups, and one in another region without a key", async () => {
  const { state } = await make(INSTANCE, { ...RIGHT[INSTANCE]!, storageEncrypted: true });
  const copy = { identifier: "copy", instanceClass: "db.m7g.large", skipFinalSnapshot: true };
  await expect(make(INSTANCE, { ...copy, replicateSourceDb: "main" })).rejects.toThrow("rule replica-source-backups");
  await expect(make(INSTANCE, { ...copy, replicateSourceDb: state.arn!, region: "eu-west-1" })).rejects.toThrow(
    "rule replica-cross-region-kms",
  );
  await expect(make(INSTANCE, { ...copy, replicateSourceDb: "main", region: "eu-west-1" })).rejects.toThrow(
    "rule replica-cross-region-arn",
  );
});

test("changes: storage that shrinks, a step too small, another major version without leave", async () => {
  const made = await make(INSTANCE, RIGHT[INSTANCE]!);
  const changed = (news: Props) => change(INSTANCE, made, { ...RIGHT[INSTANCE]!, applyImmediately: true, ...news });
  await expect(changed({ allocatedStorage: 40 })).rejects.toThrow("rule storage-never-shrinks");
  await expect(changed({ allocatedStorage: 52 })).rejects.toThrow("rule storage-step");
  await expect(changed({ engineVersion: "18" })).rejects.toThrow("rule major-upgrade-flag");
  expect((await changed({ allocatedStorage: 60 })).allocatedStorage).toBe(60);
});

test("changes that replace, and those that do not", async () => {
  const { state } = await make(INSTANCE, RIGHT[INSTANCE]!);
  const replaces = async (news: Props) =>
    (await handlerOf(INSTANCE).diff({ state, inputs: await checked(INSTANCE, { ...RIGHT[INSTANCE]!, ...news }) })).map(
      ({ property, replaces: anew }) => `${property} ${anew}`,
    );
  expect(await replaces({ dbName: "app", username: "chief" })).toEqual(["dbName true", "username true"]);
  expect(await replaces({ instanceClass: "db.m7g.xlarge", multiAz: true })).toEqual(["instanceClass false", "multiAz false"]);
  expect(await replaces({})).toEqual([]);
});

test("deletions: protected, still used, and a secret's name in its recovery window", async () => {
  const group = await make(GROUP, RIGHT[GROUP]!);
  const used = await make(INSTANCE, { ...RIGHT[INSTANCE]!, parameterGroupName: "main-17", deletionProtection: true });
  await expect(handlerOf(INSTANCE).delete(used, session)).rejects.toThrow("rule deletion-protection");
  await expect(handlerOf(GROUP).delete(group, session)).rejects.toThrow("still used by aws:rds/instance:Instance main");
  await handlerOf(SECRET).delete(await make(SECRET, RIGHT[SECRET]!), session);
  await expect(make(SECRET, RIGHT[SECRET]!)).rejects.toThrow("want a name that is not scheduled for deletion");
});
