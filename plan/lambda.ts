/** What the agent's Lambdas are told: everything but secrets, as the event of each invocation. */
import type { Desired, DesiredCluster } from "./desired.ts";
import { desired } from "./mirror.ts";
import { USERS } from "./pools.ts";
import { patroniDynamic, ROLES } from "./render/patroni.ts";
import { POOLER_ADMIN } from "./render/pgbouncer.ts";
import type { Topology } from "./topology.ts";

/** Commands of the agent on AWS, one function each. */
export const LAMBDA_COMMANDS = ["configure", "migrate", "move", "metrics"] as const;
export type LambdaCommand = (typeof LAMBDA_COMMANDS)[number];

/** As whom servers log in to each other. */
const SERVERS = [ROLES.replication, ROLES.gateway, ROLES.gatewayRead] as const;

/** Whose passwords a command may read. What it need not know its role is not allowed to ask for. */
export const SECRETS_OF = {
  configure: [ROLES.admin, ROLES.monitor, USERS.write, USERS.read, ...SERVERS],
  migrate: [ROLES.admin, ...SERVERS],
  move: [ROLES.admin, ROLES.monitor, ...SERVERS],
  metrics: [ROLES.monitor, POOLER_ADMIN],
} as const satisfies Record<LambdaCommand, readonly string[]>;

/** One RDS instance. */
export interface ManagedNode {
  readonly name: string;
  /** Cluster whose primary it is or replicates: the home region's. */
  readonly cluster: string;
  /** `DBInstanceIdentifier`. */
  readonly identifier: string;
  readonly role: "primary" | "replica" | "standby";
  /** Host name without port; its certificate bears it. */
  readonly host: string;
}

/** The pooler hosts of a region: found by their group, because they come and go. */
export interface ManagedPooler {
  readonly region: string;
  /** Auto-scaling group. */
  readonly group: string;
  /** The name in the hosts' certificate. */
  readonly host: string;
  /** PgBouncer processes on each; process i is reached at `adminPort + i`. */
  readonly processes: number;
  readonly adminPort: number;
}

/** An invocation. */
export interface LambdaEvent {
  readonly command: LambdaCommand;
  readonly desired: Desired;
  /** Of all clusters and regions, primaries first. */
  readonly nodes: readonly ManagedNode[];
  readonly poolers: readonly ManagedPooler[];
  /** PEM of the stack's private authority, which signed the pooler hosts' certificate. */
  readonly authority: string;
  /** The operator lets go of what is kept: `move` ends the shards' way back. */
  readonly release: boolean;
  /** ARN in Secrets Manager by role. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** What the agent needs to know of a node to reach it. */
type Reached = Pick<ManagedNode, "name" | "cluster" | "role" | "host">;

/**
 * What the agent shall make true where RDS keeps the servers: no Patroni and no cache of our own. A cluster's nodes are the host names of its
 * home region's instances, the primary's first.
 */
export function managedDesired(topology: Topology, nodes: readonly Reached[], port: number): Desired {
  const base = desired(topology);
  // Parameters are those of the parameter groups.
  const dynamic = patroniDynamic({ parameters: {}, synchronous: false, database: base.database });
  const hostsOf = (cluster: string, role: Reached["role"]) =>
    nodes.filter((node) => node.cluster === cluster && node.role === role).map(({ host }) => host);
  const managed = <C extends DesiredCluster>(its: C): C => {
    const hosts = [...hostsOf(its.name, "primary"), ...hostsOf(its.name, "replica")];
    return { ...its, nodes: hosts, wanted: hosts, dynamic };
  };
  const cluster = managed(base.cluster);
  return { ...base, pooler: { ...base.pooler, host: cluster.nodes[0]!, port }, cluster, shards: base.shards.map(managed), cache: null };
}

/** What a command needs of an event: a change of anything else must not run it again. */
export function eventOf(command: LambdaCommand, all: Omit<LambdaEvent, "command">): LambdaEvent {
  const wanted: readonly string[] = SECRETS_OF[command];
  const secrets = Object.fromEntries(Object.entries(all.secrets).filter(([role]) => wanted.includes(role)));
  const measures = command === "metrics";
  return {
    ...all,
    command,
    secrets,
    release: command === "move" && all.release,
    poolers: measures ? all.poolers : [],
    authority: measures ? all.authority : "",
  };
}
