/** What PostgreSQL's catalogs say of the application's tables, as far as sharding asks. */
import type pg from "pg";

export interface Column {
  name: string;
  type: string;
  notNull: boolean;
  identity: "" | "a" | "d";
  generated: boolean;
  /** Two texts that are not the same bytes may be equal. */
  loose: boolean;
  /** The sequence that its default or identity draws from. */
  sequence: Sequence | null;
}

export interface Sequence {
  /** Quoted, with its schema. */
  name: string;
  type: string;
  last: number;
  most: number;
  step: number;
  cycles: boolean;
}

export interface UniqueIndex {
  name: string;
  /** Of the constraint on it: p, u or x. */
  constraint: "p" | "u" | "x" | null;
  columns: string[];
}

export interface ForeignKey {
  name: string;
  columns: string[];
  /** The table that it points at, by oid, and the columns there. */
  to: number;
  toColumns: string[];
  /** ON DELETE or ON UPDATE does something to the referencing row. */
  acts: boolean;
}

export interface Relation {
  oid: number;
  schema: string;
  table: string;
  /** Quoted, with its schema. */
  name: string;
  kind: "r" | "p" | "f" | "v" | "m";
  owner: string;
  persistence: "p" | "u" | "t";
  isPartition: boolean;
  /** Its rows are on other servers already. */
  remote: boolean;
  parents: string[];
  children: string[];
  /** How it is partitioned: range, list or hash, and by which columns. */
  partitioned: { kind: "range" | "list" | "hash"; columns: string[] } | null;
  /** The default partition, when it holds rows. */
  strays: string | null;
  rows: number;
  bytes: number;
  columns: Column[];
  unique: UniqueIndex[];
  foreignKeys: ForeignKey[];
  triggers: { name: string; enabled: "O" | "D" | "R" | "A" }[];
  rules: string[];
  /** Tables, of itself and its partitions, whose replica identity is nothing or an index; with its columns. */
  identities: { name: string; kind: "n" | "i"; columns: string[] }[];
  policies: string[];
  publications: { name: string; scope: "table" | "schema" | "all" }[];
}

const FACTS = `
with own as (
  select c.*, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'f', 'v', 'm') and n.nspname !~ '^(pg_|ladder(_|$))' and n.nspname not in ('information_schema', 'cron', 'partman')
     and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')),
 leaves as (
  select o.oid as root, p.relid as leaf from own o, pg_partition_tree(o.oid) p where o.relkind = 'p' and p.isleaf
  union all select oid, oid from own where relkind = 'r'),
 drawn as materialized (
  select w.relation, w.attnum, json_build_object('name', format('%I.%I', k.relnamespace::regnamespace::name, k.relname), 'type', q.seqtypid::regtype::text,
    'last', coalesce(pg_sequence_last_value(q.seqrelid), 0), 'most', q.seqmax, 'step', q.seqincrement, 'cycles', q.seqcycle) as facts
   from pg_sequence q join pg_class k on k.oid = q.seqrelid join (
    select objid as sequence, refobjid as relation, refobjsubid as attnum from pg_depend
     where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and deptype = 'i' and refobjsubid > 0
    union select d.refobjid, a.adrelid, a.adnum from pg_depend d join pg_attrdef a on a.oid = d.objid
     where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'n') w on w.sequence = q.seqrelid)
select t.oid, t.nspname as schema, t.relname as "table", format('%I.%I', t.nspname, t.relname) as name, t.relkind as kind,
 t.relowner::regrole::text as owner, t.relpersistence as persistence, t.relispartition as "isPartition",
 t.relkind = 'f' or exists (select from leaves l join pg_class c on c.oid = l.leaf where l.root = t.oid and c.relkind = 'f') as remote,
 (select coalesce(json_agg(i.inhparent::regclass::text), '[]') from pg_inherits i where i.inhrelid = t.oid) as parents,
 (select coalesce(json_agg(i.inhrelid::regclass::text), '[]') from pg_inherits i where i.inhparent = t.oid and t.relkind = 'r') as children,
 (select json_build_object('kind', case partstrat when 'r' then 'range' when 'l' then 'list' else 'hash' end, 'columns',
    (select coalesce(json_agg(a.attname order by o), '[]') from unnest(p.partattrs::int2[]) with ordinality u(n, o)
       join pg_attribute a on a.attrelid = t.oid and a.attnum = u.n)) from pg_partitioned_table p where p.partrelid = t.oid) as partitioned,
 (select partdefid::regclass::text from pg_partitioned_table p where p.partrelid = t.oid and partdefid <> 0) as strays,
 (select coalesce(sum(greatest(c.reltuples, pg_stat_get_live_tuples(l.leaf), 0)), 0)::float8 from leaves l join pg_class c on c.oid = l.leaf where l.root = t.oid) as rows,
 (select coalesce(sum(pg_total_relation_size(l.leaf)), 0)::float8 from leaves l where l.root = t.oid) as bytes,
 (select coalesce(json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, null), 'notNull', a.attnotnull,
    'identity', a.attidentity, 'generated', a.attgenerated <> '', 'loose', coalesce(not l.collisdeterministic, false), 'sequence',
(select json_agg(q.facts)->0 from drawn q where q.relation = t.oid and q.attnum = a.attnum)) order by a.attnum), '[]')
    from pg_attribute a left join pg_collation l on l.oid = a.attcollation where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped) as columns,
 (select coalesce(json_agg(json_build_object('name', k.relname, 'constraint', c.contype, 'columns',
    (select coalesce(json_agg(a.attname order by o), '[]') from unnest(i.indkey::int2[]) with ordinality u(n, o)
       join pg_attribute a on a.attrelid = t.oid and a.attnum = u.n where o <= i.indnkeyatts)) order by k.relname), '[]')
    from pg_index i join pg_class k on k.oid = i.indexrelid left join pg_constraint c on c.conindid = i.indexrelid and c.conrelid = t.oid and c.contype in ('p', 'u', 'x')
   where i.indrelid = t.oid and (i.indisunique or c.contype = 'x')) as unique,
 (select coalesce(json_agg(json_build_object('name', c.conname, 'to', c.confrelid::int8, 'acts', c.confdeltype not in ('a', 'r') or c.confupdtype not in ('a', 'r'),
    'columns', (select json_agg(a.attname order by o) from unnest(c.conkey) with ordinality u(n, o) join pg_attribute a on a.attrelid = c.conrelid and a.attnum = u.n),
    'toColumns', (select json_agg(a.attname order by o) from unnest(c.confkey) with ordinality u(n, o) join pg_attribute a on a.attrelid = c.confrelid and a.attnum = u.n)) order by c.conname), '[]')
    from pg_constraint c where c.conrelid = t.oid and c.contype = 'f' and c.conparentid = 0) as "foreignKeys",
 (select coalesce(json_agg(json_build_object('name', tgname, 'enabled', tgenabled) order by tgname), '[]') from pg_trigger
   where tgrelid = t.oid and not tgisinternal and tgparentid = 0 and tgname !~ '^ladder_') as triggers,
 (select coalesce(json_agg(rulename order by rulename), '[]') from pg_rewrite where ev_class = t.oid and t.relkind in ('r', 'p')) as rules,
 (select coalesce(json_agg(json_build_object('name', format('%I.%I', c.relnamespace::regnamespace::name, c.relname), 'kind', c.relreplident, 'columns',
    (select coalesce(json_agg(a.attname), '[]') from pg_index i, unnest(i.indkey::int2[]) n join pg_attribute a on a.attrelid = c.oid and a.attnum = n
      where i.indrelid = c.oid and i.indisreplident)) order by c.oid), '[]')
    from leaves l join pg_class c on c.oid = l.leaf where l.root = t.oid and c.relreplident in ('n', 'i')) as identities,
 (select coalesce(json_agg(polname order by polname), '[]') from pg_policy where polrelid = t.oid and polname !~ '^ladder_') as policies,
 (select coalesce(json_agg(json_build_object('name', p.pubname, 'scope', case when p.puballtables then 'all' when r.oid is not null then 'table' else 'schema' end) order by p.pubname), '[]')
    from pg_publication p left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = t.oid
    left join pg_publication_namespace n on n.pnpubid = p.oid and n.pnnspid = t.relnamespace
   where p.pubname !~ '^ladder_' and t.relkind in ('r', 'p') and (p.puballtables or r.oid is not null or n.oid is not null)) as publications
from own t order by 2, 3`;

/** All tables, foreign tables and views of the application: not the platform's, not those of extensions. */
export async function readRelations(client: pg.Client): Promise<Relation[]> {
  const { rows } = await client.query<Relation>(FACTS);
  for (const relation of rows) {
    if (relation.strays === null) continue;
    const { rows: found } = await client.query(`select from ${relation.strays} limit 1`);
    if (found.length === 0) relation.strays = null;
  }
  return rows;
}

/** A declared name is that of a table in schema public, or a schema and a table with a dot between them. */
export function splitName(declared: string): { schema: string; table: string } {
  const dot = declared.indexOf(".");
  return dot < 0 ? { schema: "public", table: declared } : { schema: declared.slice(0, dot), table: declared.slice(dot + 1) };
}

export function findRelation(relations: readonly Relation[], declared: string): Relation | undefined {
  const { schema, table } = splitName(declared);
  return relations.find((relation) => relation.schema === schema && relation.table === table);
}

/** A declared name for a relation. */
export const declaredName = ({ schema, table }: Relation): string => (schema === "public" ? table : `${schema}.${table}`);

/** What stands on a table's identity, and would stay with the old table when another one takes its name. */
export interface Dependent {
  oid: number;
  what: string;
  kind: "view" | "materialized view" | "grouped view" | "other";
  name: string;
}

const DEPENDENTS = `
with t as (select c.oid, c.reltype, y.typarray from pg_class c left join pg_type y on y.oid = c.reltype where c.oid = any ($1::oid[])),
 pointing as (select t.oid, d.classid, d.objid, d.refclassid from t join pg_depend d on d.deptype in ('n', 'a')
   and ((d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid) or (d.refclassid = 'pg_type'::regclass and d.refobjid in (t.reltype, t.typarray))))
select distinct p.oid, pg_describe_object('pg_class'::regclass, v.oid, 0) as what, format('%I.%I', v.relnamespace::regnamespace, v.relname) as name,
  case when v.relkind = 'm' then 'materialized view'
       when exists (select from pg_depend k join pg_constraint c on k.refclassid = 'pg_constraint'::regclass and c.oid = k.refobjid and c.conrelid = p.oid
                     where k.classid = 'pg_rewrite'::regclass and k.objid = r.oid) then 'grouped view'
       else 'view' end as kind
  from pointing p join pg_rewrite r on p.classid = 'pg_rewrite'::regclass and r.oid = p.objid join pg_class v on v.oid = r.ev_class where v.relkind in ('v', 'm')
union
select distinct p.oid, pg_describe_object(classid, objid, 0), '', 'other' from pointing p
 where (classid = 'pg_class'::regclass and refclassid = 'pg_type'::regclass or classid in ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_policy'::regclass, 'pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_trigger'::regclass))
   and not exists (select from pg_constraint c where classid = 'pg_constraint'::regclass and c.oid = objid and p.oid in (c.conrelid, c.confrelid))
   and not exists (select from pg_trigger c where classid = 'pg_trigger'::regclass and c.oid = objid and (c.tgrelid = p.oid or c.tgisinternal))
   and not exists (select from pg_policy c where classid = 'pg_policy'::regclass and c.oid = objid and c.polrelid = p.oid)
   and not exists (select from pg_attrdef c where classid = 'pg_attrdef'::regclass and c.oid = objid and c.adrelid = p.oid)
   and not (classid = 'pg_type'::regclass and objid in (select reltype from t union select typarray from t))
order by 1, 2`;

/** Of tables, by oid. */
export async function readDependents(client: pg.Client, oids: readonly number[]): Promise<Dependent[]> {
  const { rows } = await client.query<Dependent>(DEPENDENTS, [oids]);
  return rows;
}
