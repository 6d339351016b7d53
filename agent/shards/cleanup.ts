/** Rows on a shard that are not, or no longer, its own: hidden, deleted in small pieces, and refused by a CHECK. */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { ShardClass } from "../../plan/shards.ts";
import { letApply } from "./replication.ts";
import { inTransaction } from "./session.ts";
import { classCondition, qualified } from "./sql.ts";
import type { ShardedTable } from "./types.ts";

/** The CHECK on every sharded table of a shard. Routers know it by its name. */
const CHECK = "ladder_bucket";
/** Commits under it are not replicated to who wants only what was first written here. */
const ORIGIN = "ladder_cleanup";
/** Blocks that are looked through in one transaction: at first, and how long one shall take, ms. */
const FIRST_BLOCKS = 128;
const PIECE = 100;

/**
 * Hides the rows of a class from everybody whom row security binds. Locks the table against everybody until the transaction ends. Hidden before it may
 * come or after it has left: the statements that name a partition itself still see the rows.
 *
 * @throws 55000 for a table with a restrictive policy that some of its roles need not obey: they would have to.
 */
export async function hideClass(client: pg.Client, table: ShardedTable, hidden: ShardClass): Promise<void> {
  await client.query("select ladder.hide_class($1::regclass, $2, $3, $4)", [
    qualified(table),
    hidden.modulus,
    hidden.remainder,
    classCondition(table, hidden),
  ]);
}

/** Makes row security what it was before. Locks the table against everybody until the transaction ends. */
export async function showClass(client: pg.Client, table: ShardedTable): Promise<void> {
  await client.query("select ladder.show_class($1::regclass)", [qualified(table)]);
}

/**
 * Lets the table take the rows of a class only: at once for new rows; those that there are, are for `validateClass`. Locks the table against everybody until
 * the transaction ends.
 *
 * @param replicated rows of this class may come by replication as well: of a shard that is about to be merged into this one.
 */
export async function requireClass(client: pg.Client, table: ShardedTable, own: ShardClass, replicated?: ShardClass): Promise<void> {
  const condition =
    replicated === undefined
      ? classCondition(table, own)
      : `${classCondition(table, own)} or (${classCondition(table, replicated)} and current_setting('session_replication_role') = 'replica')`;
  const name = qualified(table);
  await client.query(`alter table ${name} drop constraint if exists ${CHECK}, add constraint ${CHECK} check (${condition}) not valid`);
}

/** Looks through the rows that are not yet known to obey the CHECK, partition by partition, until `end` (performance.now). Answers whether all do. */
export async function validateClass(client: pg.Client, table: ShardedTable, end = Infinity): Promise<boolean> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
      where k.conname = $2 and not k.convalidated and c.oid in (select relid from pg_partition_tree($1::regclass) union select $1::regclass)
      order by c.relkind = 'p', c.oid = $1::regclass, name`,
    [qualified(table), CHECK],
  );
  for (const { name } of rows) {
    if (performance.now() >= end) return false;
    await client.query(`alter table ${name} validate constraint ${CHECK}`);
  }
  return true;
}

interface Hidden {
  modulus: number;
  remainder: number;
  part: string | null;
  block: number;
}

/** The class that is hidden in a table. */
export async function hiddenClass(client: pg.Client, { schema, table }: ShardedTable): Promise<Hidden | undefined> {
  const { rows } = await client.query<Hidden>(
    "select modulus, remainder, part, block::float8 as block from ladder.hidden_class where (schema, name) = ($1, $2)",
    [schema, table],
  );
  return rows[0];
}

/** Whether the administrator may delete rows without those hearing of it who want only what was first written here. */
export async function mayDelete(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ may: boolean }>(
    `select bool_and(has_function_privilege(current_user, f, 'execute')) as may
       from unnest('{pg_replication_origin_create(text), pg_replication_origin_session_setup(text), pg_replication_origin_oid(text)}'::text[]) f`,
  );
  return rows[0]!.may;
}

/**
 * Sets a session up for deleting what has moved: no trigger fires, and no subscriber that wants only what was first written here hears of it, where the
 * server lets the administrator do that.
 *
 * @returns whether it does.
 * @throws 55006 while another session deletes.
 */
export async function prepareDeletion(client: pg.Client): Promise<boolean> {
  await client.query("set session_replication_role = replica");
  if (!(await mayDelete(client))) return false;
  await client.query("select pg_replication_origin_create($1) where pg_replication_origin_oid($1) is null", [ORIGIN]);
  await client.query("select pg_replication_origin_session_setup($1)", [ORIGIN]);
  return true;
}

/** Ends what `prepareDeletion` began; with `last` nothing of it stays on the server. */
export async function endDeletion(client: pg.Client, last: boolean): Promise<void> {
  await client.query("select pg_replication_origin_session_reset()");
  if (last) await client.query("select pg_replication_origin_drop($1)", [ORIGIN]);
  await client.query("set session_replication_role = origin");
}

/**
 * Deletes hidden rows of a table, some blocks at a time, and rests as long as it works. Ends after the piece with which `end` (performance.now) is reached,
 * and goes on from there.
 *
 * @returns rows deleted, and whether it has been through the whole table; then it would begin again.
 */
export async function deleteHidden(client: pg.Client, table: ShardedTable, end = Infinity): Promise<{ deleted: number; done: boolean }> {
  const hidden = await hiddenClass(client, table);
  let deleted = 0;
  if (!hidden) return { deleted, done: true };
  await letApply(client, [qualified(table)]);
  const { rows: parts } = await client.query<{ name: string; blocks: number }>(
    `select format('%I.%I', n.nspname, c.relname) as name, (pg_relation_size(c.oid) / current_setting('block_size')::int)::float8 as blocks
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and c.oid in (select relid from pg_partition_tree($1::regclass) union select $1::regclass) order by format('%I.%I', n.nspname, c.relname) collate "C"`,
    [qualified(table)],
  );
  let size = FIRST_BLOCKS;
  for (const { name, blocks } of parts) {
    if (hidden.part !== null && name < hidden.part) continue;
    for (let block = name === hidden.part ? hidden.block : 0; block < blocks; ) {
      const begun = performance.now();
      const next = Math.min(block + size, blocks);
      deleted += await inTransaction(client, async () => {
        await client.query("update ladder.hidden_class set part = $3, block = $4 where (schema, name) = ($1, $2)", [
          table.schema,
          table.table,
          name,
          next,
        ]);
        await client.query("set local role ladder_apply");
        const { rowCount } = await client.query(
          `delete from only ${name} where ctid >= '(${block},0)'::tid and ctid < '(${next},0)'::tid and ${classCondition(table, hidden)}`,
        );
        return rowCount ?? 0;
      });
      block = next;
      const took = performance.now() - begun;
      size = Math.max(8, Math.min(Math.round((size * PIECE) / Math.max(took, 1)), 2 * size, 16_384));
      if (performance.now() >= end) return { deleted, done: false };
      await sleep(took);
    }
  }
  await client.query("update ladder.hidden_class set part = null, block = 0 where (schema, name) = ($1, $2)", [table.schema, table.table]);
  return { deleted, done: true };
}
