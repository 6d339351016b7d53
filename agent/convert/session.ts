/** The connection that converts: its settings, and the lock that lets one process at a time do it. */
import pg from "pg";

/** Advisory lock of a conversion: "ladd" in ASCII, 2. Taken in the database that is converted. */
const CONVERT_LOCK = [0x6c616464, 2] as const;

/** Locks are given up after this time, ms: below deadlock_timeout, so that never the application is what PostgreSQL cancels. */
export const LOCK_WAIT = 100;

/** Sets up the session. False when another one is at work. */
export async function prepareSession(client: pg.Client): Promise<boolean> {
  await client.query(`
    set search_path = pg_catalog; set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres';
    set lock_timeout = ${LOCK_WAIT}; set statement_timeout = 0; set idle_in_transaction_session_timeout = '10s';
    set client_connection_check_interval = 1000; set client_min_messages = warning; set row_security = off;
    set application_name = 'ladder conversion'`);
  // Ours finds a deadlock first, and autovacuum gives way; where the right is missing, autovacuum has to be waited for.
  await allowed(client, "set deadlock_timeout = '20ms'");
  // The copy's foreign keys and triggers need not look at rows that the table already has.
  await allowed(client, "set session_replication_role = 'replica'");
  const { rows } = await client.query<{ got: boolean }>("select pg_try_advisory_lock($1::int, $2::int) as got", [...CONVERT_LOCK]);
  return rows[0]!.got;
}

async function allowed(client: pg.Client, sql: string): Promise<void> {
  await client.query(sql).catch((error: unknown) => {
    if (codeOf(error) !== "42501") throw error;
  });
}

export const codeOf = (error: unknown): string | undefined => (error instanceof pg.DatabaseError ? error.code : undefined);

/** Somebody else held a lock, or was first: the same again is what helps. */
export const isBusy = (error: unknown): boolean => ["55P03", "40P01", "40001"].includes(codeOf(error) ?? "");

/** The connection or the server went away: another process will find everything as it was. */
export const isLost = (error: unknown): boolean => codeOf(error) === undefined || /^(08|57P|58)/.test(codeOf(error)!);

/** Runs `work` in a transaction. */
export async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query("begin");
  try {
    const result = await work();
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  }
}

/** Seconds by which the slowest replica is behind. */
export async function replicaDelay(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ delay: number }>(
    "select coalesce(max(extract(epoch from replay_lag)), 0)::float8 as delay from pg_stat_replication",
  );
  return rows[0]!.delay;
}

/** The oldest transaction, over a second old, that holds a lock on one of the tables; a swap would only make others wait behind it. */
export async function holder(client: pg.Client, relation: number): Promise<string | undefined> {
  const { rows } = await client.query<{ who: string }>(
    `select format('%s (pid %s) for %s s', coalesce(nullif(a.application_name, ''), a.usename, a.backend_type), a.pid,
         extract(epoch from clock_timestamp() - a.xact_start)::int) as who
       from pg_locks l join pg_stat_activity a using (pid)
      where l.relation = $1 and l.database = (select oid from pg_database where datname = current_database()) and l.granted and a.backend_type = 'client backend' and a.xact_start < clock_timestamp() - interval '1 second'
      order by a.xact_start limit 1`,
    [relation],
  );
  return rows[0]?.who;
}
