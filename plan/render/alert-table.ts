/** What is watched, as data: one line a figure. Thresholds that people may choose are those of the configuration's `alerts`. */
import type { StackConfig } from "../config.ts";
import { METRICS_NAMESPACE, METRICS_PERIOD, OWN_METRICS, type OwnMetric } from "./metrics.ts";

/** A database node. */
export interface WatchedNode {
  readonly name: string;
  readonly region: string;
  readonly role: "primary" | "replica" | "standby";
  /** `DBInstanceIdentifier`. */
  readonly identifier: string;
  /** GiB asked for; what autoscaling added is not known. */
  readonly storage: number;
  readonly memoryBytes: number;
  readonly maxConnections: number;
  /** Its class earns CPU credits. */
  readonly burstable: boolean;
}

export interface Levels {
  readonly warning?: number;
  readonly critical?: number;
}

type Statistic = "Average" | "Maximum" | "Minimum" | "Sum";
type Comparison = "above" | "atLeast" | "below";

export type Subject = "node" | "replica" | "primary" | "burstable" | "pooler" | "balancer" | "cache" | "function" | "publisher";

/** One figure of one kind of part. */
export interface Watch {
  readonly key: string;
  /** Parts that have the figure. `replica` includes standbys; `publisher` is the function that publishes our own metrics. */
  readonly of: Subject;
  /** What an alarm says. */
  readonly what: string;
  /** What a person does about it. */
  readonly act: string;
  readonly namespace: string;
  readonly metric: string;
  readonly statistic: Statistic;
  /** Seconds. */
  readonly period: number;
  /** Periods in a row that must be beyond the threshold. */
  readonly periods: number;
  readonly comparison: Comparison;
  /** `breaching`: silence is itself the alarm. */
  readonly missing: "missing" | "notBreaching" | "breaching";
  /** `node` is given for parts that are database nodes. */
  readonly levels: (alerts: StackConfig["alerts"], node: WatchedNode | undefined) => Levels;
}

const RDS = "AWS/RDS";
const BALANCER = "AWS/NetworkELB";
const CACHE = "AWS/ElastiCache";
const LAMBDA = "AWS/Lambda";

const GIB = 1024 ** 3;
const fixed = (levels: Levels) => () => levels;

type Timing = Pick<Watch, "statistic" | "period" | "periods" | "comparison" | "missing">;
const timing = (statistic: Statistic, period: number, periods: number, comparison: Comparison): Timing => ({
  ...{ statistic, period, periods, comparison, missing: "missing" },
});
/** Five minutes without a better minute. */
const steady = timing("Maximum", METRICS_PERIOD, 5, "above");
const average15 = timing("Average", 300, 3, "above");

const own = (of: OwnMetric) => ({ of: of.of, namespace: METRICS_NAMESPACE, metric: of.name });
const ofNode = (metric: string) => ({ of: "node" as const, namespace: RDS, metric });

/** The node of a threshold that is a share of what the node has. */
function part(node: WatchedNode | undefined): WatchedNode {
  if (!node) throw new Error("a threshold of a database node: got a part of another kind, want a node");
  return node;
}

export const WATCHES: readonly Watch[] = [
  {
    ...{ key: "connections", ...ofNode("DatabaseConnections"), ...steady },
    what: "Connections in use, of max_connections",
    act: "`ladder.connections`: who holds them? Clients past the pooler go through it; else fewer `pooler.*PoolSize` or a larger class",
    levels: ({ connections }, node) => ({
      warning: Math.floor((part(node).maxConnections * connections.warning) / 100),
      critical: Math.floor((part(node).maxConnections * connections.critical) / 100),
    }),
  },
  {
    ...{ key: "cache-hit", ...own(OWN_METRICS.cacheHitPercent), ...average15, comparison: "below" },
    what: "Percent of blocks found in shared_buffers",
    act: "`ladder.cache_hit` and `ladder.sequential_scans`: an index for what reads whole tables, else a class with more memory",
    levels: ({ cacheHit }) => cacheHit,
  },
  {
    ...{ key: "replication-lag", ...own(OWN_METRICS.replicationLagBytes), ...steady },
    what: "Bytes of WAL that a replica has not replayed",
    act: "`ladder.replication` on the primary and `ladder.long_transactions` on the replica: a long query there, a bulk load, or a disk that is slower than the primary's",
    levels: ({ replicationLag }) => ({ warning: replicationLag.warning * 1024, critical: replicationLag.critical * 1024 }),
  },
  {
    ...{ key: "heartbeat", ...own(OWN_METRICS.heartbeatAge), ...steady },
    what: "Seconds since the last heartbeat that a node shows: on a replica its lag, on the primary pg_cron",
    act: "a replica: as for replication-lag. The primary: `ladder.jobs`; job ladder-heartbeat runs every five seconds",
    levels: fixed({ warning: 30, critical: 300 }),
  },
  {
    ...{ key: "disk", ...ofNode("FreeStorageSpace"), ...timing("Minimum", 300, 2, "below") },
    what: "Free bytes of the volume",
    act: "`ladder.table_sizes`, `ladder.bloat`, `ladder.replication_slots`: what grew? Else raise `primary.storage`; RDS adds space once in six hours",
    levels: ({ disk }, node) => ({
      warning: (part(node).storage * GIB * (100 - disk.warning)) / 100,
      critical: (part(node).storage * GIB * (100 - disk.critical)) / 100,
    }),
  },
  {
    ...{ key: "statement-p99", ...own(OWN_METRICS.statementP99), ...average15 },
    what: "Milliseconds: 99th percentile of the application's slowest statement (estimated)",
    act: "`ladder.slow_statements`, then `explain (analyze, buffers)`; `ladder.index_advice`. `select ladder.pg_stat_statements_reset()` starts the count again",
    levels: ({ p99 }) => p99,
  },
  {
    ...{ key: "dead-rows", ...own(OWN_METRICS.deadRows), ...average15 },
    what: "Dead rows of one table",
    act: "`ladder.dead_tuples`, `ladder.long_transactions`, `ladder.autovacuum`: `tables.<name>.autovacuum: hot`, or `vacuum (analyze)` by hand",
    levels: ({ deadTuples }) => deadTuples,
  },
  {
    ...{ key: "long-transaction", ...own(OWN_METRICS.longestTransaction), ...steady },
    what: "Seconds: age of the oldest transaction",
    act: "`ladder.long_transactions` says whose it is and how to end it",
    levels: fixed({ warning: 300, critical: 3_600 }),
  },
  {
    ...{ key: "failed-jobs", ...own(OWN_METRICS.failedJobs), ...steady, comparison: "atLeast" },
    what: "Scheduled jobs that fail",
    act: "`ladder.jobs` and `ladder.job_runs` have the message",
    levels: fixed({ warning: 1 }),
  },
  {
    ...{ key: "health", ...own(OWN_METRICS.healthCritical), ...steady, comparison: "atLeast" },
    what: "Critical lines of ladder.health without an alarm of their own",
    act: "`select * from ladder.health`: column fix says what to do",
    levels: fixed({ critical: 1 }),
  },
  {
    ...{ key: "cpu", ...ofNode("CPUUtilization"), ...average15 },
    what: "Percent of CPU",
    act: "`ladder.running` and `ladder.slow_statements`; a larger class, or reads to the replicas",
    levels: fixed({ warning: 80, critical: 95 }),
  },
  {
    ...{ key: "cpu-credits", of: "burstable", namespace: RDS, metric: "CPUCreditBalance", ...average15, comparison: "below" },
    what: "CPU credits left; without any, what is used above the base line is billed",
    act: "a class that is not burstable (`primary.class`), or stage 2",
    levels: fixed({ warning: 20 }),
  },
  {
    ...{ key: "memory", ...ofNode("FreeableMemory"), ...average15, comparison: "below" },
    what: "Bytes of memory that are free or can be freed",
    act: "`ladder.connections`: many at once, each with its work_mem? Fewer, or a larger class",
    levels: (_, node) => ({ warning: Math.floor(part(node).memoryBytes * 0.1), critical: Math.floor(part(node).memoryBytes * 0.05) }),
  },
  {
    ...{ key: "read-latency", ...ofNode("ReadLatency"), ...average15 },
    what: "Seconds that a read of the volume takes",
    act: "as for disk-queue",
    levels: fixed({ warning: 0.02, critical: 0.1 }),
  },
  {
    ...{ key: "write-latency", ...ofNode("WriteLatency"), ...average15 },
    what: "Seconds that a write to the volume takes",
    act: "as for disk-queue",
    levels: fixed({ warning: 0.02, critical: 0.1 }),
  },
  {
    ...{ key: "disk-queue", ...ofNode("DiskQueueDepth"), ...average15 },
    what: "Requests that wait for the volume",
    act: "IOPS are used up: more memory or an index for what reads much; from 400 GiB a volume has four times the IOPS",
    levels: fixed({ warning: 64 }),
  },
  {
    ...{ key: "transaction-ids", of: "primary", namespace: RDS, metric: "MaximumUsedTransactionIDs", ...average15 },
    what: "Transaction numbers in use; the server stops writing at 2 billion",
    act: "`ladder.long_transactions`, `ladder.replication_slots`, prepared transactions: what holds them? Then `vacuum (freeze)`",
    levels: fixed({ warning: 1_000_000_000, critical: 1_600_000_000 }),
  },
  {
    ...{ key: "slot-lag", of: "primary", namespace: RDS, metric: "OldestReplicationSlotLag", ...average15 },
    what: "Bytes of WAL that the slowest replication slot keeps",
    act: "`ladder.replication_slots`: drop a slot that nobody reads before it fills the volume",
    levels: fixed({ warning: GIB, critical: 10 * GIB }),
  },
  {
    ...{ key: "pool-wait", ...own(OWN_METRICS.poolWait), ...steady },
    what: "Seconds that a client waits for a server connection",
    act: "`ladder.running`: slow statements hold the pool? Else raise `pooler.defaultPoolSize` within `ladder tune`'s budget",
    levels: fixed({ warning: 1, critical: 10 }),
  },
  {
    ...{ key: "pooler-cpu", of: "pooler", namespace: "AWS/EC2", metric: "CPUUtilization", ...average15 },
    what: "Percent of CPU of the pooler hosts",
    act: "raise `pooler.processes` or `pooler.count`",
    levels: fixed({ warning: 80 }),
  },
  {
    ...{ key: "poolers-unhealthy", of: "balancer", namespace: BALANCER, metric: "UnHealthyHostCount" },
    ...{ ...steady, comparison: "atLeast" },
    what: "Pooler hosts that fail their health check",
    act: "the group replaces them by itself; if it does not end, read the hosts' log group",
    levels: fixed({ warning: 1 }),
  },
  {
    // Every zone of the load balancer counts for itself, and a zone may have no host: the largest count is the one that says "none at all".
    ...{ key: "poolers-healthy", of: "balancer", namespace: BALANCER, metric: "HealthyHostCount" },
    ...{ ...timing("Maximum", 60, 3, "below"), missing: "breaching" },
    what: "Healthy pooler hosts; without one nobody can connect",
    act: "the hosts' log group; the database's own alarms; the last `up`. the log of the function `move` says whether a move is running",
    levels: fixed({ critical: 1 }),
  },
  {
    ...{ key: "cache-cpu", of: "cache", namespace: CACHE, metric: "EngineCPUUtilization", ...average15 },
    what: "Percent of the one core that Valkey serves commands with",
    act: "slow commands (KEYS, large values)? Else a larger `cache.class`",
    levels: fixed({ warning: 80, critical: 90 }),
  },
  {
    ...{ key: "cache-memory", of: "cache", namespace: CACHE, metric: "DatabaseMemoryUsagePercentage", ...average15 },
    what: "Percent of the cache's memory",
    act: "from 100 % on the longest unused keys go: shorter times to live, or a larger `cache.class`",
    levels: fixed({ warning: 80, critical: 95 }),
  },
  {
    ...{ key: "cache-evictions", of: "cache", namespace: CACHE, metric: "Evictions", ...average15, statistic: "Sum" },
    what: "Keys that left the cache for want of memory, in five minutes",
    act: "as for cache-memory",
    levels: fixed({ warning: 1_000 }),
  },
  {
    ...{ key: "cache-lag", of: "cache", namespace: CACHE, metric: "ReplicationLag", ...average15 },
    what: "Seconds that the cache's copy is behind",
    act: "much is written at once? What is lost in a fail-over is read from the database again",
    levels: fixed({ warning: 10 }),
  },
  {
    ...{ key: "cache-connections", of: "cache", namespace: CACHE, metric: "CurrConnections", ...average15, statistic: "Maximum" },
    what: "Clients of a cache node, which takes 65,000",
    act: "share one client in a process; close what is idle",
    levels: fixed({ warning: 40_000, critical: 58_000 }),
  },
  {
    ...{ key: "function-errors", of: "function", namespace: LAMBDA, metric: "Errors" },
    ...{ ...timing("Sum", 300, 3, "atLeast"), missing: "notBreaching" },
    what: "Runs of an agent's function that failed, in each of three times five minutes",
    act: "its log group `/aws/lambda/<function>` has the message; the next `up` runs configure and migrate again",
    levels: fixed({ warning: 1 }),
  },
  {
    ...{ key: "silence", of: "publisher", namespace: LAMBDA, metric: "Invocations" },
    ...{ ...timing("Sum", 300, 3, "below"), missing: "breaching" },
    what: "The function that publishes these figures does not run: alarms on namespace pgladder see nothing",
    act: "its schedule and its log group. Comes and goes once, in the first quarter of an hour of a new stack",
    levels: fixed({ critical: 1 }),
  },
];
