/** Trees: partitioned tables without rows of their own, whose partitions are the shards' tables. */
import { createHash } from "node:crypto";
import type pg from "pg";
import { escapeLiteral as literal, escapeIdentifier as quote } from "pg";
import type { ShardClass } from "../../../plan/shards.ts";
import { grantStatements } from "../../convert/build.ts";
import { describeTable, type Table } from "../../convert/catalog.ts";
import type { Fleet, Shard, ShardedTable } from "../types.ts";
import { NEW, named, PARTITIONS, partitionOf, placeOf, READ, type Side, serverName } from "./names.ts";
import { buildReadViews } from "./read-views.ts";
import { disownSequences } from "./sequences.ts";

export const bounds = ({ modulus, remainder }: ShardClass): string => `for values with (modulus ${modulus}, remainder ${remainder})`;

/** A partition; its owner needs to be the tree's, for changes of definition, and has no other right. Administration guards and warms it. */
export const partitionStatements = (
  tree: string,
  table: ShardedTable,
  owner: string,
  { index, class: of }: Pick<Shard, "index" | "class">,
  side: Side,
): string[] => {
  const partition = partitionOf(table, index, side);
  return [
    `create foreign table ${partition} partition of ${tree} ${bounds(of)} server ${serverName(index, side)}
       options (schema_name ${literal(table.schema)}, table_name ${literal(table.table)})`,
    `alter table ${partition} owner to ${owner}`,
    `revoke all on ${partition} from ${owner}, public`,
    `grant select, trigger on ${partition} to current_user`,
  ];
};

interface Policy {
  name: string;
  permissive: boolean;
  command: string;
  roles: string;
  using: string | null;
  check: string | null;
}

const COMMANDS: Readonly<Record<string, string>> = { "*": "all", r: "select", a: "insert", w: "update", d: "delete" };

async function policiesOf(gateway: pg.Client, oid: number): Promise<Policy[]> {
  const { rows } = await gateway.query<Policy>(
    `select polname as name, polpermissive as permissive, polcmd as command, pg_get_expr(polqual, polrelid) as using, pg_get_expr(polwithcheck, polrelid) as check,
        (select string_agg(case r when 0 then 'public' else r::regrole::text end, ', ') from unnest(polroles) r) as roles
       from pg_policy where polrelid = $1 and polname <> 'ladder_tenant_gateway' order by polname`,
    [oid],
  );
  return rows;
}

const policyStatements = (tree: string, policies: readonly Policy[]): string[] =>
  policies.map(
    ({ name, permissive, command, roles, using, check }) =>
      `create policy ${quote(name)} on ${tree} as ${permissive ? "permissive" : "restrictive"} for ${COMMANDS[command]} to ${roles}${using === null ? "" : ` using (${using})`}${check === null ? "" : ` with check (${check})`}`,
  );

/** Row security, its policies, owner and rights: who may do what with the table may do it with the tree. */
const rights = (table: Table, tree: string, policies: readonly Policy[]): string[] => [
  ...(table.rowSecurity ? [`alter table ${tree} enable row level security`] : []),
  ...(table.forceRowSecurity ? [`alter table ${tree} force row level security`] : []),
  ...policyStatements(tree, policies),
  ...grantStatements(
    { ...table, grants: table.grants.filter(({ privilege }) => privilege !== "TRIGGER" && privilege !== "REFERENCES") },
    tree,
  ),
];

/** Why a table cannot become a tree, in words; PostgreSQL would say less, or nothing. */
function refuse({ name, columns, persistence }: Table, { key }: ShardedTable): void {
  const identity = columns.filter((column) => column.identity !== "").map((column) => column.name);
  const reasons = [
    ...(identity.length > 0
      ? [`got identity columns ${identity.join(", ")}, want defaults with nextval: an identity restarts when its table is copied`]
      : []),
    ...(columns.some((column) => column.name === key && column.notNull)
      ? []
      : [`got a shard key ${key} that may be null or is missing, want a column with not null`]),
    ...(persistence === "p" ? [] : ["got a table that is not logged, want one that is: it cannot be copied by replication"]),
  ];
  if (reasons.length > 0) throw new Error(reasons.map((reason) => `${name}: ${reason}`).join("\n"));
}

/** The tree that will take the table's name. */
function writeTree(table: Table, sharded: ShardedTable, policies: readonly Policy[], shards: readonly Shard[]): string[] {
  const tree = named(NEW, sharded.table);
  return [
    `create table ${tree} (like ${table.name} including all excluding identity excluding indexes excluding statistics) partition by hash (${quote(sharded.key)})`,
    ...(table.comment === null ? [] : [`comment on table ${tree} is ${literal(table.comment)}`]),
    ...rights(table, tree, policies),
    ...(table.rowSecurity ? [policyTrigger(tree)] : []),
    ...owned(tree, sharded, table.owner, shards, "write"),
  ];
}

/** Who reads the table, its owner among them for views. */
const readers = ({ owner, grants }: Table): Table["grants"] => [
  ...grants.filter(({ privilege }) => privilege === "SELECT"),
  { column: null, privilege: "SELECT", grantee: owner, grantable: false },
];

/** Columns only: nothing is written through it. */
function readTree(table: Table, sharded: ShardedTable, policies: readonly Policy[], shards: readonly Shard[]): string[] {
  const tree = named(READ, sharded.table);
  const columns = table.columns.map(({ name, type, notNull }) => `${quote(name)} ${type}${notNull ? " not null" : ""}`);
  return [
    `create table ${tree} (${columns.join(", ")}) partition by hash (${quote(sharded.key)})`,
    ...rights({ ...table, granted: true, grants: readers(table) }, tree, policies),
    ...owned(tree, sharded, table.owner, shards, "read"),
  ];
}

/** PostgreSQL asks no policy about rows that go to a foreign table. Costs batches, so it is there only where there are policies. */
async function holdPolicies(gateway: pg.Client, { oid, name, rowSecurity }: Pick<Table, "oid" | "name" | "rowSecurity">): Promise<void> {
  const { rowCount } = await gateway.query("select from pg_trigger where tgrelid = $1 and tgname = $2", [oid, POLICY_TRIGGER]);
  if (rowSecurity === (rowCount === 1)) return;
  await gateway.query(rowSecurity ? policyTrigger(name) : `drop trigger ${POLICY_TRIGGER} on ${name}`);
}

const POLICY_TRIGGER = "ladder_policies";
const policyTrigger = (tree: string): string =>
  `create trigger ${POLICY_TRIGGER} before insert or update on ${tree} for each row execute function ladder.hold_policies()`;

/** A role that is no superuser may give a table only to somebody who may create in the schema. */
const owned = (tree: string, sharded: ShardedTable, owner: string, shards: readonly Shard[], side: Side): string[] => {
  const schemas = `schema ${PARTITIONS}, ${side === "write" ? NEW : READ}`;
  return [
    `grant create on ${schemas} to ${owner}`,
    `alter table ${tree} owner to ${owner}`,
    ...shards.flatMap((shard) => partitionStatements(tree, sharded, owner, shard, side)),
    `revoke create on ${schemas} from ${owner}`,
  ];
};

/** One message to the server: a transaction of its own, or part of the caller's. */
const together = (gateway: pg.Client, statements: readonly string[]) => gateway.query(statements.join(";\n"));

/**
 * Makes the trees of all sharded tables: the one that the flip puts in the table's place, made anew as long as it is not there, and the one over
 * the replicas, made anew where the table's definition or the shards have changed; so again after migrations. Sequences are taken from their
 * columns, to stay where they are. After the flip also where row security was switched on or off. Fails with every reason for which a table cannot have a tree. Repeatable, also after the flip.
 */
export async function buildTrees(gateway: pg.Client, fleet: Fleet): Promise<void> {
  const doubled = fleet.tables.filter(({ table }, at) => fleet.tables.findIndex((other) => other.table === table) !== at);
  if (doubled.length > 0)
    throw new Error(`tables: got ${doubled.map(({ table }) => table).join(", ")} in two schemas, want names of sharded tables to differ`);
  for (const sharded of fleet.tables) {
    const { old, swapped, tree } = await placeOf(gateway, sharded);
    const from = swapped ? tree : old;
    const table = from === null ? undefined : await describeTable(gateway, from);
    if (!table) throw new Error(`${sharded.schema}.${sharded.table}: got no such table, want one`);
    const policies = await policiesOf(gateway, table.oid);
    if (swapped) await holdPolicies(gateway, table);
    else {
      refuse(table, sharded);
      await disownSequences(gateway, { tables: [sharded] });
      await together(gateway, [
        ...(tree === null ? [] : [`drop table ${named(NEW, sharded.table)}`]),
        ...writeTree(table, sharded, policies, fleet.shards),
      ]);
    }
    if (sharded.schema === "public") await buildReadTree(gateway, sharded, readTree(table, sharded, policies, fleet.shards));
  }
  await buildReadViews(gateway, fleet);
}

async function buildReadTree(gateway: pg.Client, { table }: ShardedTable, statements: readonly string[]): Promise<void> {
  const tree = named(READ, table);
  const hash = createHash("sha256").update(statements.join("\n")).digest("hex");
  const { rows } = await gateway.query<{ hash: string | null }>("select obj_description(to_regclass($1), 'pg_class') as hash", [tree]);
  if (rows[0]!.hash === hash) return;
  await together(gateway, [`drop table if exists ${tree} cascade`, ...statements, `comment on table ${tree} is ${literal(hash)}`]);
}

/**
 * Drops every tree that is not in its table's place, and fails while one is. Fails as well where something of the application hangs on one. Repeatable.
 */
export async function dropTrees(gateway: pg.Client): Promise<void> {
  const { rows } = await gateway.query<{ name: string; schema: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name, n.nspname as schema from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'p' and (n.nspname in ($2, $3) or exists (select from pg_inherits i join pg_class p on p.oid = i.inhrelid
        where i.inhparent = c.oid and p.relkind = 'f' and p.relnamespace = $1::regnamespace)) order by 1`,
    [PARTITIONS, NEW, READ],
  );
  const of = (place: string) => rows.filter(({ schema }) => schema === place).map(({ name }) => name);
  const used = rows.filter(({ schema }) => schema !== NEW && schema !== READ).map(({ name }) => name);
  if (used.length > 0) throw new Error(`trees: got ${used.join(", ")} in use, want the way back gone first`);
  for (const name of of(READ)) await gateway.query(`drop table ${name} cascade`);
  for (const name of of(NEW)) await gateway.query(`drop table ${name}`);
}
