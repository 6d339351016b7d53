/** What a part of the AWS target is given when it is tested alone: a region, a database, secrets, all known. */
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Common, DatabaseRefs, Place, SecretRef, SecretRefs, SecurityGroups } from "../../components/aws/contract.ts";
import { namingOf, taggingOf } from "../../components/aws/names.ts";
import { plan, type Topology } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";
import { ACCOUNT } from "./aws-mocks.ts";

export const HOME = "us-east-1";
export const AWAY = "eu-west-1";

export const topologyOf = (given: Given, stack = "dev"): Topology =>
  plan(parse({ target: "aws", ...given }, stack), undefined, { cores: 8, memory: gib(64) });

export const commonOf = (project = "pgladder", stack = "dev"): Common => ({
  stack,
  naming: namingOf(project, stack),
  tags: taggingOf(project, stack),
  protect: true,
});

export const tags = (part: string) => ({ project: "pgladder", stack: "dev", part, "managed-by": "pgladder" });

/** Names end in a hash of project, stack and part. */
export const HASH = "[0-9a-f]{6}";

export const keyOf = (region: string) => `key-of-${region}`;

/** A region with three zones. Made inside a run, because of its provider. */
export function placeOf(region: string, options: pulumi.ComponentResourceOptions, overrides: Partial<Place> = {}): Place {
  const wearers = ["database", "pooler", "door", "cache", "agent"];
  return {
    region,
    partition: "aws",
    home: region === HOME,
    protect: true,
    provider: new aws.Provider(`aws-${region}`, { region }, options),
    accountId: pulumi.output(ACCOUNT),
    vpcId: pulumi.output(`vpc-${region}`),
    vpcCidr: pulumi.output("10.64.0.0/16"),
    privateSubnetIds: [1, 2, 3].map((n) => pulumi.output(`subnet-${n}`)),
    wayOut: [],
    zones: ["a", "b", "c"].map((zone) => pulumi.output(`zone-${zone}`)),
    securityGroups: Object.fromEntries(wearers.map((each) => [each, pulumi.output(`sg-${each}`)])) as unknown as SecurityGroups,
    kmsKeyArn: pulumi.output(keyOf(region)),
    ...overrides,
  };
}

const secret = (owner: string, kind: string): SecretRef => ({
  name: `${owner}/${kind}`,
  arn: pulumi.output(`arn:${HOME}:${owner}`),
  versionId: pulumi.output("1"),
  arnIn: (region) => pulumi.output(`arn:${region}:${owner}`),
});

const ROLES = ["ladder_admin", "ladder_agent", "ladder_monitor", "app", "app_ro", "cache_app"].concat(
  "ladder_replication",
  "ladder_gateway",
  "ladder_gateway_ro",
);

export const secretsOf = (): SecretRefs => ({
  roles: Object.fromEntries(ROLES.map((role) => [role, secret(role, "password")])),
  poolerIdentity: secret("pooler", "identity"),
  passwords: pulumi.secret(Object.fromEntries(ROLES.map((role) => [role, `password-of-${role}`]))),
  caCertificate: pulumi.output("ca"),
  after: [],
});

/** Every node of the topology, at a host of its name. */
export function databaseOf(topology: Topology, options: pulumi.ComponentResourceOptions): DatabaseRefs {
  const families = new Map(topology.clusters.map(({ name, follows }) => [name, follows ?? name]));
  const nodes = topology.nodes.map(({ name, cluster, region, role, machine }) => ({
    name,
    cluster: families.get(cluster)!,
    region,
    role,
    identifier: name,
    host: pulumi.output(`${name}.rds.test`),
    arn: pulumi.output(`arn:${name}`),
    resourceId: pulumi.output(`db-${name}`),
    storage: machine.storage,
    memoryBytes: machine.memory * 1_024,
    maxConnections: 500,
    instance: new aws.rds.Instance(name, { identifier: name, instanceClass: "db.m7g.large" }, options),
  }));
  return { database: topology.database, primary: nodes[0]!, nodes };
}
