import { kib, mib } from "../types.ts";
import { always, selfManaged, type Topic } from "./scope.ts";
import { bool, memory, number, text, time } from "./values.ts";

/** Logging and statistics of statements: checklist P4. */
export const loggingTopic = {
  log_min_duration_statement: ({ input }) => ({
    value: time(input.logMinDuration),
    reason: "the stage's threshold: 1s at stage 1, down to 100ms at scale",
  }),
  log_line_prefix: selfManaged(
    text("%m [%p] user=%u db=%d app=%a client=%h "),
    "time, pid, user, database, application, client (checklist P4)",
  ),
  log_statement: always(text("none"), "pg_stat_statements counts all statements, pgaudit logs what must be logged"),
  log_lock_waits: always(bool(true), "who waited longer than deadlock_timeout, and for whom"),
  log_checkpoints: always(bool(true), "shows whether WAL size or time starts them"),
  log_connections: always(bool(true), "the pooler keeps connections for an hour, so the lines are few; CIS asks for them"),
  log_disconnections: always(bool(true), "as log_connections"),
  log_recovery_conflict_waits: always(bool(true), "reads on a replica that hold up replay"),
  log_temp_files: always(memory(mib(64)), "a spill of more than the largest work_mem"),
  logging_collector: selfManaged(bool(false), "the container's log is where monitoring reads; a file would fill the data volume"),
  log_timezone: selfManaged(text("UTC"), "the same clock in every node's log"),
  TimeZone: always(text("UTC"), "the same on every node and target; sessions set their own"),
  track_activity_query_size: always(memory(kib(4)), "statements of object mappers are longer than 1kB; static"),
  compute_query_id: always(text("on"), "the same id in the log, in pg_stat_activity and in pg_stat_statements"),
  "pg_stat_statements.max": always(number(10_000), "twice the default: tenants and partitions make many statements; static"),
  "pg_stat_statements.track": always(text("all"), "also statements inside functions"),
  "pgaudit.log": always(text("ddl,role"), "changes of schema and roles are audited; reads and writes would double the log"),
  "pgaudit.log_catalog": always(bool(false), "catalog reads of drivers and tools are noise"),
} satisfies Topic;
