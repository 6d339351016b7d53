/** The copy as it begins: empty, and in everything else what the table is. */
import pg from "pg";
import type { Partition } from "../../plan/config/tables.ts";
import { primaryKey, type Table } from "./catalog.ts";
import { type NewPartition, partitionBy } from "./partitions.ts";

const quote = pg.escapeIdentifier;
const literal = pg.escapeLiteral;

/** The platform's role that moves rows. */
const UPKEEP = "ladder_upkeep";

/** Names of a conversion's own schemas: of the copy before the swap, and of the old table after it. */
export const newSchema = (id: string): string => `ladder_convert_${id}`;
export const oldSchema = (id: string): string => `ladder_kept_${id}`;
export const copyName = (id: string, table: string): string => `${quote(newSchema(id))}.${quote(table)}`;

/** Statements of the table itself: columns, checks, keys, indexes, triggers (they sleep), rights. Without foreign keys and partitions. */
export function tableStatements(id: string, table: Table, declaration: Partition | null): string[] {
  const copy = copyName(id, table.table);
  const split = declaration ? ` ${partitionBy(declaration, quote(declaration.by))}` : "";
  const stored = declaration ? "" : withOptions(table);
  const place = table.tablespace === null ? "" : ` tablespace ${quote(table.tablespace)}`;
  return [
    `create schema ${quote(newSchema(id))}`,
    `create schema ${quote(oldSchema(id))}`,
    `grant usage, create on schema ${quote(newSchema(id))}, ${quote(oldSchema(id))} to ${table.owner}, ladder_upkeep`,
    `create table ${copy} (like ${table.name} including all excluding indexes excluding statistics)${split}${stored}${place}`,
    ...indexStatements(table, copy, declaration?.by),
    ...table.statistics.map(({ definition }) => movedStatistics(definition, id, table)),
    ...table.columns.flatMap(({ name, statistics, options }) => [
      ...(statistics === null ? [] : [`alter table ${copy} alter ${quote(name)} set statistics ${statistics}`]),
      ...(options === null ? [] : [`alter table ${copy} alter ${quote(name)} set (${options.join(", ")})`]),
    ]),
    ...(table.comment === null ? [] : [`comment on table ${copy} is ${literal(table.comment)}`]),
    ...identityStatements(id, table),
    ...triggerStatements(table, copy),
    ...rowSecurity(table, copy),
    ...replicaIdentity(table, copy),
    `alter table ${copy} owner to ${table.owner}`,
    ...grantStatements(table, copy),
    ...writerGrants(table, copy),
  ];
}

/** What ladder_upkeep needs to measure the table. */
export const readerGrants = ({ runner, schema, name }: Table): string[] =>
  runner === UPKEEP ? [`grant usage on schema ${quote(schema)} to ${UPKEEP}`, `grant select on ${name} to ${UPKEEP}`] : [];

/** What it needs to keep both tables equal, until the conversion is finished or undone. */
const writerGrants = ({ runner, name }: Table, copy: string): string[] =>
  runner === UPKEEP ? [`grant select, insert, update, delete, truncate on ${name}, ${copy} to ${UPKEEP}`] : [];

/** Its owner may have given rights away; defaults of the role that makes the copy may have given it more. */
export const grantStatements = ({ grants, granted, owner }: Table, name: string): string[] => [
  `do $ladder$
declare
  role text;
begin
  for role in select distinct case grantee when 0 then 'public' else grantee::regrole::text end
      from pg_class, aclexplode(relacl) where oid = ${literal(name)}::regclass ${granted ? "" : "and grantee <> relowner"} loop
    execute format('revoke all on %s from %s', ${literal(name)}, role);
  end loop;
end $ladder$`,
  ...(granted ? [`revoke all on ${name} from ${owner}`] : []),
  ...grants.map(
    ({ column, privilege, grantee, grantable }) =>
      `grant ${privilege}${column === null ? "" : ` (${quote(column)})`} on ${name} to ${grantee}${grantable ? " with grant option" : ""}`,
  ),
];

/** Policies are the whole table's; a partition that is named directly must not lead around them. */
const rowSecurity = ({ rowSecurity: enabled, forceRowSecurity: forced }: Table, name: string): string[] => [
  ...(enabled ? [`alter table ${name} enable row level security`] : []),
  ...(forced ? [`alter table ${name} force row level security`] : []),
];

const withOptions = ({ options }: Table): string => (options.length === 0 ? "" : ` with (${options.join(", ")})`);

const replicaIdentity = ({ replicaIdentity: kind }: Table, name: string): string[] =>
  kind === "f" ? [`alter table ${name} replica identity full`] : kind === "n" ? [`alter table ${name} replica identity nothing`] : [];

function indexStatements(table: Table, copy: string, by: string | undefined): string[] {
  const key = primaryKey(table)!;
  return table.indexes.flatMap((index) => {
    const made = index.constraint
      ? `alter table ${copy} add constraint ${quote(index.name)} ${index === key ? keyDefinition(index, by) : index.constraintDefinition}`
      : index.definition.replace(/ ON (ONLY )?("(?:[^"]|"")+"|[^\s".]+)\.("(?:[^"]|"")+"|[^\s".]+) USING /, () => ` ON ${copy} USING `);
    const what = index.constraint ? `constraint ${quote(index.name)} on ${copy}` : `index ${copy.split(".")[0]}.${quote(index.name)}`;
    return index.comment === null ? [made] : [made, `comment on ${what} is ${literal(index.comment)}`];
  });
}

function keyDefinition({ columns, included, constraintDefinition }: Table["indexes"][number], by: string | undefined): string {
  if (by === undefined || columns.includes(by)) return constraintDefinition!;
  const carried = included.filter((name) => name !== by).map(quote);
  return `primary key (${[...columns, by].map(quote).join(", ")})${carried.length === 0 ? "" : ` include (${carried.join(", ")})`}`;
}

/** `CREATE STATISTICS schema.name …  FROM schema.table`, with both names of the copy's schema. */
function movedStatistics(definition: string, id: string, table: Table): string {
  const name = /^CREATE STATISTICS (?:"(?:[^"]|"")+"|[^\s".]+)\.("(?:[^"]|"")+"|[^\s".]+)/.exec(definition)!;
  return `CREATE STATISTICS ${quote(newSchema(id))}.${name[1]}${definition.slice(name[0].length).replace(/ FROM .*$/s, () => ` FROM ${copyName(id, table.table)}`)}`;
}

/** An identity's sequence has the old one's name and grants; its position is set in the swap. */
function identityStatements(id: string, table: Table): string[] {
  return table.columns
    .filter(({ identity }) => identity !== "")
    .map(
      ({ name }) => `do $ladder$
declare
  old regclass := pg_get_serial_sequence(${literal(table.name)}, ${literal(name)});
  new regclass := pg_get_serial_sequence(${literal(copyName(id, table.table))}, ${literal(name)});
  item record;
begin
  if (select relname from pg_class where oid = old) <> (select relname from pg_class where oid = new) then
    execute format('alter sequence %s rename to %I', new, (select relname from pg_class where oid = old));
  end if;
  for item in select privilege_type, case grantee when 0 then 'public' else grantee::regrole::text end as role
      from pg_class, aclexplode(relacl) where oid = old loop
    execute format('grant %s on sequence %s to %s', item.privilege_type, new, item.role);
  end loop;
end $ladder$`,
    );
}

function triggerStatements(table: Table, copy: string): string[] {
  return table.triggers.flatMap(({ name, definition, comment }) => [
    definition.replace(` ON ${table.name} `, () => ` ON ${copy} `),
    `alter table ${copy} disable trigger ${quote(name)}`,
    ...(comment === null ? [] : [`comment on trigger ${quote(name)} on ${copy} is ${literal(comment)}`]),
  ]);
}

/** One statement for each foreign key: each locks another table against writes while it is made. */
export const foreignKeyStatements = (id: string, table: Table): string[][] =>
  table.constraints
    .filter(({ kind }) => kind === "f")
    .map(({ name, definition, comment }) => {
      const copy = copyName(id, table.table);
      // Within a statement the table in use is changed first, and SET CONSTRAINTS reaches that one only: the other one checks at the end of a
      // transaction.
      const late = / INITIALLY DEFERRED$/.test(definition)
        ? ""
        : / DEFERRABLE$/.test(definition)
          ? " initially deferred"
          : " deferrable initially deferred";
      return [
        `alter table ${copy} add constraint ${quote(name)} ${definition}${late}`,
        ...(comment === null ? [] : [`comment on constraint ${quote(name)} on ${copy} is ${literal(comment)}`]),
      ];
    });

/** Statements of one partition. It is in the table's schema from the start, so that the swap moves one name only. */
export function partitionStatements(id: string, table: Table, { name, bounds }: NewPartition): string[] {
  const partition = `${quote(table.schema)}.${quote(name)}`;
  const targets = table.columns.filter(({ statistics }) => statistics !== null);
  return [
    `create table ${partition} partition of ${copyName(id, table.table)} ${bounds}${withOptions(table)}`,
    ...targets.map(({ name: column, statistics }) => `alter table ${partition} alter ${quote(column)} set statistics ${statistics}`),
    ...replicaIdentity(table, partition),
    ...rowSecurity(table, partition),
    `alter table ${partition} owner to ${table.owner}`,
    ...grantStatements(table, partition),
  ];
}

/** Drops what a conversion has made, as far as it is there. The table that is not in use goes, the other one stays. Part of the
 * caller's transaction. */
export async function dropCopy(client: pg.Client, id: string, source: number | null, target: number | null): Promise<void> {
  await client.query("set local ladder.converting = 'on'");
  const { rows } = await client.query<{ name: string; copy: boolean }>(
    `select format('%I.%I', nspname, relname) as name, c.oid is not distinct from $2::oid as copy
       from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid in ($1::oid, $2::oid) order by copy`,
    [source, target],
  );
  for (const { name, copy } of rows) {
    // DROP TRIGGER alone would lock partitions before their table: the other way round than writers.
    await client.query(`lock table only ${name} in access exclusive mode`);
    await client.query(copy ? `drop table ${name}` : `drop trigger if exists ladder_sync on ${name}`);
    if (!copy) await client.query(`drop trigger if exists ladder_sync_truncate on ${name}; revoke all on ${name} from ${UPKEEP}`);
  }
  await client.query(`drop schema if exists ${quote(newSchema(id))} cascade; drop schema if exists ${quote(oldSchema(id))} cascade`);
  await client.query("update ladder.conversion set target = null, changed = clock_timestamp() where id = $1", [id]);
}
