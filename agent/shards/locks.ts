/** Locks that stop writers for the moment of a flip. */
import type pg from "pg";
import { LOCK_WAIT } from "./session.ts";

/** The oldest transaction, over a second old, that holds a lock on one of the tables: a flip would only make others wait behind it. */
export async function holder(client: pg.Client, relations: readonly string[]): Promise<string | undefined> {
  const { rows } = await client.query<{ who: string }>(
    `select format('%s (pid %s) for %s s', coalesce(nullif(a.application_name, ''), a.usename, a.backend_type), a.pid,
         extract(epoch from clock_timestamp() - a.xact_start)::int) as who
       from pg_locks l join pg_stat_activity a using (pid)
      where l.relation = any (select to_regclass(r) from unnest($1::text[]) r) and l.database = (select oid from pg_database where datname = current_database())
        and l.granted and a.backend_type = 'client backend' and a.xact_start < clock_timestamp() - interval '1 second'
      order by a.xact_start limit 1`,
    [relations],
  );
  return rows[0]?.who;
}

/**
 * Locks relations against everybody, all together or none, in the order given, and within half a second or not at all: until the open transaction ends.
 *
 * @param names as LOCK TABLE takes them; "only" of a partitioned table is its root, which every statement that names it locks first.
 * @throws 57014 or 55P03 when the locks do not come.
 */
export async function lockAll(client: pg.Client, names: readonly string[]): Promise<void> {
  await client.query(`set local lock_timeout = 0; set local statement_timeout = ${LOCK_WAIT}`);
  await client.query(`lock table ${names.join(", ")} in access exclusive mode`);
  await client.query(`set local statement_timeout = 0; set local lock_timeout = ${LOCK_WAIT}`);
}

/** The shard map before the tables, because routers hold it first. */
export const MAP = "only ladder.shard_map";
