/**
 * What the AWS target asks for before its databases: pooler hosts and their door, every promised argument with its value. Cannot prove that AWS takes it, nor that a host starts: test/postgres/pooler-host.test.ts runs the host's program
 * before real servers, test/unit/pooler-boot.test.ts its scripts. Nothing of it has run on AWS.
 */
import { gunzipSync } from "node:zlib";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { Pooler } from "../../components/aws/pooler.ts";
import type { HostSettings } from "../../plan/pooler-host.ts";
import type { Given } from "../support/config.ts";
import { ACCOUNT, type Made, ofType, recorded, shortType, the } from "./aws-mocks.ts";
import { AWAY, commonOf, databaseOf, HASH, HOME, keyOf, placeOf, secretsOf, tags, topologyOf } from "./aws-parts.ts";

const named = (part: string) => expect.stringMatching(new RegExp(`^pgladder-dev-${part}-${HASH}$`));

interface Case {
  region?: string;
  stack?: string;
  project?: string;
  proxy?: string;
  zones?: readonly string[];
  protect?: boolean;
  /** Given a way out and a secret's version to wait for. */
  told?: boolean;
}

const run = (given: Given, { region = HOME, stack = "dev", project = "pgladder", proxy, zones, protect = true, told = false }: Case = {}) =>
  recorded(
    (options) => {
      const topology = topologyOf(given, stack);
      const waits = told && {
        wayOut: [new aws.ec2.Route("out", { routeTableId: "table" }, options)],
        versions: [new aws.secretsmanager.SecretVersion("app", { secretId: "app" }, options)],
      };
      const place = placeOf(region, options, {
        protect,
        ...(waits && { wayOut: waits.wayOut }),
        ...(zones ? { zones: zones.map((zone) => pulumi.output(zone)) } : {}),
      });
      new Pooler(
        `pooler-${region}`,
        {
          ...commonOf(project, stack),
          place,
          topology,
          database: databaseOf(topology, options),
          secrets: { ...secretsOf(), ...(waits && { after: waits.versions }) },
          image: { digest: "registry.test/pooler@sha256:0123", repositoryArn: "arn:repository", region: HOME, architecture: "x86_64" },
          zoneId: "ZMADE",
          proxy: proxy ?? null,
        },
        options,
      );
    },
    { project, stack },
  );

const packedIn = (made: readonly Made[], region = HOME) => the(made, "ssm.Parameter", `pooler-${region}`).args.value as string;
const settingsIn = (made: readonly Made[], region = HOME) =>
  JSON.parse(gunzipSync(Buffer.from(packedIn(made, region), "base64")).toString()) as HostSettings;
const bootOf = (made: readonly Made[], region = HOME) =>
  Buffer.from(the(made, "ec2.LaunchTemplate", `pooler-${region}`).args.userData as string, "base64").toString();

describe("stage 2", () => {
  let made: Made[];
  const part = `pooler-${HOME}`;
  beforeAll(async () => {
    made = await run({ stage: 2 });
  });

  test("is exactly these resources, all by the region's provider", () => {
    const own = made.filter(({ type }) => type.startsWith("aws:") && shortType(type) !== "rds.Instance");
    expect(own.map(({ type, name }) => `${shortType(type)} ${name}`).sort()).toEqual(
      [
        ...["autoscaling.Group", "autoscaling.LifecycleHook", "cloudwatch.LogGroup", "ec2.LaunchTemplate", "iam.InstanceProfile"],
        ...["iam.Role", "iam.RolePolicy", "ssm.Parameter"],
      ]
        .map((type) => `${type} ${part}`)
        .concat(["lb.Listener", "lb.LoadBalancer", "lb.TargetGroup", "route53.Record"].map((type) => `${type} door-${HOME}`))
        .sort(),
    );
    expect(new Set(own.map(({ provider }) => provider))).toEqual(new Set([`aws-${HOME}`]));
  });

  test("the door is an internal load balancer with its own group, and one listener", () => {
    const door = `door-${HOME}`;
    expect(the(made, "lb.LoadBalancer", door).args).toEqual({
      name: expect.stringMatching(new RegExp(`^pgladder-door-us-east-1-${HASH}$`)),
      loadBalancerType: "network",
      internal: true,
      securityGroups: ["sg-door"],
      subnets: ["subnet-1", "subnet-2", "subnet-3"],
      enableCrossZoneLoadBalancing: true,
      enableDeletionProtection: true,
      ipAddressType: "ipv4",
      tags: tags(door),
    });
    expect(the(made, "lb.Listener", door).args).toMatchObject({
      port: 6432,
      protocol: "TCP",
      defaultActions: [{ type: "forward", targetGroupArn: `arn:aws:lb:${HOME}:${ACCOUNT}:door-${HOME}` }],
    });
  });

  test("a host is asked over HTTP whether it serves; one that does not keeps the clients that it has", () => {
    expect(the(made, "lb.TargetGroup", `door-${HOME}`).args).toMatchObject({
      targetType: "instance",
      protocol: "TCP",
      port: 6432,
      healthCheck: {
        protocol: "HTTP",
        port: "8008",
        path: "/healthy",
        matcher: "200",
        interval: 5,
        timeout: 4,
        healthyThreshold: 2,
        unhealthyThreshold: 2,
      },
      preserveClientIp: "false",
      deregistrationDelay: 300,
      connectionTermination: false,
      targetHealthStates: [{ enableUnhealthyConnectionTermination: false, unhealthyDrainingInterval: 300 }],
    });
  });

  test("the name that never changes leads to the door", () => {
    expect(the(made, "route53.Record", `door-${HOME}`).args).toEqual({
      zoneId: "ZMADE",
      name: "db.dev.pgladder.internal",
      type: "A",
      aliases: [{ name: expect.stringMatching(/\.elb\.test$/), zoneId: "ZELB", evaluateTargetHealth: false }],
    });
  });

  test("hosts: newest system, second version of the metadata service only, encrypted volume, no public address, no key", () => {
    const { args } = the(made, "ec2.LaunchTemplate", part);
    expect(args).toEqual({
      name: named(part),
      updateDefaultVersion: true,
      imageId: "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
      instanceType: "t3.small",
      userData: expect.any(String),
      iamInstanceProfile: { arn: expect.stringContaining("iam") },
      metadataOptions: { httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1, instanceMetadataTags: "disabled" },
      networkInterfaces: [
        { deviceIndex: 0, associatePublicIpAddress: "false", deleteOnTermination: "true", securityGroups: ["sg-pooler"] },
      ],
      blockDeviceMappings: [
        { deviceName: "/dev/xvda", ebs: { volumeType: "gp3", volumeSize: 20, encrypted: "true", deleteOnTermination: "true" } },
      ],
      monitoring: { enabled: true },
      tagSpecifications: ["instance", "volume", "network-interface"].map((resourceType) => ({
        resourceType,
        tags: { ...tags(part), Name: named(part) },
      })),
      tags: { ...tags(part), Name: named(part) },
    });
  });

  test("the group keeps two hosts over three zones, replaces them one after the other, and asks the load balancer for their health", () => {
    const { args, customTimeouts } = the(made, "autoscaling.Group", part);
    expect(args).toMatchObject({
      name: named(part),
      minSize: 2,
      desiredCapacity: 2,
      maxSize: 4,
      vpcZoneIdentifiers: ["subnet-1", "subnet-2", "subnet-3"],
      launchTemplate: { id: `${part}-id`, version: "3" },
      targetGroupArns: [`arn:aws:lb:${HOME}:${ACCOUNT}:door-${HOME}`],
      healthCheckType: "ELB",
      healthCheckGracePeriod: 300,
      maxInstanceLifetime: 2_592_000,
      instanceMaintenancePolicy: { minHealthyPercentage: 100, maxHealthyPercentage: 200 },
      instanceRefresh: {
        strategy: "Rolling",
        preferences: { minHealthyPercentage: 100, maxHealthyPercentage: 200, instanceWarmup: "300", skipMatching: true },
      },
      minElbCapacity: 2,
      waitForCapacityTimeout: "15m",
    });
    expect(customTimeouts).toEqual({ delete: "30m" });
    expect(the(made, "autoscaling.LifecycleHook", part).args).toEqual({
      name: part,
      autoscalingGroupName: named(part),
      lifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING",
      heartbeatTimeout: 460,
      defaultResult: "CONTINUE",
    });
  });

  test("a host may read its own secrets and settings, pull its image, write its log and say that it left: nothing else", () => {
    const { Statement } = JSON.parse(the(made, "iam.RolePolicy", part).args.policy as string);
    const group = the(made, "autoscaling.Group", part).args.name;
    const parameter = the(made, "ssm.Parameter", part).args.name;
    expect(Statement.map(({ Action, Resource }: { Action: unknown; Resource: unknown }) => [Action, Resource])).toEqual([
      [
        "secretsmanager:GetSecretValue",
        ["app", "app_ro", "ladder_agent", "ladder_monitor", "pooler"].map((owner) => `arn:${HOME}:${owner}`),
      ],
      ["secretsmanager:BatchGetSecretValue", "*"],
      ["ssm:GetParameter", `arn:aws:ssm:${HOME}:${ACCOUNT}:parameter${parameter}`],
      ["kms:Decrypt", keyOf(HOME)],
      ["ecr:GetAuthorizationToken", "*"],
      [["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "arn:repository"],
      [
        [
          "ssm:UpdateInstanceInformation",
          "ssmmessages:CreateControlChannel",
          "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel",
          "ssmmessages:OpenDataChannel",
        ],
        "*",
      ],
      [["logs:CreateLogStream", "logs:PutLogEvents"], `arn:aws:cloudwatch:${HOME}:${ACCOUNT}:${part}:*`],
      ["autoscaling:CompleteLifecycleAction", `arn:aws:autoscaling:${HOME}:${ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/${group}`],
    ]);
    expect(ofType(made, "iam.RolePolicyAttachment")).toEqual([]);
  });

  test("its settings are a parameter under the region's key: nodes by host, names of secrets, no secret", () => {
    const { args } = the(made, "ssm.Parameter", part);
    expect(args).toMatchObject({ type: "SecureString", tier: "Advanced", keyId: keyOf(HOME) });
    expect(args.name).toMatch(new RegExp(`^/pgladder-dev-${part}-${HASH}/settings$`));
    expect(settingsIn(made)).toMatchObject({
      region: HOME,
      port: 6432,
      processes: 1,
      nodes: [
        { name: "main-1", host: "main-1.rds.test" },
        { name: "main-2", host: "main-2.rds.test" },
      ],
      proxy: null,
      secrets: {
        roles: Object.fromEntries(["app", "app_ro", "ladder_agent", "ladder_monitor"].map((role) => [role, `${role}/password`])),
        identity: "pooler/identity",
      },
    });
  });

  test("no secret is in the user data, which fits into AWS' 16 KB", () => {
    const boot = bootOf(made);
    expect(boot).not.toContain("password-of-");
    expect(boot.length).toBeLessThan(16_384);
    expect(boot).toContain("\nIMAGE=registry.test/pooler@sha256:0123\n");
    expect(boot).toContain('\nSECRETS="app/password app_ro/password ladder_agent/password ladder_monitor/password pooler/identity"\n');
    expect(boot).toContain(`\nHOOK=${part}\nPROCESSES=1\n`);
  });

  test("logs are kept a year under the region's key", () => {
    expect(the(made, "cloudwatch.LogGroup", part).args).toMatchObject({ retentionInDays: 365, kmsKeyId: keyOf(HOME) });
  });
});

test("hosts start when settings, secrets, rights and the door are there, and the private subnets' way out", async () => {
  const made = await run({ stage: 2 }, { told: true });
  expect(the(made, "autoscaling.Group", `pooler-${HOME}`).dependsOn.toSorted()).toEqual([
    "ec2.Route out",
    `iam.RolePolicy pooler-${HOME}`,
    `lb.Listener door-${HOME}`,
    `route53.Record door-${HOME}`,
    "secretsmanager.SecretVersion app",
    `ssm.Parameter pooler-${HOME}`,
  ]);
});

describe("other stages and places", () => {
  test("another number of processes on the same class makes new hosts: their program reads it at its start", async () => {
    const [three, four] = [await run({ stage: 2, pooler: { processes: 3 } }), await run({ stage: 2, pooler: { processes: 4 } })];
    const template = (made: readonly Made[]) => the(made, "ec2.LaunchTemplate", `pooler-${HOME}`).args;
    expect([template(three).instanceType, template(four).instanceType]).toEqual(["c6i.xlarge", "c6i.xlarge"]);
    expect(bootOf(three)).toContain("\nPROCESSES=3\n");
    expect(bootOf(four)).toBe(bootOf(three).replace("PROCESSES=3", "PROCESSES=4"));
  });

  test("stage 1 has one host, stage 3 one core for each of its processes", async () => {
    const one = await run({ stage: 1 });
    const three = await run({ stage: 3 });
    expect(the(one, "autoscaling.Group", `pooler-${HOME}`).args).toMatchObject({ minSize: 1, maxSize: 2, minElbCapacity: 1 });
    expect(the(three, "ec2.LaunchTemplate", `pooler-${HOME}`).args.instanceType).toBe("c6i.large");
  });

  test("64 shards: their pools have room in the settings, and the hosts' certificate, secrets and start change with none of them", async () => {
    const [four, many] = [await run({ stage: 4 }), await run({ stage: 4, shards: { count: 64 } })];
    expect(settingsIn(many).pools).toHaveLength(3 + 2 * 64);
    expect(packedIn(many).length).toBeLessThan(8_192);
    expect(bootOf(many)).toBe(bootOf(four));
  });

  test("a further region has its nearest reads only, its own name, and the password of the reader only", async () => {
    const made = await run({ stage: 3, replicaRegions: [AWAY] }, { region: AWAY });
    const { pools, clusters, nodes, secrets } = settingsIn(made, AWAY);
    expect(pools.map(({ database }) => database)).toEqual(["app_read"]);
    expect(clusters.map(({ name, primaries, replicas }) => [name, primaries[0], replicas[0]])).toEqual([
      [`main-${AWAY}`, "main-1", `main-${AWAY}-1`],
    ]);
    expect(nodes.map(({ name }) => name)).toEqual(["main-1", "main-2", "main-3", `main-${AWAY}-1`]);
    expect(Object.keys(secrets.roles)).toEqual(["app_ro", "ladder_agent", "ladder_monitor"]);
    expect(the(made, "route53.Record", `door-${AWAY}`).args.name).toBe("db-eu-west-1.dev.pgladder.internal");
    expect(the(made, "lb.LoadBalancer", `door-${AWAY}`).args.enableDeletionProtection).toBe(false);
    expect(bootOf(made, AWAY)).toContain(`\nIMAGE_REGION=${HOME}\n`);
  });

  test("of several subnets in a zone the load balancer takes the first; hosts live in all", async () => {
    const made = await run({ stage: 2 }, { zones: ["zone-a", "zone-a", "zone-b"] });
    expect(the(made, "lb.LoadBalancer", `door-${HOME}`).args.subnets).toEqual(["subnet-1", "subnet-3"]);
    expect(the(made, "autoscaling.Group", `pooler-${HOME}`).args.vpcZoneIdentifiers).toEqual(["subnet-1", "subnet-2", "subnet-3"]);
  });

  test("names stay within AWS' limits for long projects and stacks", async () => {
    const made = await run({ stage: 2 }, { project: "a".repeat(90), stack: "b".repeat(31) });
    const longest = (type: string) => Math.max(...ofType(made, type).map(({ args }) => (args.name as string).length));
    expect(longest("lb.LoadBalancer")).toBeLessThanOrEqual(32);
    expect(longest("lb.TargetGroup")).toBeLessThanOrEqual(32);
    expect(longest("iam.Role")).toBeLessThanOrEqual(64);
    expect(longest("ec2.LaunchTemplate")).toBeLessThanOrEqual(125);
  });

  test("RDS Proxy is given to the hosts, which send the transaction pool through it", async () => {
    expect(settingsIn(await run({ stage: 2, aws: { rdsProxy: true } }, { proxy: "proxy.test" })).proxy).toBe("proxy.test");
  });
});
