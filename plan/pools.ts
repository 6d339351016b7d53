/** The pools in front of the clusters, and how many server connections they may open to a node. */
import type { StackConfig, WrittenPool } from "./config.ts";
import type { Cluster, ClusterKind } from "./parts.ts";
import type { PoolerProfile } from "./stages.ts";
import { STAGES, type Stage } from "./types.ts";

/** The application's roles, the same for ever: `app` owns its schema, `app_ro` reads. */
export const USERS = { write: "app", read: "app_ro" } as const;

/** One database name of the pooler. Sizes are totals over all poolers and processes of a region. */
export interface Pool {
  /** The name that clients ask for. */
  readonly database: string;
  /** The real database behind it. */
  readonly realDatabase: string;
  readonly user: string;
  /** Region of the poolers that offer it. */
  readonly region: string;
  /** Cluster that it leads to. */
  readonly cluster: string;
  /** The shard that this is; null for the entry cluster. */
  readonly shard: number | null;
  /** Replicas fall back to the primary where none is healthy. */
  readonly to: "primary" | "replicas";
  readonly mode: "transaction" | "session";
  readonly size: number;
  readonly minSize: number;
  readonly reserve: number;
  /** Most server connections of this pool: size and reserve, within maxDbConnections. */
  readonly maxConnections: number;
}

/** What one PgBouncer process takes of a total, so that all of them together do not pass it; at least 1 of a total above 0. */
export function perProcess(total: number, { count, processes }: { count: number; processes: number }): number {
  return total === 0 ? 0 : Math.max(1, Math.floor(total / (count * processes)));
}

/** The pooler's and the shards' numbers; shards keep theirs at stages that only hold them. */
export interface PoolNumbers {
  pooler: PoolerProfile;
  shardPoolSize: number;
}

function poolNumbers({ profiles }: StackConfig, stage: Stage): PoolNumbers {
  const shards = profiles[stage].shards ?? STAGES.map((each) => profiles[each].shards).find((each) => each !== null);
  return { pooler: profiles[stage].pooler, shardPoolSize: shards?.poolSize ?? 0 };
}

/** The numbers with every size that nobody wrote at `percent` of the profile's: at least one connection a process, the reserve down to none. */
function atPercent({ pooler, shardPoolSize }: PoolNumbers, { writtenPools }: StackConfig, percent: number): PoolNumbers {
  const part = (key: WrittenPool, size: number, least: number) =>
    writtenPools.includes(key) ? size : Math.max(Math.min(size, least), Math.floor((size * percent) / 100));
  const minPoolSize = part("minPoolSize", pooler.minPoolSize, 0);
  const processes = pooler.count * pooler.processes;
  const least = writtenPools.includes("minPoolSize") ? Math.max(minPoolSize, processes) : processes;
  const defaultPoolSize = part("defaultPoolSize", pooler.defaultPoolSize, least);
  return {
    pooler: {
      ...pooler,
      defaultPoolSize,
      minPoolSize: Math.min(minPoolSize, defaultPoolSize),
      reservePoolSize: part("reservePoolSize", pooler.reservePoolSize, 0),
      sessionPoolSize: part("sessionPoolSize", pooler.sessionPoolSize, 1),
    },
    shardPoolSize: part("shardPoolSize", shardPoolSize, 1),
  };
}

/** The smallest that the configuration's stage can do with. */
export const leastPools = (config: StackConfig): PoolNumbers => atPercent(poolNumbers(config, config.stage), config, 1);

/**
 * The numbers of the configuration's stage, those that come from the profile and not from the operator made smaller, all by the
 * same share, until the nodes carry them. What the operator wrote stays as it is. Where no share fits, all stay as they are, and the
 * tuning refuses them with the arithmetic.
 *
 * @param carries whether every node has the memory for the connections of these numbers
 */
export function fittingPools(config: StackConfig, carries: (numbers: PoolNumbers) => boolean): PoolNumbers {
  const full = poolNumbers(config, config.stage);
  for (let percent = 100; percent > 0; percent--) {
    const numbers = atPercent(full, config, percent);
    if (carries(numbers)) return numbers;
  }
  return full;
}

const capped = (pooler: PoolerProfile, size: number, reserve: number) => Math.min(size + reserve, pooler.maxDbConnections);

/**
 * The three pools of the contract, a pair for each shard that is there (`<database>_shard_0`, `<database>_shard_0_read`),
 * and the read pool of each further region. They say what the configuration wants; while data moves, the mover's route
 * decides where the contract's names lead.
 */
export function pools(config: StackConfig, clusters: readonly Cluster[], { pooler, shardPoolSize }: PoolNumbers): readonly Pool[] {
  const { database, region } = config;
  const { entry } = config.profile;
  type Part = Pick<Pool, "user" | "to" | "mode" | "size" | "minSize" | "reserve">;
  const pool = (suffix: string, cluster: string, part: Part, shard: number | null = null): Pool => ({
    database: `${database}${suffix}`,
    realDatabase: database,
    region,
    cluster,
    shard,
    ...part,
    maxConnections: capped(pooler, part.size, part.reserve),
  });
  const transaction = {
    mode: "transaction",
    size: pooler.defaultPoolSize,
    minSize: pooler.minPoolSize,
    reserve: pooler.reservePoolSize,
  } as const;
  const session = { mode: "session", size: pooler.sessionPoolSize, minSize: 0, reserve: 0 } as const;
  const direct = { mode: "transaction", size: shardPoolSize, minSize: 0, reserve: 0 } as const;
  const write = { user: USERS.write, to: "primary" } as const;
  const read = { user: USERS.read, to: "replicas" } as const;
  return [
    pool("", entry, { ...write, ...transaction }),
    pool("_read", entry, { ...read, ...transaction }),
    pool("_session", entry, { ...write, ...session }),
    ...clusters
      .filter(({ kind, follows }) => kind === "shard" && follows === null)
      .flatMap(({ name, index }) => [
        pool(`_shard_${index}`, name, { ...write, ...direct }, index),
        pool(`_shard_${index}_read`, name, { ...read, ...direct }, index),
      ]),
    ...clusters
      .filter(({ kind, follows }) => kind === entry && follows !== null)
      .map((cluster) => ({ ...pool("_read", cluster.name, { ...read, ...transaction }), region: cluster.region })),
  ];
}

/**
 * The most server connections that poolers and gateway may open to one node, by its cluster's kind. All pools count for
 * every node, because any replica may become the primary and reads fall back to it. A gateway or coordinator opens one
 * connection to each shard or worker for each of its own.
 */
export function connectionsOf(kind: ClusterKind, { pooler, shardPoolSize }: PoolNumbers): number {
  const entry = 2 * capped(pooler, pooler.defaultPoolSize, pooler.reservePoolSize) + capped(pooler, pooler.sessionPoolSize, 0);
  return kind === "shard" ? entry + 2 * capped(pooler, shardPoolSize, 0) : entry;
}

/** The same as the configuration asks for, before a small docker host makes it less. */
export const serverConnections = (kind: ClusterKind, config: StackConfig, stage: Stage = config.stage): number =>
  connectionsOf(kind, poolNumbers(config, stage));

/**
 * The most that any stage needs under the same overrides: max_connections is static, so nodes are made for it from the start. Counts
 * the configuration's numbers, so that it stays the same when a docker host's nodes become more and smaller.
 */
export const plannedConnections = (kind: ClusterKind, config: StackConfig): number =>
  Math.max(...STAGES.map((stage) => serverConnections(kind, config, stage)));
