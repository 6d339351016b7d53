/** How far the first copy of a stream is. */
import type pg from "pg";

export interface CopyState {
  /** Qualified, as SQL. */
  table: string;
  /** Its rows are there, and it follows. */
  ready: boolean;
  /** Copied so far, while it is being copied. */
  rows: number;
  copied: boolean;
}

/** Tables of a subscription, where they are; undefined without the subscription. */
export async function copyStates(subscriber: pg.Client, name: string): Promise<CopyState[] | undefined> {
  const { rows } = await subscriber.query<CopyState & { table: string | null }>(
    `select format('%I.%I', n.nspname, c.relname) as table, r.srsubstate = 'r' as ready, r.srsubstate in ('f', 's', 'r') as copied,
       coalesce((select sum(p.tuples_processed) from pg_stat_progress_copy p join pg_stat_subscription w on w.pid = p.pid
                 where w.subid = s.oid and w.relid = r.srrelid), 0)::float8 as rows
     from pg_subscription s left join (pg_subscription_rel r join pg_class c on c.oid = r.srrelid join pg_namespace n on n.oid = c.relnamespace) on r.srsubid = s.oid
     where s.subname = $1 and s.subdbid = (select oid from pg_database where datname = current_database())`,
    [name],
  );
  return rows.length === 0 ? undefined : rows.filter(({ table }) => table !== null);
}

/** Failures of a subscription since it was made; the server's log has their text. */
export async function failures(subscriber: pg.Client, name: string): Promise<number> {
  const { rows } = await subscriber.query<{ count: number }>(
    "select (apply_error_count + sync_error_count)::float8 as count from pg_stat_subscription_stats where subname = $1",
    [name],
  );
  return rows[0]?.count ?? 0;
}

/** Rows that each table has by the planner's estimate, partitions counted. */
export async function estimates(client: pg.Client, tables: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await client.query<{ table: string; rows: number }>(
    `select t as table, coalesce((select sum(greatest(c.reltuples, 0)) from pg_class c
        where c.relkind = 'r' and c.oid in (select relid from pg_partition_tree(to_regclass(t)) union select to_regclass(t))), 0)::float8 as rows
     from unnest($1::text[]) t`,
    [tables],
  );
  return new Map(rows.map(({ table, rows: count }) => [table, count]));
}
