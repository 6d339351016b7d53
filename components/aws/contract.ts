/** What the parts of the AWS target tell each other. Only index.ts reads the configuration; parts take these and plain values. */
import type * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";

/** A name that is unique in an account for (project, stack), at most `max` characters (default 63), and stable. Lower case, `a-z0-9-`. */
export type Naming = (part: string, max?: number) => string;

/** Tags of one part: project, stack, part, managed-by. Every resource that takes tags has them. */
export type Tagging = (part: string) => Record<string, string>;

/** What every part of the target is given. */
export interface Common {
  readonly stack: string;
  readonly naming: Naming;
  readonly tags: Tagging;
  /** Stateful parts are protected in Pulumi and at AWS (deletion protection, final snapshots). */
  readonly protect: boolean;
}

/** Security groups of a region, by who wears them. Rules between them are made with the network, by reference. */
export interface SecurityGroups {
  /** RDS: takes 5432 from pooler and agent, from peered regions, and where there are shards from other servers of the stack. An RDS Proxy wears `pooler` and adds its own ingress rule. */
  readonly database: pulumi.Output<string>;
  /** Pooler hosts: take the client port, the health port and the admin ports; see PORTS. */
  readonly pooler: pulumi.Output<string>;
  /** The internal NLB before the poolers: takes the client port from the VPC and from peered regions. */
  readonly door: pulumi.Output<string>;
  /** ElastiCache: takes 6379 from the VPC and peered regions. Rules in the home region only. */
  readonly cache: pulumi.Output<string>;
  /** The agent's Lambdas: take nothing. */
  readonly agent: pulumi.Output<string>;
}

/**
 * One region of the stack. Logical names of what exists once a region end in the region (`vpc-us-east-1`): two regions' parts have
 * the same types and parents, and so would have the same URN.
 */
export interface Place {
  readonly region: string;
  /** `aws`, `aws-cn` or `aws-us-gov`: the second field of every ARN. */
  readonly partition: string;
  /** The region that writes. */
  readonly home: boolean;
  /** Its stateful parts are protected: false when everything in a further region was let go, so that the next `up` can delete it. */
  readonly protect: boolean;
  /** Pass it to every resource of this region: `{ parent: this, provider: place.provider }`. */
  readonly provider: aws.Provider;
  readonly accountId: pulumi.Output<string>;
  readonly vpcId: pulumi.Output<string>;
  readonly vpcCidr: pulumi.Output<string>;
  /** One a zone: three of our own, or those of the existing VPC. Hosts, databases, caches and Lambdas live here. */
  readonly privateSubnetIds: readonly pulumi.Output<string>[];
  /** Stands when the private subnets reach AWS' own services; nothing where the VPC is not ours. */
  readonly wayOut: readonly pulumi.Resource[];
  /** Names of the zones, in the order of the subnets. */
  readonly zones: readonly pulumi.Output<string>[];
  readonly securityGroups: SecurityGroups;
  /**
   * Encrypts everything of the region: databases, snapshots, secrets, logs, topics, buckets. Not the volumes of auto-scaled hosts:
   * their service has no grant on it, so they use the account's own EBS key (`encrypted: true` without a key).
   */
  readonly kmsKeyArn: pulumi.Output<string>;
}

/** Ports inside the VPC, beside the client port of the configuration (`topology.port`). */
export const PORTS = {
  postgres: 5432,
  cache: 6379,
  /** HTTP health endpoint of a pooler host: what the load balancer and the agent ask. */
  health: 8008,
  /** Admin port of PgBouncer process i is `admin + i`, at most 64 processes; open to the agent and, for cancel peering, between poolers. */
  admin: 6500,
} as const;
export const MOST_PROCESSES = 64;

/** What sends events to topics: never under `aws:SourceAccount`, which EventBridge does not say. */
export const EVENT_BRIDGE = "events.amazonaws.com";

/** A password in Secrets Manager, made in the home region and copied to every further one. */
export interface SecretRef {
  /** Name in every region: the ARN differs by region only in region and suffix. */
  readonly name: string;
  /** ARN in the home region. */
  readonly arn: pulumi.Output<string>;
  /** Version of the present value: changes when the value does, so that what depends on it runs again. */
  readonly versionId: pulumi.Output<string>;
  /** ARN by region, home included. A grant may end in `-??????`: the copy's suffix is the original's. */
  readonly arnIn: (region: string) => pulumi.Output<string>;
}

/**
 * The stack's secrets. Text secrets hold `{"username": …, "password": …}`; the pooler's identity holds
 * `{"certificate": PEM, "key": PEM, "ca": PEM}`.
 */
export interface SecretRefs {
  /**
   * By role: ladder_admin (RDS master), ladder_agent (PgBouncer admin, POOLER_ADMIN), ladder_monitor, app, app_ro, cache_app; and of servers
   * with each other: ladder_replication, ladder_gateway, ladder_gateway_ro.
   */
  readonly roles: Readonly<Record<string, SecretRef>>;
  /** Certificate and key of the pooler hosts, signed by the stack's private authority for every `db.` name. */
  readonly poolerIdentity: SecretRef;
  /** Passwords in clear by role; secret. For ElastiCache's auth token and the stack's outputs only. */
  readonly passwords: pulumi.Output<Record<string, string>>;
  /** PEM of the stack's private authority. */
  readonly caCertificate: pulumi.Output<string>;
  /** Stands when every secret has its present value. */
  readonly after: readonly pulumi.Resource[];
}

/** One RDS instance. */
export interface DatabaseNode {
  /** Name in the topology. */
  readonly name: string;
  /** Cluster whose primary it is or replicates: the home region's. */
  readonly cluster: string;
  readonly region: string;
  readonly role: "primary" | "replica" | "standby";
  /** `DBInstanceIdentifier`: the dimension of the CloudWatch metrics; plain text. */
  readonly identifier: string;
  /** Host name without port. */
  readonly host: pulumi.Output<string>;
  readonly arn: pulumi.Output<string>;
  /** `dbi-resource-id`, as IAM and Performance Insights want it. */
  readonly resourceId: pulumi.Output<string>;
  /** GiB. */
  readonly storage: number;
  /** Bytes of memory of the class, for thresholds. */
  readonly memoryBytes: number;
  /** max_connections of its parameter group, for thresholds. */
  readonly maxConnections: number;
  readonly instance: aws.rds.Instance;
}

export interface DatabaseRefs {
  readonly database: string;
  /** Of the cluster that clients enter by. */
  readonly primary: DatabaseNode;
  /** Primaries first, that of the entry cluster before the shards', then replicas of the home region, then those of further regions. */
  readonly nodes: readonly DatabaseNode[];
}

/** What the pooler part gives: `export class Pooler { constructor(name, args: PoolerArgs, options); readonly refs: PoolerRefs }`, one a region. */
export interface PoolerRefs {
  readonly region: string;
  /** The one name that never changes, e.g. `db.<region>.<stack>…`; what topology.endpoint.host says. */
  readonly host: string;
  readonly autoScalingGroupName: string;
  /** ARN suffixes that CloudWatch wants as dimensions of the load balancer and its target group. */
  readonly loadBalancerSuffix: pulumi.Output<string>;
  readonly targetGroupSuffix: pulumi.Output<string>;
  /** Log group of the hosts. */
  readonly logGroupName: string;
  /** Everything that must stand before the agent configures it. */
  readonly after: readonly pulumi.Resource[];
}

/** What the cache part gives; null at stages without one. */
export interface CacheRefs {
  readonly replicationGroupId: string;
  /** Member cluster ids, plain text, e.g. `<id>-0001-001`, for CloudWatch dimensions. */
  readonly memberClusterIds: readonly string[];
  /** Configuration endpoint. */
  readonly host: pulumi.Output<string>;
  readonly port: number;
  readonly after: readonly pulumi.Resource[];
}

/** What the agent part gives: `ready` is true when configure and migrate have run against what stands now. */
export interface AgentRefs {
  readonly ready: pulumi.Output<boolean>;
  /** Function names by command (configure, migrate, move, metrics), for alarms. */
  readonly functionNames: Readonly<Record<string, string>>;
}
