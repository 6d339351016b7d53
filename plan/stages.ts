/**
 * The ladder as data: what the requirement documents ask for at each stage (checklist S1–S5, P4, C1).
 * This is the only place that knows a stage's numbers and which parts exist at it.
 */
import { gib, InputError, type KiB, type Machine, type Ms, ms, type Problem, STAGES, type Stage, type Target } from "./types.ts";

/** What manages PostgreSQL on AWS: the managed service, or our own node image on EC2. */
export type Engine = "rds" | "ec2";

/** A machine of the profile, and the AWS class that stands for it (RDS name; EC2 drops the `db.`). */
export interface MachineProfile extends Machine {
  class: string;
}

/**
 * The poolers' numbers. Counts of clients and server connections are totals over all poolers and processes, which is
 * what the database sees; `perProcess` in topology.ts divides them.
 */
export interface PoolerProfile {
  /** Poolers in the home region (always 1 on docker, where one container holds the published port). */
  count: number;
  /** PgBouncer processes in each pooler. */
  processes: number;
  maxClientConn: number;
  /** Server connections of a transaction pool. */
  defaultPoolSize: number;
  minPoolSize: number;
  /** Additional connections when clients have waited `reservePoolTimeout`. */
  reservePoolSize: number;
  /** Server connections of the session pool. */
  sessionPoolSize: number;
  /** Ceiling of server connections of any one pool. */
  maxDbConnections: number;
  maxUserConnections: number;
  reservePoolTimeout: Ms;
  serverConnectTimeout: Ms;
  serverIdleTimeout: Ms;
  serverLifetime: Ms;
  /** 0 never closes an idle client. */
  clientIdleTimeout: Ms;
}

/** Valkey: groups share the key space, every group has one primary and `replicas` copies. */
export interface CacheProfile {
  groups: number;
  replicas: number;
  memory: KiB;
  class: string;
}

export interface ReplicasProfile extends MachineProfile {
  count: number;
}

export interface ShardsProfile extends MachineProfile {
  count: number;
  /** Fixed number of hash buckets that the shards share: a power of two up to 1,024, chosen once. */
  buckets: number;
  /** By shard, the earlier one that it takes half of, where that is not the default. */
  splits: Readonly<Record<string, number>>;
  /** Replicas of each shard. */
  replicas: number;
  /** Server connections of the pools that lead straight to one shard. */
  poolSize: number;
}

export interface WorkersProfile extends MachineProfile {
  count: number;
  /** Standbys of each worker. */
  standbys: number;
}

/** A range of the documents; `null` where they name no upper end. */
export type Range = readonly [from: number, to: number | null];

/** Everything that a stage decides. `null` says the part does not exist there. */
export interface StageProfile {
  users: Range;
  dataGiB: Range;
  messagesPerMonth: Range;
  /** Clusters that clients enter by: the first cluster, or the Citus coordinator. */
  entry: "main" | "coordinator";
  /** What may run PostgreSQL on AWS; the first is the default. */
  engines: readonly [Engine, ...Engine[]];
  /** The entry cluster's first node. */
  primary: MachineProfile;
  /** The entry cluster's replicas in the home region. */
  replicas: ReplicasProfile;
  pooler: PoolerProfile;
  cache: CacheProfile | null;
  shards: ShardsProfile | null;
  workers: WorkersProfile | null;
  /** Nodes of each cluster in each further region; 0 where further regions are not offered. */
  standbysPerRegion: number;
  /** RDS keeps a hidden standby in another zone. */
  multiAz: boolean;
  /** Declared tables are partitioned. */
  partitions: boolean;
  /** A commit waits for a replica unless the configuration says otherwise. */
  synchronous: boolean;
  /** log_min_duration_statement. */
  logMinDuration: Ms;
}

const small: MachineProfile = { cores: 2, memory: gib(4), storage: 50, disk: "ssd", class: "db.t4g.medium" };
const medium: MachineProfile = { cores: 4, memory: gib(8), storage: 200, disk: "ssd", class: "db.m7g.xlarge" };
const large: MachineProfile = { cores: 8, memory: gib(64), storage: 2_000, disk: "ssd", class: "db.r7g.2xlarge" };
const huge: MachineProfile = { cores: 16, memory: gib(128), storage: 4_000, disk: "ssd", class: "db.r7g.4xlarge" };

const pooler: PoolerProfile = {
  count: 2,
  processes: 1,
  maxClientConn: 1_000,
  defaultPoolSize: 50,
  minPoolSize: 10,
  reservePoolSize: 10,
  sessionPoolSize: 20,
  maxDbConnections: 100,
  maxUserConnections: 100,
  reservePoolTimeout: ms(3_000),
  serverConnectTimeout: ms(3_000),
  serverIdleTimeout: ms(600_000),
  serverLifetime: ms(3_600_000),
  clientIdleTimeout: ms(0),
};

/** The five stages. The numbers are starting values: every cell can be overridden in the configuration. */
export const STAGE_PROFILES = {
  1: {
    users: [0, 10_000],
    dataGiB: [0, 10],
    messagesPerMonth: [0, 1_000_000],
    entry: "main",
    engines: ["rds", "ec2"],
    primary: small,
    replicas: { ...small, count: 0 },
    pooler: { ...pooler, count: 1, defaultPoolSize: 25, reservePoolSize: 5, sessionPoolSize: 10 },
    cache: null,
    shards: null,
    workers: null,
    standbysPerRegion: 0,
    multiAz: false,
    partitions: false,
    synchronous: false,
    logMinDuration: ms(1_000),
  },
  2: {
    users: [10_000, 100_000],
    dataGiB: [10, 100],
    messagesPerMonth: [1_000_000, 10_000_000],
    entry: "main",
    engines: ["rds", "ec2"],
    primary: medium,
    replicas: { ...medium, count: 1 },
    pooler,
    cache: null,
    shards: null,
    workers: null,
    standbysPerRegion: 0,
    multiAz: true,
    partitions: false,
    synchronous: true,
    logMinDuration: ms(500),
  },
  3: {
    users: [100_000, 1_000_000],
    dataGiB: [100, 1_024],
    messagesPerMonth: [10_000_000, 100_000_000],
    entry: "main",
    engines: ["rds", "ec2"],
    primary: large,
    replicas: { ...large, count: 2 },
    pooler: { ...pooler, processes: 2, maxClientConn: 5_000, reservePoolSize: 25 },
    cache: { groups: 1, replicas: 1, memory: gib(2), class: "cache.m7g.large" },
    shards: null,
    workers: null,
    standbysPerRegion: 1,
    multiAz: true,
    partitions: true,
    synchronous: true,
    logMinDuration: ms(250),
  },
  4: {
    users: [1_000_000, 10_000_000],
    dataGiB: [1_024, 10_240],
    messagesPerMonth: [100_000_000, 1_000_000_000],
    entry: "main",
    engines: ["rds", "ec2"],
    primary: large,
    replicas: { ...large, count: 1 },
    pooler: { ...pooler, processes: 4, maxClientConn: 10_000, reservePoolSize: 25 },
    cache: { groups: 3, replicas: 1, memory: gib(4), class: "cache.r7g.large" },
    shards: { ...huge, count: 4, buckets: 64, splits: {}, replicas: 1, poolSize: 25 },
    workers: null,
    standbysPerRegion: 1,
    multiAz: true,
    partitions: true,
    synchronous: true,
    logMinDuration: ms(100),
  },
  5: {
    users: [10_000_000, null],
    dataGiB: [10_240, null],
    messagesPerMonth: [1_000_000_000, null],
    entry: "coordinator",
    engines: ["ec2"],
    primary: huge,
    replicas: { ...huge, count: 1 },
    pooler: { ...pooler, count: 3, processes: 4, maxClientConn: 10_000, reservePoolSize: 25 },
    cache: { groups: 3, replicas: 2, memory: gib(8), class: "cache.r7g.xlarge" },
    shards: null,
    workers: { ...huge, storage: 8_000, count: 4, standbys: 1 },
    standbysPerRegion: 1,
    multiAz: false,
    partitions: true,
    synchronous: true,
    logMinDuration: ms(100),
  },
} as const satisfies Record<Stage, StageProfile>;

/** The lowest stage for which `has` holds, e.g. the first with a cache. */
export function firstStageWith(has: (profile: StageProfile) => boolean): Stage | undefined {
  return STAGES.find((stage) => has(STAGE_PROFILES[stage]));
}

/** What `components/` can build today; config and topology already cover all stages. */
export const BUILT: Record<Target, readonly Stage[]> = { docker: [1, 2, 3, 4], aws: [1, 2, 3, 4] };

/** The problem with a stage that cannot be built on this target yet, e.g. "stage 4 on docker is not built yet". */
export function notBuilt(target: Target, stage: Stage): Problem | undefined {
  const built = BUILT[target];
  if (built.includes(stage)) return undefined;
  const want = built.length > 0 ? built.join(", ").replace(/, (\d)$/, " or $1") : "another target";
  return { path: "pgladder:stage", got: stage, want: `${want} (stage ${stage} on ${target} is not built yet)` };
}

/** What `refuseNotBuilt` reads of a configuration. */
export interface Asked {
  stack: string;
  target: Target;
  stage: Stage;
  engine: Engine;
  replicaRegions: readonly string[];
  profile: Pick<StageProfile, "cache">;
}

/** Throws InputError where the stage, or a part of it, cannot be built on this target yet. Called once, before rendering. */
export function refuseNotBuilt({ stack, target, stage, engine, replicaRegions, profile }: Asked): void {
  const problems: Problem[] = [];
  const whole = notBuilt(target, stage);
  if (whole) problems.push(whole);
  if (target === "aws" && !whole && engine === "ec2")
    problems.push({ path: "pgladder:engine", got: engine, want: "rds (PostgreSQL on EC2 is not built yet)" });
  if (target === "docker" && !whole) {
    const groups = profile.cache?.groups ?? 1;
    if (groups > 1) problems.push({ path: "pgladder:cache.groups", got: groups, want: "1 (several groups on docker are not built yet)" });
    if (replicaRegions.length > 0)
      problems.push({ path: "pgladder:replicaRegions", got: replicaRegions, want: "none (further regions on docker are not built yet)" });
  }
  if (problems.length > 0) throw new InputError(`Pulumi.${stack}.yaml`, problems);
}
