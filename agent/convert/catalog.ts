/** What a table is, read from PostgreSQL's catalogs: everything that its copy has to have too. */
import type pg from "pg";
import type { KeyColumn } from "./store.ts";

export interface Column {
  name: string;
  type: string;
  notNull: boolean;
  /** a: always, d: by default. */
  identity: "" | "a" | "d";
  generated: boolean;
  /** Set only where they differ from the default. */
  statistics: number | null;
  /** n_distinct and n_distinct_inherited; a server may keep others there for itself. */
  options: string[] | null;
  comment: string | null;
}

export interface Index {
  name: string;
  definition: string;
  columns: string[];
  unique: boolean;
  valid: boolean;
  /** Of the constraint that stands on it: p, u or x. */
  constraint: "p" | "u" | "x" | null;
  constraintDefinition: string | null;
  deferrable: boolean;
  /** Columns that are only carried along. */
  included: string[];
  comment: string | null;
}

export interface Constraint {
  name: string;
  kind: "c" | "f";
  definition: string;
  valid: boolean;
  noInherit: boolean;
  comment: string | null;
}

export interface Trigger {
  name: string;
  definition: string;
  enabled: string;
  /** For each row, with old or new rows as a table. */
  rowTransition: boolean;
  comment: string | null;
}

export interface Grant {
  column: string | null;
  privilege: string;
  grantee: string;
  grantable: boolean;
}

export interface Table {
  oid: number;
  schema: string;
  table: string;
  /** Quoted, with its schema. */
  name: string;
  kind: "r" | "p";
  persistence: "p" | "u" | "t";
  owner: string;
  /**
   * Who reads and writes rows for the conversion: checks, index expressions and generated columns are the application's code, which must not run
   * with the administrator's rights. Its owner; where that one may not do everything with all rows, ladder_upkeep.
   */
  runner: string;
  replicaIdentity: "d" | "n" | "f" | "i";
  rowSecurity: boolean;
  forceRowSecurity: boolean;
  /** Storage parameters, those of its TOAST table with their prefix. Of a partitioned table: its first partition's. */
  options: string[];
  tablespace: string | null;
  comment: string | null;
  columns: Column[];
  indexes: Index[];
  constraints: Constraint[];
  triggers: Trigger[];
  grants: Grant[];
  /** The grants are all there is: not even the owner has others. */
  granted: boolean;
  /** CREATE STATISTICS, as PostgreSQL writes it. */
  statistics: { name: string; definition: string }[];
}

const DESCRIBE = `
with t as (select c.*, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $1),
 stored as (select c.* from pg_class c where c.oid = coalesce((select min(inhrelid) from pg_inherits where inhparent = $1), $1)),
 grants as (
   select null::name as col, a.* from t, aclexplode(relacl) a where a.grantee <> 'ladder_upkeep'::regrole
   union all select attname, a.* from pg_attribute, aclexplode(attacl) a where attrelid = $1 and attnum > 0 and not attisdropped)
select t.oid, t.nspname as schema, t.relname as table, format('%I.%I', t.nspname, t.relname) as name, t.relkind as kind, t.relpersistence as persistence,
 t.relowner::regrole::text as owner,
 case when t.relforcerowsecurity or exists (select from unnest('{select,insert,update,delete,truncate}'::text[]) p where not has_table_privilege(t.relowner, t.oid, p))
   then 'ladder_upkeep' else t.relowner::regrole::text end as runner, t.relreplident as "replicaIdentity", t.relrowsecurity as "rowSecurity", t.relforcerowsecurity as "forceRowSecurity",
 coalesce((select reloptions from stored), '{}') || coalesce((select array_agg('toast.' || o) from stored s join pg_class k on k.oid = s.reltoastrelid,
   unnest(k.reloptions) o), '{}') as options,
 (select spcname from pg_tablespace s where s.oid = t.reltablespace) as tablespace, obj_description(t.oid, 'pg_class') as comment,
 (select json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod), 'notNull', attnotnull, 'identity', attidentity,
    'generated', attgenerated <> '', 'statistics', nullif(attstattarget, -1), 'options', (select array_agg(o) from unnest(attoptions) o where o ~ '^n_distinct(_inherited)?='), 'comment', col_description(attrelid, attnum)) order by attnum)
    from pg_attribute where attrelid = t.oid and attnum > 0 and not attisdropped) as columns,
 (select coalesce(json_agg(json_build_object('name', k.relname, 'definition', pg_get_indexdef(i.indexrelid), 'unique', i.indisunique, 'valid', i.indisvalid,
    'columns', (select coalesce(json_agg(a.attname order by o), '[]') from unnest(i.indkey::int2[]) with ordinality u(n, o)
       join pg_attribute a on a.attrelid = t.oid and a.attnum = u.n where o <= i.indnkeyatts),
    'included', (select coalesce(json_agg(a.attname order by o), '[]') from unnest(i.indkey::int2[]) with ordinality u(n, o)
       join pg_attribute a on a.attrelid = t.oid and a.attnum = u.n where o > i.indnkeyatts),
    'constraint', c.contype, 'constraintDefinition', pg_get_constraintdef(c.oid), 'deferrable', coalesce(c.condeferrable, false),
    'comment', coalesce(obj_description(c.oid, 'pg_constraint'), obj_description(k.oid, 'pg_class'))) order by k.relname), '[]')
    from pg_index i join pg_class k on k.oid = i.indexrelid left join pg_constraint c on c.conindid = i.indexrelid and c.conrelid = t.oid and c.contype in ('p', 'u', 'x')
   where i.indrelid = t.oid) as indexes,
 (select coalesce(json_agg(json_build_object('name', conname, 'kind', contype, 'definition', pg_get_constraintdef(oid), 'valid', convalidated,
    'noInherit', connoinherit and contype = 'c', 'comment', obj_description(oid, 'pg_constraint')) order by conname), '[]') from pg_constraint where conrelid = t.oid and contype in ('c', 'f')) as constraints,
 (select coalesce(json_agg(json_build_object('name', tgname, 'definition', pg_get_triggerdef(oid), 'enabled', tgenabled,
    'rowTransition', tgtype & 1 = 1 and coalesce(tgoldtable, tgnewtable) is not null, 'comment', obj_description(oid, 'pg_trigger')) order by tgname), '[]')
    from pg_trigger where tgrelid = t.oid and not tgisinternal and tgparentid = 0 and tgname not in ('ladder_sync', 'ladder_sync_truncate')) as triggers,
 (select coalesce(json_agg(json_build_object('column', col, 'privilege', privilege_type, 'grantable', is_grantable,
    'grantee', case grantee when 0 then 'public' else grantee::regrole::text end)), '[]') from grants) as grants, t.relacl is not null as granted,
 (select coalesce(json_agg(json_build_object('name', stxname, 'definition', pg_get_statisticsobjdef(oid))), '[]')
    from pg_statistic_ext where stxrelid = t.oid) as statistics
from t`;

/** Everything about a table; undefined when there is none. Names are quoted for a search_path of pg_catalog only. */
export async function describeTable(client: pg.Client, oid: number): Promise<Table | undefined> {
  const { rows } = await client.query<Table>(DESCRIBE, [oid]);
  return rows[0];
}

/** The table or partitioned table of that name. */
export async function findTable(
  client: pg.Client,
  declared: string,
): Promise<{ oid: number; kind: string; schema: string; table: string } | undefined> {
  const dot = declared.indexOf(".");
  const [schema, table] = dot < 0 ? ["public", declared] : [declared.slice(0, dot), declared.slice(dot + 1)];
  const { rows } = await client.query<{ oid: number; kind: string; schema: string; table: string }>(
    `select c.oid, relkind as kind, nspname as schema, relname as table from pg_class c join pg_namespace n on n.oid = relnamespace
      where nspname = $1 and relname = $2 and relkind in ('r', 'p')`,
    [schema, table],
  );
  return rows[0];
}

export const primaryKey = (table: Table): Index | undefined => table.indexes.find((index) => index.constraint === "p");

/** Columns of an index with their types. */
export const keyOf = (table: Table, names: readonly string[]): KeyColumn[] =>
  names.map((name) => ({ name, type: table.columns.find((column) => column.name === name)!.type }));

/** Schemas, beside pg_catalog, of the operators that compare the columns of the primary key. */
export async function operatorSchemas(client: pg.Client, table: Table): Promise<string[]> {
  const { rows } = await client.query<{ schema: string }>(
    `select distinct n.nspname as schema from pg_index i, unnest(i.indclass::oid[]) class
       join pg_opclass c on c.oid = class join pg_amop m on m.amopfamily = c.opcfamily join pg_operator o on o.oid = m.amopopr
       join pg_namespace n on n.oid = o.oprnamespace
      where i.indrelid = $1 and i.indisprimary and n.nspname <> 'pg_catalog'`,
    [table.oid],
  );
  return rows.map((row) => row.schema);
}
