/** What the gateway's objects are called. */
import pg from "pg";
import { partitionName } from "../../convert/partitions.ts";
import type { GlobalTable } from "../types.ts";

/** Schemas of sql/platform/0097. */
export const NEW = "ladder_new";
export const BACK = "ladder_back";
export const READ = "ladder_read";
export const PARTITIONS = "ladder_shards";

/** A tree's partitions are on the shards' primaries or on their replicas. */
export type Side = "write" | "read";

export const serverName = (shard: number, side: Side): string => (side === "write" ? `shard_${shard}` : `shard_${shard}_read`);

/** Quoted, with its schema. */
export const partitionOf = ({ table }: Pick<GlobalTable, "table">, shard: number, side: Side): string =>
  named(PARTITIONS, partitionName(table, side === "write" ? `_${shard}` : `_${shard}_read`));

export const named = (schema: string, table: string): string => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;

/** Where a table's tree and the table that it replaces are. */
export interface Place {
  /** Oid of the table itself, as it was before the climb. */
  old: number | null;
  /** The tree has the table's name. */
  swapped: boolean;
  tree: number | null;
}

/** A tree is a table with partitions in the gateway's schema for them. */
export async function placeOf(gateway: pg.Client, { schema, table }: GlobalTable): Promise<Place> {
  const { rows } = await gateway.query<{ schema: string; oid: number; tree: boolean }>(
    `select n.nspname as schema, c.oid, exists (select from pg_inherits i join pg_class p on p.oid = i.inhrelid
        where i.inhparent = c.oid and p.relkind = 'f' and p.relnamespace = $4::regnamespace) as tree
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relname = $2 and n.nspname = any (array[$1::text, $3, $5]) and c.relkind in ('r', 'p')`,
    [schema, table, NEW, PARTITIONS, BACK],
  );
  const at = (place: string) => rows.find((row) => row.schema === place);
  const here = at(schema);
  if (here?.tree) return { old: at(BACK)?.oid ?? null, swapped: true, tree: here.oid };
  return { old: here?.oid ?? null, swapped: false, tree: at(NEW)?.oid ?? null };
}
