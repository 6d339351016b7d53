/** What the agent's `metrics` command publishes: figures that CloudWatch does not have by itself. Alarms and the dashboard read them. */

/** Their namespace. They are published in the home region only, once in `METRICS_PERIOD` seconds, for every node of every region. */
export const METRICS_NAMESPACE = "pgladder";
export const METRICS_PERIOD = 60;

export interface OwnMetric {
  /** Name in CloudWatch. */
  readonly name: string;
  readonly unit: "Seconds" | "Milliseconds" | "Bytes" | "Percent" | "Count";
  /** Whose figure it is; decides the one dimension, see `ownDimension`. */
  readonly of: "node" | "replica" | "primary" | "pooler";
  /** How it is measured; nothing is published when there is nothing to say. */
  readonly what: string;
}

export const OWN_METRICS = {
  heartbeatAge: {
    name: "HeartbeatAge",
    unit: "Seconds",
    of: "node",
    what: "clock_timestamp() - ladder.heartbeat.beat on the node: of a replica its lag, of the primary whether pg_cron runs",
  },
  replicationLagBytes: {
    name: "ReplicationLagBytes",
    unit: "Bytes",
    of: "replica",
    what: "the primary's pg_current_wal_lsn() minus pg_last_wal_replay_lsn() on the node, never below 0; standbys of other regions too",
  },
  cacheHitPercent: {
    name: "CacheHitPercent",
    unit: "Percent",
    of: "node",
    what: "hit_percent of line (database) in ladder.cache_hit; nothing below 100,000 block accesses",
  },
  statementP99: {
    name: "StatementP99",
    unit: "Milliseconds",
    of: "node",
    what: "largest p99_ms in ladder.slow_statements of the application's roles with at least 100 calls (an estimate: see that view)",
  },
  deadRows: { name: "DeadRows", unit: "Count", of: "primary", what: "largest dead_rows in ladder.dead_tuples" },
  longestTransaction: {
    name: "LongestTransaction",
    unit: "Seconds",
    of: "node",
    what: "largest transaction_seconds in ladder.long_transactions; 0 without one",
  },
  failedJobs: { name: "FailedJobs", unit: "Count", of: "primary", what: "lines of ladder.jobs with failing_since" },
  healthCritical: {
    name: "HealthCritical",
    unit: "Count",
    of: "primary",
    what: "lines of ladder.health that are critical, without the checks of COVERED_CHECKS",
  },
  poolWait: { name: "PoolWait", unit: "Seconds", of: "pooler", what: "largest maxwait of SHOW POOLS over all processes of the region" },
  poolWaiting: {
    name: "PoolWaiting",
    unit: "Count",
    of: "pooler",
    what: "sum of cl_waiting of SHOW POOLS over all processes of the region",
  },
} as const satisfies Record<string, OwnMetric>;

/** Checks of ladder.health that have an alarm of their own. */
export const COVERED_CHECKS = [
  ...["connections", "cache hit", "replication lag", "replication slots", "heartbeat", "statements", "dead rows", "long transactions"],
  ...["transaction numbers", "jobs"],
] as const;

/** The dimension of an own metric. Both names are unique in an account, so two stacks do not mix. */
export function ownDimension(of: OwnMetric["of"], id: string): Record<string, string> {
  return of === "pooler" ? { AutoScalingGroupName: id } : { DBInstanceIdentifier: id };
}
