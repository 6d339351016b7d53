import { CONNECTION_STEP, CRON_JOBS, RESERVED_CONNECTIONS as R, RESERVED } from "./climb.ts";
import { always, type Scope, selfManaged, type Topic } from "./scope.ts";
import { bool, number, text } from "./values.ts";

const planned = ({ input }: Scope) => Math.max(input.serverConnections, input.plannedConnections ?? 0);

/** Prepared transactions of the mover: one for each shard that is added or leaves. */
const MOVES_PREPARED = 8;

/** Prepared transactions that Citus may hold, one for each connection; before it, the mover's. */
function preparedTransactions(scope: Scope) {
  const { citus, platform } = scope.input;
  if (!citus)
    return platform === "rds"
      ? { value: number(0), reason: "nothing commits in two phases there; a forgotten prepared transaction would hold locks for ever" }
      : {
          value: number(MOVES_PREPARED),
          reason:
            "the gateway's part of a move between shards is prepared: static, sized for the climb; one that is forgotten would hold locks for ever",
        };
  return { value: number(maxConnections(scope)), reason: "as max_connections: Citus prepares one on each connection that writes" };
}

const maxConnections = (scope: Scope): number => Math.ceil((planned(scope) + RESERVED) / CONNECTION_STEP) * CONNECTION_STEP;

/** Connections, locks, and what is preloaded. */
export const connectionTopic = {
  max_connections: (scope) => ({
    value: number(maxConnections(scope)),
    reason: `${planned(scope)} of the poolers + ${RESERVED} reserved (${R.superuser} superuser, ${R.agent} agent, ${R.monitor} monitor, ${R.authQuery} auth_query, ${R.cron} pg_cron), up to the next ${CONNECTION_STEP}: static, replication is counted apart`,
  }),
  superuser_reserved_connections: selfManaged(number(R.superuser), "Patroni and an operator get in when all else is full"),
  reserved_connections: selfManaged(
    number(R.agent + R.monitor + R.authQuery),
    `${R.agent} agent + ${R.monitor} monitor + ${R.authQuery} auth_query, for members of pg_use_reserved_connections`,
  ),
  max_prepared_transactions: preparedTransactions,
  max_locks_per_transaction: always(
    number(256),
    "a query over a few years of monthly partitions with their indexes holds hundreds; the table is shared by all connections; static",
  ),
  shared_preload_libraries: ({ input }) => ({
    value: text([...(input.citus ? ["citus"] : []), "pg_stat_statements", "pg_cron", "pgaudit"].join(",")),
    reason: `${input.citus ? "Citus must be first; " : ""}statistics of statements, jobs, audit: static`,
  }),
  "cron.database_name": ({ input }) => ({ value: text(input.database ?? "app"), reason: "the database whose jobs pg_cron runs; static" }),
  "cron.use_background_workers": selfManaged(bool(true), "jobs need no password and no connection"),
  "cron.max_running_jobs": always(number(CRON_JOBS), "counted in max_worker_processes (on RDS in max_connections); static"),
  password_encryption: always(text("scram-sha-256"), "md5 is broken and deprecated"),
  ssl: always(bool(true), "every connection is encrypted, also locally"),
  ssl_min_protocol_version: always(text("TLSv1.2"), "old drivers still connect, broken versions do not"),
} satisfies Topic;
