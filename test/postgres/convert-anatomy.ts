/** A table as PostgreSQL's catalogs know it, as lines that two of them can be compared by. */
import type { Client } from "pg";

/** Everything that PostgreSQL knows about a table, without what only a partitioned one has, and the conversion's own rights while it goes on. */
export async function anatomy(admin: Client, table: string): Promise<string[]> {
  const { rows } = await admin.query<{ line: string }>(
    `with t as (select * from pg_class where oid = $1::regclass)
     select concat_ws(' ', 'table', relowner::regrole, array(select a from unnest(relacl) a where a::text not like 'ladder_upkeep=%'), relrowsecurity, relforcerowsecurity, obj_description(oid, 'pg_class')) as line from t
     union all select concat_ws(' ', 'column', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage, attcompression,
       attstattarget, array(select o from unnest(attoptions) o where o like 'n\\_distinct%'), attacl, attcollation::regcollation, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
       from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum where attrelid = $1::regclass and attnum > 0 and not attisdropped
     union all select concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
       from pg_constraint where conrelid = $1::regclass and contype <> 't'
     union all select concat_ws(' ', 'referenced by', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
       from pg_constraint where confrelid = $1::regclass and contype = 'f' and conparentid = 0
     union all select concat_ws(' ', 'index', replace(pg_get_indexdef(indexrelid), 'ONLY ', ''), obj_description(indexrelid, 'pg_class')) from pg_index where indrelid = $1::regclass
     union all select concat_ws(' ', 'trigger', tgenabled::text, pg_get_triggerdef(oid), obj_description(oid, 'pg_trigger')) from pg_trigger
       where tgrelid = $1::regclass and not tgisinternal and tgname not like 'ladder%'
     union all select concat_ws(' ', 'policy', polname, polcmd::text, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy'))
       from pg_policy where polrelid = $1::regclass
     union all select concat_ws(' ', 'statistics', pg_get_statisticsobjdef(oid)) from pg_statistic_ext where stxrelid = $1::regclass
     union all select concat_ws(' ', 'sequence', s.oid::regclass, s.relacl, d.deptype::text, a.attname, q.seqincrement, q.seqcache, q.seqmax)
       from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S' join pg_sequence q on q.seqrelid = s.oid
       join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid where d.refobjid = $1::regclass
     union all select concat_ws(' ', 'view', v.oid::regclass, v.relowner::regrole, v.relacl, v.reloptions, pg_get_viewdef(v.oid)) from pg_class v
       where v.oid in (select ev_class from pg_depend join pg_rewrite r on r.oid = objid where refobjid = $1::regclass)
     order by 1`,
    [table],
  );
  return rows.map(({ line }) => line);
}
