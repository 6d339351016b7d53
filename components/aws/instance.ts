import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import { renderRds } from "../../plan/render/rds.ts";
import type { Node } from "../../plan/topology.ts";
import { settingValue } from "../../plan/tuning/index.ts";
import type { Settings } from "../../plan/tuning/types.ts";
import { InputError } from "../../plan/types.ts";
import { type Common, type DatabaseNode, type Place, PORTS } from "./contract.ts";

/** What every RDS instance of the stack is given, primary and replicas. */
export interface InstanceArgs {
  common: Common;
  node: Node;
  /** Name of the home region's cluster whose primary it is or replicates. */
  cluster: string;
  place: Place;
  settings: Settings;
  /** Major versions that need a parameter group: the present one first, and the one before while an upgrade is on its way. */
  versions: readonly [number, ...number[]];
  monitoringRoleArn: pulumi.Input<string>;
  parent: pulumi.Resource;
}

/** GiB from which gp3 is striped over four volumes on RDS: IOPS and throughput can be chosen there only, and start at these. */
const STRIPED = 400;
const STRIPED_IOPS = 12_000;
const STRIPED_THROUGHPUT = 500;
const SMALLEST = 20;
const LARGEST = 65_536;
/** Storage autoscaling stops at this many times what is asked for. */
const GROWTH = 2;
/** Days that log groups keep what they are sent. */
const LOG_RETENTION = 365;
const LOGS = ["postgresql", "upgrade"] as const;
/** Seconds between samples of the operating system. */
const SAMPLES = 60;
/** Days of Database Insights that cost nothing. */
const INSIGHTS = 7;
/** Replicas take a new minor version a day before the primary does. */
const MAINTENANCE = { primary: "sun:05:00-sun:06:00", other: "sat:05:00-sat:06:00" } as const;

/** What AWS names an instance. Renaming one is possible in place but changes its host name. */
export const identifierOf = ({ naming }: Common, node: Node): string => naming(node.name, 63);

/** Whether Pulumi and AWS refuse to delete the node: always with `protect`, until `ladder finish` lets it go. */
const isProtected = ({ protect }: Common, { held }: Node): boolean => protect && held !== "unprotected";

/**
 * One instance with what it needs beside itself. What changing the arguments costs on a running instance:
 * nothing: storage (grows only, by at least 10%, once in six hours), retention, windows, logs, monitoring, protection, dynamic parameters;
 * a restart: static parameters, when the instance is next restarted; class: 60 to 120 s of fail-over with Multi-AZ, else minutes;
 * minutes of outage and no way back: a major version; replacement, which protection refuses: key, database name, master user.
 * Everything is done at once and not in the next window: who runs `up` has chosen the moment.
 * @param own what only a primary or only a replica is given
 */
export function makeInstance(
  args: InstanceArgs,
  own: Partial<aws.rds.InstanceArgs>,
  options: pulumi.CustomResourceOptions = {},
): DatabaseNode {
  const { common, node, place, monitoringRoleArn, parent } = args;
  const kept = isProtected(common, node);
  const instance = new aws.rds.Instance(
    node.name,
    {
      identifier: identifierOf(common, node),
      instanceClass: node.class!,
      ...storage(node),
      storageEncrypted: true,
      port: PORTS.postgres,
      publiclyAccessible: false,
      vpcSecurityGroupIds: [place.securityGroups.database],
      parameterGroupName: parameterGroup(args).name,
      caCertIdentifier: "rds-ca-rsa2048-g1",
      iamDatabaseAuthenticationEnabled: true,
      monitoringInterval: SAMPLES,
      monitoringRoleArn,
      performanceInsightsEnabled: true,
      performanceInsightsRetentionPeriod: INSIGHTS,
      performanceInsightsKmsKeyId: place.kmsKeyArn,
      databaseInsightsMode: "standard",
      enabledCloudwatchLogsExports: [...LOGS],
      autoMinorVersionUpgrade: true,
      applyImmediately: true,
      maintenanceWindow: node.role === "primary" ? MAINTENANCE.primary : MAINTENANCE.other,
      copyTagsToSnapshot: true,
      deletionProtection: kept,
      deleteAutomatedBackups: !kept,
      tags: common.tags(node.name),
      ...own,
    },
    {
      parent,
      provider: place.provider,
      protect: kept,
      dependsOn: logGroups(args),
      // Big instances take hours to copy.
      customTimeouts: { create: "3h", update: "3h", delete: "2h" },
      ...options,
    },
  );
  return databaseNode(args, instance);
}

function databaseNode({ common, node, cluster, settings }: InstanceArgs, instance: aws.rds.Instance): DatabaseNode {
  const connections = settingValue(settings, "max_connections");
  if (connections.kind !== "number") throw new Error(`max_connections of ${node.name}: got a ${connections.kind}, want a number`);
  return {
    name: node.name,
    cluster,
    region: node.region,
    role: node.role,
    identifier: identifierOf(common, node),
    host: instance.address,
    arn: instance.arn,
    resourceId: instance.resourceId,
    storage: node.machine.storage,
    memoryBytes: node.machine.memory * 1024,
    maxConnections: connections.value,
    instance,
  };
}

function storage({ name, machine: { storage: size } }: Node) {
  if (size < SMALLEST)
    throw new InputError("the database's volumes", [{ path: `${name}.storage`, got: size, want: `at least ${SMALLEST} GiB on RDS` }]);
  const most = Math.min(LARGEST, size * GROWTH);
  return {
    allocatedStorage: size,
    // AWS wants room of at least a tenth.
    ...(most >= size * 1.1 ? { maxAllocatedStorage: most } : {}),
    storageType: "gp3",
    ...(size >= STRIPED ? { iops: STRIPED_IOPS, storageThroughput: STRIPED_THROUGHPUT } : {}),
  };
}

/** The group in use. One a major version: the new one is there before an upgrade starts, and the old one until the `up` after it. */
function parameterGroup({ common, node, place, settings, versions, parent }: InstanceArgs): aws.rds.ParameterGroup {
  const make = (version: number) => {
    const part = `${node.name}-pg${version}`;
    return new aws.rds.ParameterGroup(
      part,
      {
        name: common.naming(part, 200),
        family: `postgres${version}`,
        description: `pgladder: ${node.name}`,
        parameters: renderRds(settings, version),
        tags: common.tags(part),
      },
      { parent, provider: place.provider },
    );
  };
  const [present, ...before] = versions;
  for (const version of before) make(version);
  return make(present);
}

/** Made before RDS would make them, without a key and for ever. */
const logGroups = ({ common, node, place, parent }: InstanceArgs): aws.cloudwatch.LogGroup[] =>
  LOGS.map((log) => {
    const part = `${node.name}-${log}`;
    return new aws.cloudwatch.LogGroup(
      part,
      {
        name: `/aws/rds/instance/${identifierOf(common, node)}/${log}`,
        retentionInDays: LOG_RETENTION,
        kmsKeyId: place.kmsKeyArn,
        tags: common.tags(part),
      },
      { parent, provider: place.provider },
    );
  });
