import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { CACHE_USERS } from "../../plan/render/valkey.ts";
import type { CacheNode, Topology } from "../../plan/topology.ts";
import { type CacheRefs, type Common, type Place, PORTS } from "./contract.ts";
import { domainOf } from "./dns.ts";

export interface CacheArgs extends Common {
  /** The home region. */
  place: Place;
  topology: Topology;
  /** By role; secret. */
  passwords: pulumi.Output<Record<string, string>>;
  /** Of `Dns`. */
  zoneId: pulumi.Input<string>;
}

/** Valkey's version; a newer one is an update in place, an older one a replacement. */
const VERSION = "8.1";
const FAMILY = "valkey8";
/** AWS allows 40 characters, and the nodes' numbers come after it. */
const NAME = 40;
/** Days that snapshots and logs are kept. */
const SNAPSHOTS = 7;
const RETENTION = 365;
/** Apart from each other, which AWS asks for, and from the database's. In UTC. */
const WINDOWS = { snapshotWindow: "01:00-02:00", maintenanceWindow: "sun:07:00-sun:08:00" } as const;
const LOGS = ["slow-log", "engine-log"] as const;

/**
 * Valkey on ElastiCache: cluster mode with one group from the start, because it cannot be switched on later in one step. TLS only, one
 * user beside the one that is off, encrypted with the stack's key.
 * What a change costs: copies, groups, class and a newer version nothing but load while keys move; network, key and name a replacement,
 * which `protect` refuses.
 */
export class Cache extends pulumi.ComponentResource {
  readonly refs: CacheRefs;

  constructor(name: string, args: CacheArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Cache", name, {}, { ...options, provider: args.place.provider });
    const { topology, zoneId } = args;
    const { groups, copies } = shape(topology.cache);
    const id = args.naming("cache", NAME);
    const group = this.#group(id, args);
    const record = new aws.route53.Record(
      "cache",
      { zoneId, name: cacheHost(topology), type: "CNAME", ttl: 60, records: [group.configurationEndpointAddress] },
      { parent: this },
    );
    this.refs = {
      replicationGroupId: id,
      memberClusterIds: ordinals(groups).flatMap((g) => ordinals(1 + copies).map((n) => `${id}-${padded(g, 4)}-${padded(n, 3)}`)),
      host: group.configurationEndpointAddress,
      port: PORTS.cache,
      after: [group, record],
    };
    this.registerOutputs({ host: this.refs.host });
  }

  #group(id: string, args: CacheArgs): aws.elasticache.ReplicationGroup {
    const { place, topology, naming, tags } = args;
    const { groups, copies, type } = shape(topology.cache);
    const kept = place.protect && topology.cache.some(({ held }) => held !== "unprotected");
    // A snapshot's name can be used once; a stack that is made again must be able to end again.
    const final = new random.RandomId("final-cache", { byteLength: 4 }, { parent: this });
    return new aws.elasticache.ReplicationGroup(
      "cache",
      {
        replicationGroupId: id,
        description: `pgladder: ${naming("cache", 200)}`,
        engine: "valkey",
        engineVersion: VERSION,
        nodeType: type,
        port: PORTS.cache,
        clusterMode: "enabled",
        numNodeGroups: groups,
        replicasPerNodeGroup: copies,
        // Cluster mode asks for it even where there is nothing to fail over to.
        automaticFailoverEnabled: true,
        multiAzEnabled: copies > 0,
        parameterGroupName: this.#parameters(args).name,
        subnetGroupName: this.#subnets(args).name,
        securityGroupIds: [place.securityGroups.cache],
        transitEncryptionEnabled: true,
        transitEncryptionMode: "required",
        atRestEncryptionEnabled: true,
        kmsKeyId: place.kmsKeyArn,
        userGroupIds: [this.#users(args).userGroupId],
        autoMinorVersionUpgrade: true,
        applyImmediately: true,
        snapshotRetentionLimit: SNAPSHOTS,
        ...WINDOWS,
        finalSnapshotIdentifier: pulumi.interpolate`${id}-final-${final.hex}`,
        logDeliveryConfigurations: LOGS.map((log) => ({
          logType: log,
          logFormat: "json",
          destinationType: "cloudwatch-logs",
          destination: this.#log(log, args).name,
        })),
        tags: tags("cache"),
      },
      { parent: this, protect: kept, customTimeouts: { create: "2h", update: "3h", delete: "2h" } },
    );
  }

  /** Users by name and rules, the same as on docker: `CACHE_USERS.app`. */
  #users({ naming, passwords, tags }: CacheArgs): aws.elasticache.UserGroup {
    const { user, role, rules } = CACHE_USERS.app;
    const app = new aws.elasticache.User(
      "cache-app",
      {
        userId: naming("cache-app", NAME),
        userName: user,
        engine: "valkey",
        accessString: ["on", ...rules].join(" "),
        authenticationMode: { type: "password", passwords: [pulumi.secret(passwords.apply((all) => all[role]!))] },
        tags: tags("cache-app"),
      },
      { parent: this },
    );
    return new aws.elasticache.UserGroup(
      "cache",
      { userGroupId: naming("cache-users", NAME), engine: "valkey", userIds: [app.userId], tags: tags("cache") },
      { parent: this },
    );
  }

  #parameters({ naming, tags }: CacheArgs): aws.elasticache.ParameterGroup {
    const part = `cache-${FAMILY}`;
    return new aws.elasticache.ParameterGroup(
      part,
      {
        name: naming(part, 200),
        family: FAMILY,
        description: "pgladder: cache",
        parameters: [
          { name: "cluster-enabled", value: "yes" },
          // Everything in a cache is somewhere else too; see plan/render/valkey.ts.
          { name: "maxmemory-policy", value: "allkeys-lru" },
        ],
        tags: tags(part),
      },
      { parent: this },
    );
  }

  #subnets({ place, naming, tags }: CacheArgs): aws.elasticache.SubnetGroup {
    return new aws.elasticache.SubnetGroup(
      "cache",
      { name: naming("cache", 200), description: "pgladder: private subnets", subnetIds: [...place.privateSubnetIds], tags: tags("cache") },
      { parent: this },
    );
  }

  #log(log: (typeof LOGS)[number], { place, naming, tags }: CacheArgs): aws.cloudwatch.LogGroup {
    const part = `cache-${log}`;
    return new aws.cloudwatch.LogGroup(
      part,
      { name: `/pgladder/${naming(part)}`, retentionInDays: RETENTION, kmsKeyId: place.kmsKeyArn, tags: tags(part) },
      { parent: this },
    );
  }
}

/**
 * The cache's name that never changes. It leads to the configuration endpoint, whose certificate does not bear it: `cacheUrl` says the
 * endpoint itself, so that clients can verify it.
 */
export const cacheHost = ({ endpoint }: Topology): string => `cache.${domainOf(endpoint.host)}`;

function shape(nodes: readonly CacheNode[]): { groups: number; copies: number; type: string } {
  const groups = 1 + Math.max(...nodes.map(({ group }) => group));
  return { groups, copies: nodes.filter(({ group }) => group === 0).length - 1, type: nodes[0]!.class! };
}

const ordinals = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const padded = (n: number, digits: number) => String(n).padStart(digits, "0");
