/** Replica identities: what an update or delete says of the old row has to contain the shard key, or its row filter fails the application's own statements. */
import type pg from "pg";
import { qualified } from "./sql.ts";
import type { ShardedTable } from "./types.ts";

/** Gives tables and partitions whose replica identity lacks the shard key the full row as theirs. */
export async function identify(client: pg.Client, tables: readonly ShardedTable[]): Promise<void> {
  for (const table of tables) {
    const { rows } = await client.query<{ name: string }>(
      `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p') and c.oid in (select relid from pg_partition_tree($1::regclass) union select $1::regclass) and c.relreplident <> 'f'
         and not exists (
           select from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attname = $2 and a.attnum = any (i.indkey)
           where i.indrelid = c.oid and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end)`,
      [qualified(table), table.key],
    );
    for (const { name } of rows) await client.query(`alter table ${name} replica identity full`);
  }
}
