/** What a pooler host in front of RDS is told: everything but secrets, as data that its program renders and reloads. */
import { type Pool, perProcess } from "./pools.ts";
import { type Doors, doorsOf } from "./render/haproxy.ts";
import { ROLES } from "./render/patroni.ts";
import { POOLER_ADMIN } from "./render/pgbouncer.ts";
import type { PoolerProfile } from "./stages.ts";
import type { Topology } from "./topology.ts";
import { InputError } from "./types.ts";

/** Nodes of a cluster that HAProxy knows from the start, so that adding one restarts nothing. */
const FORESEEN_NODES = 6;

/** A database server that the host may send clients to. */
export interface HostNode {
  name: string;
  /** Cluster that it belongs to or replicates from: of its servers one leads. */
  cluster: string;
  /** Host name without port. */
  host: string;
}

/** A cluster that pools of the region lead to. It has a HAProxy of its own on each host. */
export interface HostCluster {
  /** As the pools name it. */
  name: string;
  /** HAProxy's ports on 127.0.0.1. */
  doors: Pick<Doors, "write" | "read">;
  /** Names that may ever write; the home region's. */
  primaries: readonly string[];
  /** Names that may ever serve this region's reads. */
  replicas: readonly string[];
}

/** Content of the host's settings parameter. What changes in it is taken up while clients stay connected. */
export interface HostSettings {
  region: string;
  /** The database behind all pools, for the health checks. */
  database: string;
  port: number;
  /** PgBouncer processes on this host. */
  processes: number;
  /** Totals of the region, as everywhere; the host takes its share of them. */
  pooling: PoolerProfile;
  pools: readonly Pool[];
  /** Servers that exist. */
  nodes: readonly HostNode[];
  /** The one that clients enter by first, then shards. */
  clusters: readonly [HostCluster, ...HostCluster[]];
  /** RDS Proxy before the first cluster's primary, for the transaction pool; null without one. */
  proxy: string | null;
  /** Names in Secrets Manager: of the roles that log in, by role, and of the host's certificate. */
  secrets: { roles: Readonly<Record<string, string>>; identity: string };
}

export interface HostInput {
  topology: Topology;
  region: string;
  /** Every server of the stack, by its name in the topology. */
  nodes: readonly Pick<HostNode, "name" | "host">[];
  proxy: string | null;
  secrets: HostSettings["secrets"];
}

/** The settings of a region's pooler hosts. */
export function hostSettings({ topology, region, nodes, proxy, secrets }: HostInput): HostSettings {
  const pools = topology.pools.filter((pool) => pool.region === region);
  const families = new Map(topology.clusters.map(({ name, follows }) => [name, follows ?? name]));
  const familyOf = (node: string) => families.get(topology.nodes.find(({ name }) => name === node)!.cluster)!;
  const names = [...new Set(pools.map(({ cluster }) => cluster))];
  const [entry, ...others] = names.map((name) => hostCluster(topology, name));
  const clusters = [entry!, ...others] as const;
  const foreseen = clusters.flatMap(({ primaries, replicas }) => [...primaries, ...replicas]);
  return {
    region,
    database: topology.database,
    port: topology.port,
    processes: topology.pooling.processes,
    pooling: topology.pooling,
    pools,
    nodes: nodes.filter(({ name }) => foreseen.includes(name)).map(({ name, host }) => ({ name, cluster: familyOf(name), host })),
    clusters,
    proxy,
    secrets,
  };
}

function hostCluster({ clusters, nodes }: Topology, name: string): HostCluster {
  const cluster = clusters.find((each) => each.name === name)!;
  const { write, read } = doorsOf(cluster);
  const foreseen = (its: string) => [
    ...new Set([
      ...Array.from({ length: FORESEEN_NODES }, (_, i) => `${its}-${i + 1}`),
      ...nodes.filter((node) => node.cluster === its).map((node) => node.name),
    ]),
  ];
  return { name, doors: { write, read }, primaries: foreseen(cluster.follows ?? name), replicas: foreseen(name) };
}

/** A pool as one of the region's processes has it: its share of every total, at least one connection. */
export function poolOfProcess(pool: Pool, pooling: PoolerProfile): Pool {
  const share = (total: number) => perProcess(total, pooling);
  return {
    ...pool,
    size: share(pool.size),
    minSize: share(pool.minSize),
    reserve: share(pool.reserve),
    maxConnections: share(pool.maxConnections),
  };
}

/** The process-wide numbers of one of the region's processes. */
export function poolingOfProcess(pooling: PoolerProfile): PoolerProfile {
  const share = (total: number) => perProcess(total, pooling);
  return {
    ...pooling,
    maxClientConn: share(pooling.maxClientConn),
    maxDbConnections: share(pooling.maxDbConnections),
    maxUserConnections: share(pooling.maxUserConnections),
  };
}

/** Roles whose passwords a region's hosts must know: those of its pools, the agent's and the health checks'. */
export const hostRoles = (topology: Topology, region: string): readonly string[] => [
  ...new Set([...topology.pools.filter((pool) => pool.region === region).map(({ user }) => user), POOLER_ADMIN, ROLES.monitor]),
];

/** What the hosts run on; also what their image is built for. */
export type Architecture = "x86_64" | "arm64";

/** EC2 classes by cores, smallest first: one core for each PgBouncer process, which uses no more than one. */
const HOST_CLASSES: Readonly<Record<Architecture, Readonly<Record<number, string>>>> = {
  x86_64: { 1: "t3.small", 2: "c6i.large", 4: "c6i.xlarge", 8: "c6i.2xlarge", 16: "c6i.4xlarge", 32: "c6i.8xlarge", 64: "c6i.16xlarge" },
  arm64: { 1: "t4g.small", 2: "c7g.large", 4: "c7g.xlarge", 8: "c7g.2xlarge", 16: "c7g.4xlarge", 32: "c7g.8xlarge", 64: "c7g.16xlarge" },
};

/** The smallest class with a core for every process. @throws InputError where no host is big enough. */
export function hostClass({ stack, pooling }: Topology, architecture: Architecture): string {
  const fitting = Object.entries(HOST_CLASSES[architecture]).find(([cores]) => Number(cores) >= pooling.processes);
  if (fitting) return fitting[1];
  throw new InputError(`Pulumi.${stack}.yaml`, [{ path: "pgladder:pooler.processes", got: pooling.processes, want: "at most 64 on AWS" }]);
}
