/**
 * Static parameters are sized once for the whole ladder, because raising one later restarts the server: the one table
 * of what a move needs. Slots and worker places that are not in use cost some kilobytes of shared memory each.
 */

/** Shards or Citus workers that one node may feed, or be fed by, in one move. */
export const MOVE_PEERS = 8;
/** Tables that one subscription copies at the same time. */
export const SYNC_PER_PEER = 2;
/** One apply worker and its copies for each peer; on the other end as many WAL senders and slots. */
export const MOVE_STREAMS = MOVE_PEERS * (1 + SYNC_PER_PEER);
/** WAL senders for replicas, base backups and WAL archiving by streaming: checklist P2, "replicas + 1, up to 10". */
export const STREAMING_SENDERS = 10;
/** pg_cron jobs at the same time. */
export const CRON_JOBS = 5;
/** Citus' maintenance daemons (one a database) and its background tasks. */
export const CITUS_WORKERS = 8;

/** Connections beside the poolers', by who makes them. */
export const RESERVED_CONNECTIONS = {
  /** superuser_reserved_connections: Patroni's own and an operator's psql when all else is full. */
  superuser: 5,
  /** reserved_connections, for members of pg_use_reserved_connections: the agent's configure, migrate and move. */
  agent: 4,
  /** reserved_connections: metrics and the doctor. */
  monitor: 4,
  /** reserved_connections: the poolers' auth_query. */
  authQuery: 2,
  /** pg_cron's jobs, where they connect as clients (RDS). */
  cron: CRON_JOBS,
} as const;

/** All connections beside the poolers'. */
export const RESERVED = Object.values(RESERVED_CONNECTIONS).reduce((sum, n) => sum + n, 0);

/** max_connections goes up in steps, so that a pool can grow inside a step without a restart. */
export const CONNECTION_STEP = 100;
