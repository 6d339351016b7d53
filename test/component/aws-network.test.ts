/**
 * What the AWS target asks for around its databases: keys, networks, who may talk to whom, secrets. Under mocks.
 * Cannot prove that AWS takes it, nor what is replaced: test/engine/aws does the second. Nothing of it has ever run on AWS.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { Given } from "../support/config.ts";
import { ACCOUNT, left, type Made, ofType, runAws, runDatabase, shortType, the } from "./aws-mocks.ts";

const HOME = "us-east-1";
const AWAY = "eu-west-1";
const names = (made: readonly Made[]) => made.map(({ name }) => name).sort();
const below = (made: readonly Made[], parent: string) => made.filter((each) => each.parent === parent);
const kinds = (made: readonly Made[]) => made.map(({ type, name }) => `${shortType(type)} ${name}`).sort();

/** `who → whom:port` of all rules in a region, by side. */
const rules = (made: readonly Made[], region: string, type: "Ingress" | "Egress") =>
  Object.fromEntries(
    ofType(made, `vpc.SecurityGroup${type}Rule`)
      .filter(({ parent }) => parent === `security-${region}`)
      .map(({ name, args }) => [
        name.replace(`-${region}`, ""),
        `${args.securityGroupId} ${args.referencedSecurityGroupId ?? args.cidrIpv4} ${args.ipProtocol} ${args.fromPort}-${args.toPort}`,
      ]),
  );

describe("one region, one pooler (stage 1)", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws({ stage: 1 });
  });

  test("makes one VPC over three zones, with one way out", () => {
    expect(kinds(below(made, `network-${HOME}`))).toEqual(
      [
        ...["ec2.Vpc vpc", "ec2.DefaultSecurityGroup default", "ec2.InternetGateway internet", "ec2.VpcEndpoint s3"],
        ...["ec2.Subnet public-1", "ec2.RouteTable public-1", "ec2.RouteTableAssociation public-1", "ec2.Route public-1"],
        ...["ec2.Eip nat-1", "ec2.NatGateway nat-1"],
        ...[1, 2, 3].flatMap((n) => ["Subnet", "RouteTable", "RouteTableAssociation", "Route"].map((kind) => `ec2.${kind} private-${n}`)),
        ...["cloudwatch.LogGroup flow-logs", "iam.Role flow-logs", "iam.RolePolicy flow-logs", "ec2.FlowLog flow-logs"],
      ]
        .map((each) => `${each}-${HOME}`)
        .sort(),
    );
  });

  test("places the subnets in the first three zones, for good, and gives no host a public address", () => {
    const subnets = ofType(made, "ec2.Subnet").map(({ name, args, ignoreChanges }) => [
      name,
      [args.cidrBlock, args.availabilityZone, args.mapPublicIpOnLaunch, args.vpcId, ...ignoreChanges],
    ]);
    const row = (cidr: string, zone: string) => [cidr, zone, false, `vpc-${HOME}-id`, "availabilityZone"];
    expect(Object.fromEntries(subnets)).toEqual({
      [`public-1-${HOME}`]: row("10.64.240.0/24", "zone-a"),
      [`private-1-${HOME}`]: row("10.64.0.0/20", "zone-a"),
      [`private-2-${HOME}`]: row("10.64.16.0/20", "zone-b"),
      [`private-3-${HOME}`]: row("10.64.32.0/20", "zone-c"),
    });
    expect(the(made, "ec2.Vpc", `vpc-${HOME}`).args).toMatchObject({
      cidrBlock: "10.64.0.0/16",
      enableDnsSupport: true,
      enableDnsHostnames: true,
    });
  });

  test("leads every private subnet out by the one gateway, and to S3 past it", () => {
    for (const n of [1, 2, 3])
      expect(the(made, "ec2.Route", `private-${n}-${HOME}`).args).toEqual({
        routeTableId: `private-${n}-${HOME}-id`,
        destinationCidrBlock: "0.0.0.0/0",
        natGatewayId: `nat-1-${HOME}-id`,
      });
    expect(the(made, "ec2.VpcEndpoint", `s3-${HOME}`).args).toMatchObject({
      serviceName: `com.amazonaws.${HOME}.s3`,
      vpcEndpointType: "Gateway",
      routeTableIds: [1, 2, 3].map((n) => `private-${n}-${HOME}-id`),
    });
  });

  test("the VPC's default security group lets nothing through", () => {
    const { args } = the(made, "ec2.DefaultSecurityGroup", `default-${HOME}`);
    expect([args.ingress, args.egress]).toEqual([undefined, undefined]);
  });

  test("logs what was refused, encrypted, for a year, by a role that can do nothing else", () => {
    const group = the(made, "cloudwatch.LogGroup", `flow-logs-${HOME}`);
    expect(group.args).toMatchObject({ retentionInDays: 365, kmsKeyId: `arn:aws:kms:${HOME}:${ACCOUNT}:key-${HOME}` });
    expect(the(made, "ec2.FlowLog", `flow-logs-${HOME}`).args).toMatchObject({
      trafficType: "REJECT",
      vpcId: `vpc-${HOME}-id`,
      logDestination: `arn:aws:cloudwatch:${HOME}:${ACCOUNT}:flow-logs-${HOME}`,
    });
    expect(JSON.parse(the(made, "iam.RolePolicy", `flow-logs-${HOME}`).args.policy as string).Statement).toEqual([
      {
        Effect: "Allow",
        Action: ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
        Resource: `arn:aws:cloudwatch:${HOME}:${ACCOUNT}:flow-logs-${HOME}:*`,
      },
    ]);
  });

  test("lets through exactly these connections", () => {
    const sg = (name: string) => `${name}-${HOME}-id`;
    const one = (port: number) => `tcp ${port}-${port}`;
    expect(rules(made, HOME, "Ingress")).toEqual({
      "door-from-vpc-client": `${sg("door")} 10.64.0.0/16 ${one(6432)}`,
      "cache-from-vpc-cache": `${sg("cache")} 10.64.0.0/16 ${one(6379)}`,
      "pooler-from-door-client": `${sg("pooler")} ${sg("door")} ${one(6432)}`,
      "pooler-from-door-health": `${sg("pooler")} ${sg("door")} ${one(8008)}`,
      "pooler-from-pooler-admin": `${sg("pooler")} ${sg("pooler")} tcp 6500-6563`,
      "pooler-from-agent-client": `${sg("pooler")} ${sg("agent")} ${one(6432)}`,
      "pooler-from-agent-health": `${sg("pooler")} ${sg("agent")} ${one(8008)}`,
      "pooler-from-agent-admin": `${sg("pooler")} ${sg("agent")} tcp 6500-6563`,
      "database-from-pooler-postgres": `${sg("database")} ${sg("pooler")} ${one(5432)}`,
      "database-from-agent-postgres": `${sg("database")} ${sg("agent")} ${one(5432)}`,
      "cache-from-agent-cache": `${sg("cache")} ${sg("agent")} ${one(6379)}`,
    });
    expect(rules(made, HOME, "Egress")).toEqual({
      "door-to-pooler-client": `${sg("door")} ${sg("pooler")} ${one(6432)}`,
      "door-to-pooler-health": `${sg("door")} ${sg("pooler")} ${one(8008)}`,
      "pooler-to-pooler-admin": `${sg("pooler")} ${sg("pooler")} tcp 6500-6563`,
      "pooler-to-database-postgres": `${sg("pooler")} ${sg("database")} ${one(5432)}`,
      "pooler-to-anywhere-https": `${sg("pooler")} 0.0.0.0/0 ${one(443)}`,
      "agent-to-database-postgres": `${sg("agent")} ${sg("database")} ${one(5432)}`,
      "agent-to-pooler-client": `${sg("agent")} ${sg("pooler")} ${one(6432)}`,
      "agent-to-pooler-health": `${sg("agent")} ${sg("pooler")} ${one(8008)}`,
      "agent-to-pooler-admin": `${sg("agent")} ${sg("pooler")} tcp 6500-6563`,
      "agent-to-cache-cache": `${sg("agent")} ${sg("cache")} ${one(6379)}`,
      "agent-to-anywhere-https": `${sg("agent")} 0.0.0.0/0 ${one(443)}`,
    });
  });

  test("makes one key that rotates, is protected, and serves the region's logs and this account's notices only", () => {
    const key = the(made, "kms.Key", `key-${HOME}`);
    expect(key).toMatchObject({ protect: true, retainOnDelete: true, args: { enableKeyRotation: true, deletionWindowInDays: 30 } });
    const [account, logs, notices, events, ...more] = JSON.parse(key.args.policy as string).Statement;
    expect(account.Principal).toEqual({ AWS: `arn:aws:iam::${ACCOUNT}:root` });
    expect([logs.Principal, logs.Condition]).toEqual([
      { Service: `logs.${HOME}.amazonaws.com` },
      { ArnLike: { "kms:EncryptionContext:aws:logs:arn": `arn:aws:logs:${HOME}:${ACCOUNT}:*` } },
    ]);
    expect([notices.Principal, notices.Action, notices.Condition]).toEqual([
      { Service: ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com", "backup.amazonaws.com"] },
      ["kms:Decrypt", "kms:GenerateDataKey*"],
      { StringEquals: { "aws:SourceAccount": ACCOUNT } },
    ]);
    expect([events, more]).toEqual([
      {
        Sid: "Events",
        Effect: "Allow",
        Principal: { Service: "events.amazonaws.com" },
        Action: ["kms:Decrypt", "kms:GenerateDataKey*"],
        Resource: "*",
      },
      [],
    ]);
    expect(the(made, "kms.Alias", `key-${HOME}`).args.name).toMatch(/^alias\/pgladder-dev-key-us-east-1-[0-9a-f]{6}$/);
  });

  test("keeps ten secrets, each a name of its own and a secret value", () => {
    const between = ["ladder_gateway", "ladder_gateway_ro", "ladder_replication"];
    const owners = ["app", "app_ro", "cache_app", "ladder_admin", "ladder_agent", "ladder_monitor", ...between].sort();
    expect(names(ofType(made, "secretsmanager.Secret"))).toEqual(["identity-pooler", ...owners.map((role) => `password-${role}`)]);
    for (const role of owners) {
      const { args, secret, retainOnDelete, dependsOn } = the(made, "secretsmanager.SecretVersion", `password-${role}`);
      expect(args.secretString).toBe(JSON.stringify({ username: role, password: `secret-password-${role}` }));
      expect([secret, retainOnDelete]).toEqual([["secretString"], true]);
      // A new password is not told to anybody before the databases stand as they should.
      expect(dependsOn).toEqual(ofType(made, "rds.Instance").map(({ name }) => `rds.Instance ${name}`));
    }
    expect(JSON.parse(the(made, "secretsmanager.SecretVersion", "identity-pooler").args.secretString as string)).toEqual({
      certificate: "certificate-pooler\n",
      key: "private-pooler\n",
      ca: "certificate-ca\n",
    });
    for (const { args, protect } of ofType(made, "secretsmanager.Secret")) {
      expect([args.recoveryWindowInDays, args.replicas, protect]).toEqual([30, [], true]);
      expect(args.name).toMatch(/^pgladder-dev-[a-z-]+-[0-9a-f]{6}\/(password|identity)$/);
    }
  });

  test("the pooler hosts' certificate is for the name that never changes", () => {
    expect(the(made, "tls.CertRequest", "pooler").args.dnsNames).toEqual(["pooler", "db.dev.pgladder.internal", "localhost"]);
  });
});

describe("two regions (stage 3)", () => {
  let made: Made[];
  beforeAll(async () => {
    made = await runAws({ stage: 3, replicaRegions: [AWAY] });
  });

  test("gives every zone a way out of its own from the first replica on", () => {
    for (const region of [HOME, AWAY])
      expect([1, 2, 3].map((n) => the(made, "ec2.Route", `private-${n}-${region}`).args.natGatewayId)).toEqual(
        [1, 2, 3].map((n) => `nat-${n}-${region}-id`),
      );
  });

  test("makes everything of a region by that region's provider, and nothing by the default one", () => {
    for (const region of [HOME, AWAY])
      for (const part of ["network", "keys", "security"]) {
        const its = below(made, `${part}-${region}`);
        expect(its.length).toBeGreaterThan(1);
        expect([...new Set(its.map(({ provider }) => provider))]).toEqual([`aws-${region}`]);
      }
    expect(made.filter(({ type, provider }) => type.startsWith("aws:") && provider === undefined)).toEqual([]);
    expect(Object.fromEntries(ofType(made, "pulumi.aws").map(({ name, args }) => [name, args.region]))).toEqual({
      [`aws-${HOME}`]: HOME,
      [`aws-${AWAY}`]: AWAY,
    });
  });

  test("peers the regions, whose addresses do not overlap, with routes on both sides", () => {
    expect(the(made, "ec2.VpcPeeringConnection", `peering-${AWAY}`).args).toMatchObject({
      vpcId: `vpc-${HOME}-id`,
      peerVpcId: `vpc-${AWAY}-id`,
      peerRegion: AWAY,
      autoAccept: false,
    });
    const accepter = the(made, "ec2.VpcPeeringConnectionAccepter", `peering-${AWAY}`);
    expect([accepter.provider, accepter.args.autoAccept]).toEqual([`aws-${AWAY}`, true]);
    const routes = below(made, `peering-${AWAY}`).filter(({ type }) => shortType(type) === "ec2.Route");
    expect(Object.fromEntries(routes.map(({ name, args }) => [name, `${args.routeTableId} ${args.destinationCidrBlock}`]))).toEqual(
      Object.fromEntries(
        [1, 2, 3].flatMap((n) => [
          [`private-${n}-${HOME}-to-${AWAY}`, `private-${n}-${HOME}-id 10.72.0.0/16`],
          [`private-${n}-${AWAY}-to-${HOME}`, `private-${n}-${AWAY}-id 10.64.0.0/16`],
        ]),
      ),
    );
  });

  test("names the other region by its addresses, and lets through only what crosses regions", () => {
    const across = (region: string, cidr: string) =>
      [...Object.entries(rules(made, region, "Ingress")), ...Object.entries(rules(made, region, "Egress"))]
        .filter(([, rule]) => rule.includes(` ${cidr} `))
        .map(([name, rule]) => `${name} ${rule.split(" ").at(-1)}`)
        .sort();
    expect(across(HOME, "10.72.0.0/16")).toEqual([
      `agent-to-${AWAY}-admin 6500-6563`,
      `agent-to-${AWAY}-client 6432-6432`,
      `agent-to-${AWAY}-health 8008-8008`,
      `agent-to-${AWAY}-postgres 5432-5432`,
      `cache-from-${AWAY}-cache 6379-6379`,
      `database-from-${AWAY}-postgres 5432-5432`,
      `door-from-${AWAY}-client 6432-6432`,
    ]);
    // The region's own name is at the end of every rule's, and taken off there.
    expect(across(AWAY, "10.64.0.0/16")).toEqual([
      `database-from-${HOME}-postgres 5432-5432`,
      `pooler-from-${HOME}-admin 6500-6563`,
      `pooler-from-${HOME}-client 6432-6432`,
      `pooler-from-${HOME}-health 8008-8008`,
      `pooler-to-${HOME}-postgres 5432-5432`,
    ]);
    expect(Object.keys(rules(made, AWAY, "Ingress")).filter((name) => name.startsWith("cache"))).toEqual([]);
  });

  test("copies every secret to the other region, under that region's key", () => {
    const secrets = ofType(made, "secretsmanager.Secret");
    expect(secrets).toHaveLength(10);
    for (const { args, provider } of secrets) {
      expect(provider).toBe(`aws-${HOME}`);
      expect(args.kmsKeyId).toBe(`arn:aws:kms:${HOME}:${ACCOUNT}:key-${HOME}`);
      expect(args.replicas).toEqual([{ region: AWAY, kmsKeyId: `arn:aws:kms:${AWAY}:${ACCOUNT}:key-${AWAY}` }]);
    }
  });
});

test("a way back to stage 1 keeps the gateways and their addresses for as long as the replica is held", async () => {
  const addresses = async (given: Given, ...before: Given[]) => names(ofType(await runAws(given, { last: left(...before) }), "ec2.Eip"));
  const three = [1, 2, 3].map((n) => `nat-${n}-${HOME}`);
  expect(await addresses({ stage: 1 }, { stage: 2 })).toEqual(three);
  expect(await addresses({ stage: 1, release: true }, { stage: 2 }, { stage: 1 })).toEqual(three);
  expect(await addresses({ stage: 1, release: true }, { stage: 2 }, { stage: 1 }, { stage: 1, release: true })).toEqual(three.slice(0, 1));
});

describe("what exists already", () => {
  const vpcId = "vpc-0123456789abcdef0";
  const subnetIds = ["subnet-0123456789abcdefa", "subnet-0123456789abcdefb"];

  test("an existing VPC is lived in and nothing of it is changed", async () => {
    const made = await runDatabase({ stage: 2, aws: { vpcId, subnetIds } });
    expect(below(made, `network-${HOME}`)).toEqual([]);
    expect(the(made, "ec2.SecurityGroup", `database-${HOME}`).args.vpcId).toBe(vpcId);
    expect(the(made, "rds.SubnetGroup", `database-${HOME}`).args.subnetIds).toEqual(subnetIds);
    expect(rules(made, HOME, "Ingress")["door-from-vpc-client"]).toContain(" 172.16.0.0/16 ");
    // The mocked primary is in zone-b.
    expect(the(made, "rds.Instance", "main-2").args.availabilityZone).toBe("zone-a");
  });

  test("a further region's VPC is still made, and its routes back are set; those of the existing VPC are its owner's", async () => {
    const made = await runDatabase({ stage: 3, replicaRegions: [AWAY], aws: { vpcId, subnetIds } });
    expect(names(below(made, `peering-${AWAY}`))).toEqual([
      `peering-${AWAY}`,
      `peering-${AWAY}`,
      ...[1, 2, 3].map((n) => `private-${n}-${AWAY}-to-${HOME}`),
    ]);
  });

  test("an existing key encrypts the home region; a further region has its own", async () => {
    const kmsKeyArn = `arn:aws:kms:${HOME}:${ACCOUNT}:key/0a1b`;
    const made = await runDatabase({ stage: 3, replicaRegions: [AWAY], aws: { kmsKeyArn } });
    expect(names(ofType(made, "kms.Key"))).toEqual([`key-${AWAY}`]);
    expect(the(made, "rds.Instance", "main-1").args.kmsKeyId).toBe(kmsKeyArn);
    expect(the(made, "rds.Instance", `main-${AWAY}-1`).args.kmsKeyId).toBe(`arn:aws:kms:${AWAY}:${ACCOUNT}:key-${AWAY}`);
  });
});
