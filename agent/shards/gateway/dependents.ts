/** What in the database hangs on a table itself, and not only on its name: after the flip that is the old table. */
import type pg from "pg";
import type { GlobalTable } from "../types.ts";

export interface Dependent {
  kind:
    | "view"
    | "function"
    | "materialized view"
    | "column"
    | "policy"
    | "publication"
    | "rule"
    | "trigger"
    | "foreign key"
    | "inheritance";
  /** As SQL names it. */
  name: string;
  /** The flip takes it along. */
  follows: boolean;
  /** What becomes of it. */
  reason: string;
}

const FOLLOWS = "made again from its text in the flip";

const SQL = `
with t as (select c.oid, c.reltype, (select typarray from pg_type where oid = c.reltype) as array_type
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2),
 d as (select d.* from pg_depend d, t where d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid),
 typed as (select d.* from pg_depend d, t where d.refclassid = 'pg_type'::regclass and d.refobjid in (t.reltype, t.array_type) and d.deptype = 'n'),
 rewritten as (select distinct v.oid, v.relkind, v.relname, n.nspname from d join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
   join pg_class v on v.oid = r.ev_class join pg_namespace n on n.oid = v.relnamespace where v.oid not in (select oid from t))
select case relkind when 'v' then 'view' when 'm' then 'materialized view' else 'rule' end as kind, format('%I.%I', nspname, relname) as name, relkind = 'v' as follows,
   case relkind when 'v' then null when 'm' then 'goes on reading the old table: drop it before the climb, and make it again after'
     else 'has a rule that goes on using the old table' end as reason
  from rewritten where oid not in (select objid from typed where classid = 'pg_class'::regclass)
union all
select distinct 'function', p.oid::regprocedure::text, true, null from d join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
  where p.oid not in (select objid from typed where classid = 'pg_proc'::regclass)
union all
select distinct 'function', p.oid::regprocedure::text, false, 'takes or returns rows of the table''s own type, which stays with the old table: name the columns, or use a type of its own'
  from typed join pg_proc p on typed.classid = 'pg_proc'::regclass and p.oid = typed.objid
union all
select distinct 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), false, 'has the table''s row as its type, which stays with the old table'
  from typed join pg_class c on typed.classid = 'pg_class'::regclass and c.oid = typed.objid join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum = typed.objsubid
union all
select distinct 'policy', format('%I on %s', p.polname, p.polrelid::regclass), false, 'asks the table, and would go on asking the old one'
  from d join pg_policy p on d.classid = 'pg_policy'::regclass and p.oid = d.objid where p.polrelid not in (select oid from t)
union all
select 'policy', format('%I on %s', polname, polrelid::regclass), false, 'is restrictive and for everybody, so it would bind the gateway on the shards: name the roles that it is for'
  from pg_policy, t where polrelid = t.oid and not polpermissive and 0 = any (polroles)
union all
select 'publication', quote_ident(pubname), false, 'publishes what this server writes; rows on the shards are not in its log'
  from pg_publication p, t where pubname not like 'ladder\\_%'
   and (puballtables or exists (select from pg_publication_rel r where r.prpubid = p.oid and r.prrelid = t.oid)
     or exists (select from pg_publication_namespace s join pg_class c on c.relnamespace = s.pnnspid where s.pnpubid = p.oid and c.oid = t.oid))
union all
select 'rule', format('%I on %s', rulename, ev_class::regclass), false, 'is not taken along: rewrite what it does' from pg_rewrite, t where ev_class = t.oid
union all
select 'trigger', format('%I on %s', tgname, tgrelid::regclass), false, 'would run on the shards, as ladder_gateway and with an empty search_path'
  from pg_trigger, t where tgrelid = t.oid and not tgisinternal and tgparentid = 0 and tgname not like 'ladder\\_%'
union all
select 'foreign key', format('%I on %s', conname, conrelid::regclass), false, 'points at the table: no foreign key can point at rows on other servers'
  from pg_constraint, t where confrelid = t.oid and contype = 'f' and conparentid = 0
union all
select distinct 'inheritance', i.inhrelid::regclass::text, false, 'is joined by inheritance, not as a partition' from pg_inherits i join pg_class c on c.oid = i.inhrelid, t
  where t.oid in (i.inhparent, i.inhrelid) and not c.relispartition
order by 1, 2`;

/** Everything that hangs on a table; what does not follow has to go, or be written in another way, before the climb. Also after the flip, of the tree. */
export async function dependents(gateway: pg.Client, { schema, table }: GlobalTable): Promise<Dependent[]> {
  const { rows } = await gateway.query<Omit<Dependent, "reason"> & { reason: string | null }>(SQL, [schema, table]);
  return rows.map((row) => ({ ...row, reason: row.reason ?? FOLLOWS }));
}
