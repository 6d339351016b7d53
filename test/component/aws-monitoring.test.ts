/**
 * Topics, alarms, RDS events and the dashboard that the AWS target asks for, under mocks. Thresholds are those of test/unit/alerts.
 * Cannot prove that a receiver is told anything: nothing of it has ever run on AWS.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { AwsTarget } from "../../components/aws/index.ts";
import { plan } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { parse } from "../support/config.ts";
import { ACCOUNT, type Made, ofType, recorded, runAws, the } from "./aws-mocks.ts";

const HOME = "us-east-1";
const AWAY = "eu-west-1";
const RECEIVERS = ["oncall@example.com", "https://example.com/hook"];
const arn = (service: string, region: string, name: string) => `arn:aws:${service}:${region}:${ACCOUNT}:${name}`;
const topic = (region: string) => arn("sns", region, `notices-${region}`);
const tags = (part: string) => ({ project: "pgladder", stack: "dev", part, "managed-by": "pgladder" });
const named = (part: string) => expect.stringMatching(new RegExp(`^pgladder-dev-${part}-[0-9a-f]{6}$`));
/** Under mocks siblings come in any order. */
const sorted = (rows: readonly unknown[][]) => [...rows].sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
const alarm = (made: readonly Made[], name: string) => the(made, "cloudwatch.MetricAlarm", name);
const identifier = (made: readonly Made[], name: string) => the(made, "rds.Instance", name).args.identifier;

describe("stage 3 in two regions", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws({ stage: 3, replicaRegions: [AWAY], alerts: { receivers: RECEIVERS } });
  }, 60_000);

  test("a topic in each region, encrypted with that region's key, for this account's services and by TLS only", () => {
    expect(sorted(ofType(made, "sns.Topic").map(({ name, provider }) => [name, provider]))).toEqual([
      [`notices-${AWAY}`, `aws-${AWAY}`],
      [`notices-${HOME}`, `aws-${HOME}`],
    ]);
    expect(the(made, "sns.Topic", `notices-${AWAY}`).args).toEqual({
      ...{ name: named(`notices-${AWAY}`), kmsMasterKeyId: arn("kms", AWAY, `key-${AWAY}`), tags: tags(`notices-${AWAY}`) },
    });
    const { args } = the(made, "sns.TopicPolicy", `notices-${AWAY}`);
    expect(args.arn).toBe(topic(AWAY));
    expect(JSON.parse(args.policy as string).Statement).toEqual([
      {
        Sid: "Services",
        Effect: "Allow",
        Principal: { Service: ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"] },
        Action: "sns:Publish",
        Resource: topic(AWAY),
        Condition: { StringEquals: { "aws:SourceAccount": ACCOUNT } },
      },
      { Sid: "Events", Effect: "Allow", Principal: { Service: "events.amazonaws.com" }, Action: "sns:Publish", Resource: topic(AWAY) },
      {
        Sid: "Encrypted",
        Effect: "Deny",
        Principal: "*",
        Action: "sns:Publish",
        Resource: topic(AWAY),
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ]);
  });

  test("every receiver is subscribed in every region, by the protocol that it understands", () => {
    expect(sorted(ofType(made, "sns.TopicSubscription").map(({ name, args }) => [name, args]))).toEqual(
      [AWAY, HOME].flatMap((region) => [
        [`notices-${region}-${RECEIVERS[1]}`, { topic: topic(region), protocol: "https", endpoint: RECEIVERS[1] }],
        [`notices-${region}-${RECEIVERS[0]}`, { topic: topic(region), protocol: "email", endpoint: RECEIVERS[0] }],
      ]),
    );
  });

  test("an alarm in the region of its metric, that tells when it begins and when it ends", () => {
    const standby = `main-${AWAY}-1`;
    const name = `disk-${standby}-critical`;
    expect(alarm(made, name).args).toEqual({
      name: named(name),
      alarmDescription: `${standby}: Free bytes of the volume. What to do: docs/guide/alerts.md, disk`,
      namespace: "AWS/RDS",
      metricName: "FreeStorageSpace",
      dimensions: { DBInstanceIdentifier: identifier(made, standby) },
      statistic: "Minimum",
      period: 300,
      evaluationPeriods: 2,
      datapointsToAlarm: 2,
      comparisonOperator: "LessThanThreshold",
      // 15 % of 2,000 GiB.
      threshold: 322_122_547_200,
      treatMissingData: "missing",
      alarmActions: [topic(AWAY)],
      okActions: [topic(AWAY)],
      tags: tags(name),
    });
    expect(alarm(made, name).provider).toBe(`aws-${AWAY}`);
    expect(alarm(made, `heartbeat-${standby}-critical`)).toMatchObject({ provider: `aws-${HOME}`, args: { alarmActions: [topic(HOME)] } });
  });

  test("one for each figure of each part", () => {
    const alarms = ofType(made, "cloudwatch.MetricAlarm");
    // Primary 29, two replicas and a standby 23 each, two regions of poolers 5 each, two cache nodes 8 each, four functions and silence.
    expect(alarms).toHaveLength(29 + 3 * 23 + 2 * 5 + 2 * 8 + 4 + 1);
    expect(new Set(alarms.map(({ args }) => args.name)).size).toBe(alarms.length);
    expect(alarms.filter(({ parent }) => parent !== "monitoring")).toEqual([]);
  });

  test("poolers, cache and functions are named as they are made", () => {
    const group = the(made, "autoscaling.Group", `pooler-${AWAY}`).args.name;
    expect(alarm(made, `pooler-cpu-pooler-${AWAY}-warning`).args.dimensions).toEqual({ AutoScalingGroupName: group });
    expect(Object.keys(alarm(made, `poolers-healthy-pooler-${AWAY}-critical`).args.dimensions as object)).toEqual([
      "LoadBalancer",
      "TargetGroup",
    ]);
    const cache = the(made, "elasticache.ReplicationGroup", "cache").args.replicationGroupId;
    expect(alarm(made, "cache-memory-cache-2-critical").args.dimensions).toEqual({ CacheClusterId: `${cache}-0001-002` });
    const metrics = the(made, "lambda.Function", "agent-metrics").args.name;
    expect(alarm(made, "silence-metrics-critical").args).toMatchObject({
      dimensions: { FunctionName: metrics },
      treatMissingData: "breaching",
    });
  });

  test("RDS tells of instances and of their parameters in their region", () => {
    expect(sorted(ofType(made, "rds.EventSubscription").map(({ name, provider }) => [name, provider]))).toEqual([
      [`rds-instances-${AWAY}`, `aws-${AWAY}`],
      [`rds-instances-${HOME}`, `aws-${HOME}`],
      [`rds-parameters-${AWAY}`, `aws-${AWAY}`],
      [`rds-parameters-${HOME}`, `aws-${HOME}`],
    ]);
    expect(the(made, "rds.EventSubscription", `rds-instances-${HOME}`).args).toEqual({
      name: named(`rds-instances-${HOME}`),
      snsTopic: topic(HOME),
      sourceType: "db-instance",
      eventCategories: [
        "availability",
        "configuration change",
        "deletion",
        "failover",
        "failure",
        "low storage",
        "maintenance",
        "recovery",
      ],
      sourceIds: ["main-1", "main-2", "main-3"].map((name) => identifier(made, name)),
      tags: tags(`rds-instances-${HOME}`),
    });
    expect(the(made, "rds.EventSubscription", `rds-parameters-${AWAY}`).args).toMatchObject({
      ...{ sourceType: "db-parameter-group", eventCategories: ["configuration change"], sourceIds: [named(`main-${AWAY}-1-pg17`)] },
    });
  });

  test("the dashboard at home shows both regions, and its critical alarms by ARN", () => {
    const { args, provider } = the(made, "cloudwatch.Dashboard", "dashboard");
    expect([args.dashboardName, provider]).toEqual([named("dashboard"), `aws-${HOME}`]);
    const { widgets } = JSON.parse(args.dashboardBody as string);
    expect(widgets[0].properties.alarms).toContain(arn("cloudwatch", HOME, "disk-main-1-critical"));
    expect(widgets[0].properties.alarms).not.toContain(arn("cloudwatch", AWAY, `disk-main-${AWAY}-1-critical`));
    const cpu = widgets.find(({ properties }: { properties: { title: string } }) => properties.title === "Percent of CPU");
    expect(cpu.properties.metrics.at(-1)).toEqual([
      ...["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", identifier(made, `main-${AWAY}-1`)],
      { label: `main-${AWAY}-1`, region: AWAY },
    ]);
  });

  test("nothing of it is a secret, and nothing of it is protected: it can be made again", () => {
    const watching = made.filter(({ parent }) => parent === "monitoring" || parent === "notices");
    expect(watching.filter(({ secret, protect }) => secret.length > 0 || protect)).toEqual([]);
  });
});

test("a burstable class is watched for its credits, and stage 1 has nothing of a replica or a cache", async () => {
  const made = await runAws({ stage: 1 });
  const watches = new Set(
    ofType(made, "cloudwatch.MetricAlarm").map(({ name }) => name.replace(/-(main-1|pooler-.*|[a-z]+)-(warning|critical)$/, "")),
  );
  expect(watches).toContain("cpu-credits");
  for (const watch of ["replication-lag", "cache-memory"]) expect(watches).not.toContain(watch);
  expect(ofType(made, "sns.TopicSubscription")).toEqual([]);
});

test.each([
  ["us-east-1", "us-east-1.console.aws.amazon.com"],
  ["cn-north-1", "cn-north-1.console.amazonaws.cn"],
  ["us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"],
])("in %s the dashboard's address is at %s", async (region, console) => {
  const config = parse({ target: "aws", stage: 1, region });
  const topology = plan(config, undefined, { cores: 8, memory: gib(64) });
  let url = "";
  const made = await recorded((options) => {
    const target = new AwsTarget("dev", { config, topology, last: undefined, schema: {} }, options);
    target.dashboardUrl.apply((its) => {
      url = its;
    });
  });
  const name = the(made, "cloudwatch.Dashboard", "dashboard").args.dashboardName;
  expect(url).toBe(`https://${console}/cloudwatch/home?region=${region}#dashboards/dashboard/${name}`);
});

test("without monitoring there is none of it, and backups go on", async () => {
  const made = await runAws({ stage: 1, monitoring: false });
  for (const type of ["sns.Topic", "cloudwatch.MetricAlarm", "cloudwatch.Dashboard", "rds.EventSubscription", "cloudwatch.EventRule"])
    expect(ofType(made, type)).toEqual([]);
  expect(ofType(made, "backup.Plan")).toHaveLength(1);
});
