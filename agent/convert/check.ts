/** What stands in the way of a conversion: everything at once, each with what to do. Nothing is changed here. */
import pg from "pg";
import type { Partition } from "../../plan/config/tables.ts";
import { primaryKey, type Table } from "./catalog.ts";
import { statementFindings } from "./statements.ts";
import type { Direction, Finding } from "./store.ts";

const quote = pg.escapeIdentifier;

/** Types whose values have a period. */
const TIMES = /^(date|timestamp\(?\d?\)? with(out)? time zone)$/;

interface Surroundings {
  /** Foreign keys of other tables. */
  incoming: { name: string; table: string; columns: string[]; partitioned: boolean; own: boolean }[];
  /** Views and rules, with the statement that removes them. */
  rewrites: { what: string; kind: "view" | "materialized view" | "rule"; drop: string; byKey: boolean }[];
  publications: { name: string; scope: "table" | "schema" | "all" }[];
  /** What else points at the table's identity, in PostgreSQL's words. */
  others: string[];
  parents: string[];
  children: string[];
  typed: boolean;
  isPartition: boolean;
  /** Policies bind ladder_upkeep. */
  filtered: boolean;
  bytes: string;
}

const SURROUNDINGS = `
with t as (select c.*, y.typarray from pg_class c left join pg_type y on y.oid = c.reltype where c.oid = $1),
 pointing as (
  select d.* from t, pg_depend d where d.deptype in ('n', 'a')
     and ((d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid) or (d.refclassid = 'pg_type'::regclass and d.refobjid in (t.reltype, t.typarray)))),
 publications as (
  select p.pubname, case when p.puballtables then 'all' when r.oid is not null then 'table' else 'schema' end as scope
    from t, pg_publication p left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = $1
    left join pg_publication_namespace n on n.pnpubid = p.oid and n.pnnspid = (select relnamespace from pg_class where oid = $1)
   where p.puballtables or r.oid is not null or n.oid is not null)
select
 (select coalesce(json_agg(json_build_object('name', conname, 'table', conrelid::regclass::text, 'own', conrelid = confrelid,
    'partitioned', (select relkind = 'p' from pg_class where oid = conrelid),
    'columns', (select json_agg(attname) from pg_attribute where attrelid = confrelid and attnum = any (confkey))) order by conname), '[]')
    from pg_constraint where confrelid = $1 and contype = 'f' and conparentid = 0) as incoming,
 (select coalesce(json_agg(distinct jsonb_build_object(
    'what', pg_describe_object('pg_class'::regclass, v.oid, 0),
    'kind', case when v.oid = $1 then 'rule' when v.relkind = 'm' then 'materialized view' else 'view' end,
    'drop', case when v.oid = $1 then format('drop rule %I on %s', r.rulename, v.oid::regclass) else format('drop materialized view %s', v.oid::regclass) end,
    'byKey', exists (select from pg_depend k join pg_constraint c on k.refclassid = 'pg_constraint'::regclass and c.oid = k.refobjid and c.conrelid = $1
                      where k.classid = 'pg_rewrite'::regclass and k.objid = r.oid))), '[]')
    from pointing p join pg_rewrite r on p.classid = 'pg_rewrite'::regclass and r.oid = p.objid join pg_class v on v.oid = r.ev_class) as rewrites,
 (select coalesce(json_agg(json_build_object('name', pubname, 'scope', scope) order by pubname), '[]') from publications) as publications,
 (select coalesce(json_agg(distinct pg_describe_object(classid, objid, 0)), '[]') from pointing p
   where classid not in ('pg_rewrite'::regclass, 'pg_publication_rel'::regclass)
     and not (classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass)
     and not exists (select from pg_constraint c where classid = 'pg_constraint'::regclass and c.oid = objid and $1 in (c.conrelid, c.confrelid))
     and not exists (select from pg_trigger c where classid = 'pg_trigger'::regclass and c.oid = objid and c.tgrelid = $1)
     and not exists (select from pg_policy c where classid = 'pg_policy'::regclass and c.oid = objid and c.polrelid = $1)
     and not exists (select from pg_attrdef c where classid = 'pg_attrdef'::regclass and c.oid = objid and c.adrelid = $1)
     and not exists (select from pg_statistic_ext c where classid = 'pg_statistic_ext'::regclass and c.oid = objid and c.stxrelid = $1)) as others,
 (select coalesce(json_agg(inhparent::regclass::text), '[]') from pg_inherits where inhrelid = $1) as parents,
 (select coalesce(json_agg(inhrelid::regclass::text), '[]') from pg_inherits where inhparent = $1) as children,
 reloftype <> 0 as typed, relispartition as "isPartition", relrowsecurity and not (select rolsuper or rolbypassrls from pg_roles where rolname = 'ladder_upkeep') as filtered,
 pg_size_pretty(pg_total_relation_size($1) + coalesce((select sum(pg_total_relation_size(relid)) from pg_partition_tree($1)), 0)) as bytes
from t`;

/**
 * All that a conversion of the table would trip over ("blocks") or change for the application ("costs").
 * `declaration` is null when a partitioned table shall become whole again.
 */
export async function checkTable(client: pg.Client, table: Table, direction: Direction, declaration: Partition | null): Promise<Finding[]> {
  const { rows } = await client.query<Surroundings>(SURROUNDINGS, [table.oid]);
  const around = rows[0]!;
  const by = declaration?.by;
  return [
    ...keyFindings(table, by),
    ...columnFindings(table, declaration),
    ...indexFindings(table, by),
    ...constraintFindings(table),
    ...surroundingFindings(table, around, direction, by),
    ...(await statementFindings(client, table, by)),
    {
      object: table.name,
      level: "costs",
      why: "both tables are there until the conversion is finished",
      fix: `about ${around.bytes} of free disk, and as much WAL`,
    },
  ];
}

const block = (object: string, why: string, fix: string): Finding => ({ object, level: "blocks", why, fix });
const cost = (object: string, why: string, fix: string): Finding => ({ object, level: "costs", why, fix });

function keyFindings(table: Table, by: string | undefined): Finding[] {
  const key = primaryKey(table);
  if (!key) return [block(table.name, "it has no primary key", `alter table ${table.name} add primary key (…)`)];
  const found: Finding[] = [];
  const columns = key.columns.map(quote).join(", ");
  if (key.deferrable)
    found.push(
      block(`${table.name}, ${key.name}`, "the primary key is deferrable", "make one that is not: ON CONFLICT cannot use a deferrable one"),
    );
  if (by !== undefined && !key.columns.includes(by))
    found.push(
      cost(
        `${table.name}, ${key.name}`,
        `the primary key becomes (${columns}, ${quote(by)}): (${columns}) alone is no longer unique by itself`,
        `ON CONFLICT (${columns}) has to become ON CONFLICT (${columns}, ${quote(by)}); queries by ${columns} alone look into every partition`,
      ),
    );
  return found;
}

function columnFindings(table: Table, declaration: Partition | null): Finding[] {
  if (!declaration) return [];
  const column = table.columns.find(({ name }) => name === declaration.by);
  const object = `${table.name}.${quote(declaration.by)}`;
  if (!column)
    return [block(object, "there is no such column", `one of ${table.columns.map(({ name }) => name).join(", ")} in the declaration`)];
  const found: Finding[] = [];
  if (declaration.kind === "range" && !TIMES.test(column.type))
    found.push(block(object, `its type is ${column.type}`, "a column of type date, timestamp or timestamptz in the declaration"));
  if (column.generated)
    found.push(block(object, "it is a generated column", "a column that is stored as it is written in the declaration"));
  if (!column.notNull)
    found.push(
      block(
        object,
        "it accepts NULL, and a partition column is part of the primary key",
        `alter table ${table.name} add constraint ladder_not_null check (${quote(declaration.by)} is not null) not valid; ` +
          `alter table ${table.name} validate constraint ladder_not_null; alter table ${table.name} alter ${quote(declaration.by)} set not null; ` +
          `alter table ${table.name} drop constraint ladder_not_null`,
      ),
    );
  return found;
}

function indexFindings(table: Table, by: string | undefined): Finding[] {
  return table.indexes.flatMap((index) => {
    const object = `${table.name}, ${index.name}`;
    const drop = index.constraint
      ? `alter table ${table.name} drop constraint ${quote(index.name)}`
      : `drop index concurrently ${quote(table.schema)}.${quote(index.name)}`;
    if (!index.valid) return [block(object, "the index is not valid", drop)];
    if (index.constraint === "p") return [];
    if (index.constraint === "x") return [block(object, "an exclusion constraint", drop)];
    if (index.deferrable) return [block(object, "a deferrable unique constraint", drop)];
    if (index.unique && by !== undefined && !index.columns.includes(by))
      return [
        block(object, `unique over all partitions without ${quote(by)} in it`, `${drop}; or a table of its own for what has to be unique`),
      ];
    return [];
  });
}

function constraintFindings(table: Table): Finding[] {
  const alter = `alter table ${table.name}`;
  return [
    ...table.constraints.flatMap(({ name, kind, valid, noInherit }) => [
      ...(kind === "f"
        ? [
            cost(
              `${table.name}, ${name}`,
              "the table that it points at is referenced by the copy as well: TRUNCATE of both tables without CASCADE fails until the conversion is finished",
              "TRUNCATE … CASCADE, or TRUNCATE afterwards",
            ),
          ]
        : []),
      ...(valid ? [] : [block(`${table.name}, ${name}`, "the constraint is not validated", `${alter} validate constraint ${quote(name)}`)]),
      ...(noInherit
        ? [
            block(
              `${table.name}, ${name}`,
              "the check is not inherited",
              `make it without NO INHERIT: ${alter} drop constraint ${quote(name)}`,
            ),
          ]
        : []),
    ]),
    ...table.triggers
      .filter((trigger) => trigger.rowTransition)
      .map(({ name }) => block(`${table.name}, ${name}`, "a row trigger with a transition table", "make it FOR EACH STATEMENT")),
    ...(table.persistence === "p" ? [] : [block(table.name, "it is unlogged: its rows are on no replica", `${alter} set logged`)]),
    ...(table.replicaIdentity === "i" ? [block(table.name, "its replica identity is an index", `${alter} replica identity default`)] : []),
  ];
}

function surroundingFindings(table: Table, around: Surroundings, direction: Direction, by: string | undefined): Finding[] {
  const found = around.incoming.map((reference) => referenceFinding(table, reference, by));
  const extended = by !== undefined && !primaryKey(table)?.columns.includes(by);
  for (const { what, kind, drop, byKey } of around.rewrites) {
    if (kind !== "view")
      found.push(
        block(what, kind === "rule" ? "it has a rule" : `it reads ${table.name} by its identity`, `${drop}; make it again afterwards`),
      );
    else if (byKey && extended)
      found.push(block(what, "its GROUP BY relies on the primary key, which changes", "name all columns in GROUP BY"));
    else found.push(cost(what, "the view is made again in the swap", "its owner, grants and options stay"));
  }
  for (const { name, scope } of around.publications) {
    const fix = {
      table: `alter publication ${quote(name)} drop table ${table.name}`,
      schema: `alter publication ${quote(name)} drop tables in schema ${quote(table.schema)}`,
      all: `drop publication ${quote(name)}`,
    };
    found.push(block(`publication ${name}`, "it publishes the table, and would publish its copy or nothing", fix[scope]));
  }
  for (const other of around.others)
    found.push(block(other, `it depends on ${table.name} by its identity`, "drop it, and make it again afterwards"));
  if (around.isPartition) found.push(block(table.name, `it is a partition of ${around.parents.join(", ")}`, "declare the parent"));
  else if (around.parents.length > 0)
    found.push(
      block(table.name, `it inherits from ${around.parents.join(", ")}`, `alter table ${table.name} no inherit ${around.parents[0]}`),
    );
  if (direction === "partition" && around.children.length > 0)
    found.push(
      block(table.name, `${around.children.join(", ")} inherit from it`, `alter table ${around.children[0]} no inherit ${table.name}`),
    );
  if (around.typed) found.push(block(table.name, "it is a table of a composite type", `alter table ${table.name} not of`));
  if (around.filtered && table.runner !== table.owner)
    found.push(
      block(
        table.name,
        "its row-level policies would hide rows from ladder_upkeep",
        `alter role ladder_upkeep bypassrls; or alter table ${table.name} no force row level security`,
      ),
    );
  return found;
}

/** A foreign key of another table needs the columns that it points at to stay unique. */
function referenceFinding(
  table: Table,
  { name, table: from, columns, partitioned, own }: Surroundings["incoming"][number],
  by?: string,
): Finding {
  const object = `${from}, ${name}`;
  const drop = `alter table ${from} drop constraint ${quote(name)}`;
  if (by !== undefined && !columns.includes(by))
    return block(
      object,
      `a foreign key to ${table.name} (${columns.map(quote).join(", ")}), which is no longer unique without ${quote(by)}`,
      `${drop}; or make it point at ${quote(by)} as well`,
    );
  if (own) return block(object, "a foreign key from the table to itself", `${drop}; make it again when the conversion is finished`);
  if (partitioned)
    return block(
      object,
      "a foreign key of a partitioned table: it cannot be made without a long lock",
      `${drop}; make it again afterwards`,
    );
  return cost(object, "the foreign key is made again in the swap, and validated after it", "writers of both tables wait for the swap");
}

/** `public.events, events_slug_key: unique over all partitions without "created_at" in it; do: …` */
export const describeFinding = ({ object, why, fix }: Finding): string => `${object}: ${why}; do: ${fix}`;
