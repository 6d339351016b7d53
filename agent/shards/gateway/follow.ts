/** Views and functions that follow a table's name: their texts before the swap are their definitions after it. */
import type pg from "pg";
import type { Fleet } from "../types.ts";
import { named } from "./names.ts";

const TEXTS = `
select format('create or replace view %I.%I%s as %s', n.nspname, v.relname,
    case when v.reloptions is null then '' else format(' with (%s)', array_to_string(v.reloptions, ', ')) end, pg_get_viewdef(v.oid)) as text
  from pg_class v join pg_namespace n on n.oid = v.relnamespace
 where v.relkind = 'v' and v.oid in (select r.ev_class from pg_depend d join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
   where d.refclassid = 'pg_class'::regclass and d.refobjid = any ($1))
union all
select pg_get_functiondef(p.oid) from pg_proc p
 where p.oid in (select objid from pg_depend where classid = 'pg_proc'::regclass and refclassid = 'pg_class'::regclass and refobjid = any ($1))`;

/** Statements that bind views and functions of the tables to what has their names when they are run. */
export async function textsOf(gateway: pg.Client, tables: readonly number[]): Promise<string[]> {
  const { rows: before } = await gateway.query<{ path: string }>("select current_setting('search_path') as path");
  const setPath = (path: string) => gateway.query("select set_config('search_path', $1, true)", [path]);
  await setPath("pg_catalog");
  const { rows } = await gateway.query<{ text: string }>(TEXTS, [tables]);
  await setPath(before[0]!.path);
  return rows.map(({ text }) => text);
}

/**
 * What the flip, the way back and a change of the shards have to lock in access exclusive mode, in this order: views first, because a session that
 * reads one holds it before its tables; then the tables, of which `only` is enough.
 */
export async function lockNames(gateway: pg.Client, { tables }: Fleet): Promise<string[]> {
  const names = tables.map(({ schema, table }) => named(schema, table));
  const { rows } = await gateway.query<{ name: string; read: boolean }>(
    `select distinct format('%I.%I', n.nspname, v.relname) as name, false as read from pg_depend d
       join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass join pg_class v on v.oid = r.ev_class join pg_namespace n on n.oid = v.relnamespace
      where v.relkind = 'v' and d.refclassid = 'pg_class'::regclass and d.refobjid = any ($1::text[]::regclass[])
     union all
     select format('%I.%I', n.nspname, c.relname), c.relkind = 'p' from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'ladder_read' and c.relkind in ('p', 'v')
     order by read, name`,
    [names],
  );
  const views = rows.filter(({ read }) => !read).map(({ name }) => name);
  const trees = rows.filter(({ read }) => read).map(({ name }) => name);
  return [...views, ...[...names, ...trees].map((name) => `only ${name}`)];
}
