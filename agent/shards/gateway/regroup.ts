/** Trees follow a change of the shards. */
import type pg from "pg";
import type { ShardClass } from "../../../plan/shards.ts";
import type { Fleet, ShardedTable } from "../types.ts";
import { named, PARTITIONS, partitionOf, READ, type Side } from "./names.ts";
import { bounds, partitionStatements } from "./trees.ts";

/**
 * Gives each shard's partitions the bounds of its new class; a shard with none leaves the trees, and one that is new joins them. Part of the
 * caller's transaction, which holds the locks of `lockNames`; the servers of new shards are settled before. Repeatable.
 *
 * @param classes by shard index; all of them together have every row once.
 */
export async function regroup(gateway: pg.Client, fleet: Fleet, classes: readonly (ShardClass | null)[]): Promise<void> {
  for (const table of fleet.tables) {
    await regroupTree(gateway, table, named(table.schema, table.table), "write", classes);
    if (table.schema === "public") await regroupTree(gateway, table, named(READ, table.table), "read", classes);
  }
}

async function regroupTree(
  gateway: pg.Client,
  table: ShardedTable,
  tree: string,
  side: Side,
  classes: readonly (ShardClass | null)[],
): Promise<void> {
  const { rows } = await gateway.query<{ name: string; bound: string; owner: string }>(
    `select format('"%s"."%s"', n.nspname, replace(p.relname, '"', '""')) as name, lower(pg_get_expr(p.relpartbound, p.oid)) as bound, p.relowner::regrole::text as owner
       from pg_inherits i join pg_class p on p.oid = i.inhrelid join pg_namespace n on n.oid = p.relnamespace where i.inhparent = $1::regclass`,
    [tree],
  );
  const owner = rows[0]?.owner;
  if (owner === undefined) throw new Error(`${tree}: got no partitions, want a tree over the shards`);
  const present = (name: string) => rows.find((row) => row.name === name);
  const wanted = classes.flatMap((of, index) => (of === null ? [] : [{ index, class: of, name: partitionOf(table, index, side) }]));
  const kept = (name: string, bound: string) => wanted.some((one) => one.name === name && bounds(one.class) === bound);
  const leaving = rows.filter(({ name, bound }) => !kept(name, bound));
  const joining = wanted.filter((one) => !kept(one.name, present(one.name)?.bound ?? ""));
  const statements = [
    ...leaving.map(({ name }) => `alter table ${tree} detach partition ${name}`),
    ...leaving.filter(({ name }) => !wanted.some((one) => one.name === name)).map(({ name }) => `drop foreign table ${name}`),
    `grant create on schema ${PARTITIONS} to ${owner}`,
    ...joining.flatMap((one) =>
      present(one.name)
        ? [`alter table ${tree} attach partition ${one.name} ${bounds(one.class)}`]
        : partitionStatements(tree, table, owner, one, side),
    ),
    `revoke create on schema ${PARTITIONS} from ${owner}`,
  ];
  for (const statement of statements) await gateway.query(statement);
}
