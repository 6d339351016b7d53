/** What a pooler host in front of RDS is told: everything but secrets, as data that its program renders and reloads. */
import { type Pool, perProcess } from "./pools.ts";
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
  /** Host name without port. */
  host: string;
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
  /** Names that may ever write; the home region's. */
  primaries: readonly string[];
  /** Names that may ever serve this region's reads. */
  replicas: readonly string[];
  /** RDS Proxy before the primary, for the transaction pool; null without one. */
  proxy: string | null;
  /** Names in Secrets Manager: of the roles that log in, by role, and of the host's certificate. */
  secrets: { roles: Readonly<Record<string, string>>; identity: string };
}

export interface HostInput {
  topology: Topology;
  region: string;
  nodes: readonly HostNode[];
  proxy: string | null;
  secrets: HostSettings["secrets"];
}

/** The settings of a region's pooler hosts. */
export function hostSettings({ topology, region, nodes, proxy, secrets }: HostInput): HostSettings {
  const { entry, clusters, pooling, pools } = topology;
  const local = clusters.find(({ name, follows, region: its }) => its === region && (name === entry || follows === entry));
  const foreseen = (cluster: string) => [
    ...new Set([
      ...Array.from({ length: FORESEEN_NODES }, (_, i) => `${cluster}-${i + 1}`),
      ...topology.nodes.filter((node) => node.cluster === cluster).map(({ name }) => name),
    ]),
  ];
  const primaries = foreseen(entry);
  const replicas = local ? foreseen(local.name) : [];
  return {
    region,
    database: topology.database,
    port: topology.port,
    processes: pooling.processes,
    pooling,
    pools: pools.filter((pool) => pool.region === region),
    nodes: nodes.filter(({ name }) => primaries.includes(name) || replicas.includes(name)),
    primaries,
    replicas,
    proxy,
    secrets,
  };
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
