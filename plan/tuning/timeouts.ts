import { type Ms, ms, type Workload } from "../types.ts";
import { always, type Topic } from "./scope.ts";
import type { TuningInput } from "./types.ts";
import { showTime, time } from "./values.ts";

/** Time-outs that belong to the application's roles, not to the server; see SERVER_WIDE. */
export const ROLE_TIMEOUTS = ["statement_timeout", "lock_timeout"] as const;
export type RoleTimeout = (typeof ROLE_TIMEOUTS)[number];

/** A statement of an application: long enough for a report, short enough that a forgotten one does not hold back vacuum for a day. */
const STATEMENT: Readonly<Record<Workload, Ms>> = {
  web: ms(600_000),
  oltp: ms(1_800_000),
  mixed: ms(7_200_000),
  analytics: ms(43_200_000),
};
/** A wait for a lock: a queued ALTER TABLE stops every query behind it. */
const LOCK: Readonly<Record<Workload, Ms>> = { web: ms(30_000), oltp: ms(30_000), mixed: ms(60_000), analytics: ms(300_000) };
const IDLE_IN_TRANSACTION: Readonly<Record<Workload, Ms>> = {
  web: ms(300_000),
  oltp: ms(300_000),
  mixed: ms(900_000),
  analytics: ms(3_600_000),
};

/** Why the server-wide value is 0: tried on 17.12, a publisher with statement_timeout 1s. */
const SERVER_WIDE =
  "a server-wide one also cuts off the table copies of logical replication, which then start over without end (tried), jobs and index builds: the roles app and app_ro carry it";

/**
 * What the application's roles get by ALTER ROLE … SET, in postgresql.conf's syntax. Overrides of these two names in the
 * config key `settings` end up here. A migration that needs longer says SET LOCAL statement_timeout = 0.
 */
export function roleTimeouts(input: Pick<TuningInput, "workload" | "overrides">): Readonly<Record<RoleTimeout, string>> {
  return {
    statement_timeout: input.overrides.statement_timeout ?? showTime(STATEMENT[input.workload]),
    lock_timeout: input.overrides.lock_timeout ?? showTime(LOCK[input.workload]),
  };
}

/** Time-outs and signs of life: checklist P5. */
export const timeoutTopic = {
  statement_timeout: ({ input }) => ({
    value: time(ms(0)),
    reason: `${SERVER_WIDE}: ${roleTimeouts(input).statement_timeout}`,
  }),
  lock_timeout: ({ input }) => ({
    value: time(ms(0)),
    reason: `as statement_timeout, and CREATE INDEX CONCURRENTLY waits for old snapshots: on app and app_ro ${roleTimeouts(input).lock_timeout}`,
  }),
  idle_in_transaction_session_timeout: ({ input }) => ({
    value: time(IDLE_IN_TRANSACTION[input.workload]),
    reason:
      "an idle transaction holds a pooled connection, its locks and the vacuum horizon; a working one is never cut off; pg_dump switches it off",
  }),
  transaction_timeout: always(
    time(ms(0)),
    "would cut off backups, migrations and copies that make progress; the two above find what does not",
  ),
  idle_session_timeout: always(time(ms(0)), "the pooler keeps idle server connections on purpose and closes them itself"),
  deadlock_timeout: always(
    time(ms(1_000)),
    "PostgreSQL's default; log_lock_waits reports at it, and moves keep their lock_timeout below it",
  ),
  client_connection_check_interval: always(time(ms(10_000)), "a query whose client is gone stops within 10s"),
  tcp_keepalives_idle: always(time(ms(60_000)), "a dead peer is found in 60s + 6 × 10s, not in two hours"),
  tcp_keepalives_interval: always(time(ms(10_000)), "see tcp_keepalives_idle"),
  tcp_keepalives_count: always({ kind: "number", value: 6 }, "see tcp_keepalives_idle"),
} satisfies Topic;
