/** Secondary indexes of a shard's tables: away while rows are copied, made again afterwards. */
import pg from "pg";
import { qualified } from "./sql.ts";
import type { GlobalTable } from "./types.ts";

export interface Index {
  schema: string;
  name: string;
  definition: string;
}

/** Indexes of the tables themselves, without their partitions' and without those that keep rows apart. */
export async function secondaryIndexes(client: pg.Client, tables: readonly GlobalTable[]): Promise<Index[]> {
  const { rows } = await client.query<Index>(
    `select n.nspname as schema, c.relname as name,
       replace(pg_get_indexdef(c.oid), format(' ON ONLY %I.', n.nspname), format(' ON %I.', n.nspname)) as definition
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where i.indrelid = any (select r::regclass from unnest($1::text[]) r) and not i.indisunique and not i.indisreplident and not c.relispartition
       and not exists (select from pg_constraint k where k.conindid = c.oid)
     order by c.relname`,
    [tables.map((table) => qualified(table))],
  );
  return rows;
}

export async function dropIndexes(client: pg.Client, indexes: readonly Index[]): Promise<void> {
  for (const { schema, name } of indexes)
    await client.query(`drop index if exists ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`);
}

/** Those of the indexes that are not there. */
export async function missingIndexes(client: pg.Client, indexes: readonly Index[]): Promise<Index[]> {
  const { rows } = await client.query<{ name: string }>(
    "select format('%s.%s', schemaname, indexname) as name from pg_indexes where (schemaname, indexname) in (select * from unnest($1::name[], $2::name[]))",
    [indexes.map(({ schema }) => schema), indexes.map(({ name }) => name)],
  );
  const there = new Set(rows.map(({ name }) => name));
  return indexes.filter(({ schema, name }) => !there.has(`${schema}.${name}`));
}
