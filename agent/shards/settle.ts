/** What follows the application's migrations where rows are on shards: new tables move there, trees and copies go along with the others. */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { TableConfig } from "../../plan/config/tables.ts";
import { InputError, type Problem } from "../../plan/types.ts";
import { requireClass, validateClass } from "./cleanup.ts";
import { buildTrees, lockNames, ownSequences, swapIn } from "./gateway/index.ts";
import { guardShard, settleGlobals } from "./globals.ts";
import { lockAll } from "./locks.ts";
import { isWhole, readMap } from "./map.ts";
import { partitionTable } from "./partitions.ts";
import { letApply } from "./replication.ts";
import { giveRanges } from "./sequences.ts";
import { alone, inTransaction, onServer } from "./session.ts";
import { qualified } from "./sql.ts";
import { lastRun, moveUnderWay } from "./store.ts";
import type { Fleet, Shard, ShardedTable } from "./types.ts";

export interface SettleOptions {
  fleet: Fleet;
  /** What is declared, by name. */
  tables: Readonly<Record<string, TableConfig>>;
  /** Definitions of global tables have changed. */
  globalsChanged: boolean;
}

/** Rows that a new table may have on the gateway: they go to the shards while it is locked. */
const MOST_ROWS = 10_000;

/** The shards that have rows, with the classes that they have now; undefined where rows are on one server. */
async function placed(gateway: pg.Client, fleet: Fleet): Promise<Fleet | undefined> {
  const map = await readMap(gateway);
  if (!map || isWhole(map, fleet)) return undefined;
  const shards = fleet.shards.flatMap((shard) => {
    const buckets = map.shards.flatMap((at, bucket) => (map.databases[at] === shard.database ? [bucket] : []));
    if (buckets.length === 0) return [];
    const modulus = map.shards.length / buckets.length;
    return [{ ...shard, class: { modulus, remainder: buckets[0]! % modulus } }];
  });
  return { ...fleet, shards };
}

/**
 * Makes trees, global copies and guards follow the migrations, and puts tables onto the shards that were declared since. Before the flip of a climb
 * there is nothing to do: the mover does it. Safe to repeat.
 *
 * @throws InputError naming declared tables that have too many rows on the gateway to move at once; 55P03 when a table is in use.
 */
export async function settleShards(options: SettleOptions): Promise<void> {
  await onServer(options.fleet.gateway, async (gateway) => {
    if (!(await placed(gateway, options.fleet))) return;
    await holdMover(gateway);
    const fleet = await placed(gateway, options.fleet);
    if (!fleet) return;
    const whole = await wholeTables(gateway, fleet.tables);
    const there: Fleet = { ...fleet, tables: fleet.tables.filter((table) => !whole.includes(table)) };
    for (const shard of fleet.shards) {
      await openTo(shard, there);
      await giveRanges(fleet.gateway, shard, there);
    }
    await buildTrees(gateway, there);
    await settleGlobals(there, { again: options.globalsChanged });
    const moving = await moveUnderWay(gateway);
    if (moving !== undefined) {
      if (whole.length > 0) fleet.log(`tables: ${whole.map(({ table }) => table).join(", ")}: on the gateway for now, because ${moving}`);
      return;
    }
    await refuseLarge(gateway, whole);
    await noteTables(gateway, there);
    for (const [at, table] of whole.entries()) {
      const settled = { ...fleet, tables: [...there.tables, ...whole.slice(0, at + 1)] };
      await adopt(gateway, settled, table, options.tables);
    }
  });
}

const LOOK = 200;
const LOOKS = 600;

/** The mover changes nothing as long as the session lasts. @throws Error when it is at one piece of work for two minutes. */
async function holdMover(gateway: pg.Client): Promise<void> {
  for (let looks = 0; looks < LOOKS; looks++) {
    if (await alone(gateway)) return;
    await sleep(LOOK);
  }
  throw new Error("shards: got the mover at work for two minutes, want a moment between its steps: run it again");
}

/** What the next move is about: the tables that are on shards now. */
async function noteTables(gateway: pg.Client, { tables, globals }: Fleet): Promise<void> {
  const run = await lastRun(gateway);
  if (!run) return;
  const subject = { ...run.subject, tables, globals };
  await gateway.query("update ladder.move set detail = detail || jsonb_build_object('subject', $2::jsonb) where id = $1", [
    run.steps[0]!.id,
    JSON.stringify(subject),
  ]);
}

/** Those that are no trees. */
async function wholeTables(gateway: pg.Client, tables: readonly ShardedTable[]): Promise<ShardedTable[]> {
  const { rows } = await gateway.query<{ tree: boolean }>(
    `select exists (select from pg_inherits i join pg_class k on k.oid = i.inhrelid and k.relkind = 'f' where i.inhparent = to_regclass(t)) as tree
     from unnest($1::text[]) with ordinality w (t, place) order by place`,
    [tables.map((table) => qualified(table))],
  );
  return tables.filter((_, at) => !rows[at]!.tree);
}

/**
 * Keeps the copies of global tables where rows are on shards, and repairs those that were lost; for the mover, which nobody else may be at meanwhile.
 *
 * @returns what was done, by shard.
 */
export async function followGlobals(fleet: Fleet): Promise<string[]> {
  const there = await onServer(fleet.gateway, async (gateway) => {
    const now = await placed(gateway, fleet);
    const whole = now ? await wholeTables(gateway, now.tables) : [];
    return now && { ...now, tables: now.tables.filter((table) => !whole.includes(table)) };
  });
  return there ? settleGlobals(there) : [];
}

/**
 * Drops the trees over the replicas whose tables have other columns now, in the caller's transaction: until `settleShards` has made them anew, app_ro
 * finds the tree of the same name over the primaries.
 */
export async function dropStaleTrees(gateway: pg.Client): Promise<void> {
  const { rows } = await gateway.query<{ name: string }>(
    `with shown as (
       select c.oid, c.relname, c.relnamespace::regnamespace::text as schema,
         (select array_agg(attname || ' ' || format_type(atttypid, atttypmod) order by attnum) from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped) as columns
         from pg_class c where c.relkind = 'p' and c.relnamespace in ('public'::regnamespace, 'ladder_read'::regnamespace))
     select format('%I.%I', r.schema, r.relname) as name from shown r left join shown t on t.relname = r.relname and t.schema = 'public'
      where r.schema = 'ladder_read' and r.columns is distinct from t.columns order by 1`,
  );
  for (const { name } of rows) await gateway.query(`drop table ${name} cascade`);
}

async function refuseLarge(gateway: pg.Client, tables: readonly ShardedTable[]): Promise<void> {
  const problems: Problem[] = [];
  for (const table of tables) {
    const { rows } = await gateway.query<{ large: boolean }>(
      `select count(*) > ${MOST_ROWS} as large from (select from ${qualified(table)} limit ${MOST_ROWS + 1}) r`,
    );
    if (rows[0]!.large)
      problems.push({
        path: `tables.${table.table}.shardBy`,
        got: `a table with more than ${MOST_ROWS} rows on the gateway, declared after the climb`,
        want: "its declaration before the climb: back to stage 3 first, or none",
      });
  }
  if (problems.length > 0) throw new InputError("tables", problems);
}

/** The gateway's rights, which new tables and those with row security need. */
const openTo = (shard: Shard, { tables, globals }: Pick<Fleet, "tables" | "globals">): Promise<unknown> =>
  onServer(shard, (client) =>
    client.query("select ladder.open_to_gateway(array(select to_regclass(t) from unnest($1::text[]) t where to_regclass(t) is not null))", [
      [...tables, ...globals].map((table) => qualified(table)),
    ]),
  );

/**
 * A table that is new on the shards: as the climb would have made it there; then the gateway's has its rows there and becomes a tree. `fleet` has it
 * and all others that are on shards.
 */
async function adopt(gateway: pg.Client, fleet: Fleet, table: ShardedTable, declared: SettleOptions["tables"]): Promise<void> {
  const only: Fleet = { ...fleet, tables: [table] };
  const name = qualified(table);
  const partition = (declared[table.table] ?? declared[`${table.schema}.${table.table}`])?.partition;
  for (const shard of fleet.shards) {
    await guardShard(shard, fleet);
    if (partition) await partitionTable(shard, table, partition, () => undefined);
    await giveRanges(fleet.gateway, shard, only);
    await openTo(shard, { tables: [table], globals: [] });
    await onServer(shard, async (client) => {
      await letApply(client, [name]);
      await requireClass(client, table, shard.class);
      await validateClass(client, table);
      await client.query("select ladder.adopt_partitions(relation) from ladder.kept_table where relation = to_regclass($1)", [name]);
    });
  }
  await buildTrees(gateway, only);
  const { rows } = await gateway.query<{ columns: string }>(
    "select string_agg(quote_ident(attname), ', ' order by attnum) as columns from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
    [name],
  );
  const { columns } = rows[0]!;
  await inTransaction(gateway, async () => {
    await lockAll(gateway, await lockNames(gateway, only));
    await swapIn(gateway, only);
    await gateway.query(`insert into ${name} (${columns}) select ${columns} from ${qualified(table, "ladder_back")}`);
    await gateway.query(`drop table ${qualified(table, "ladder_back")}`);
    await noteTables(gateway, fleet);
  });
  await ownSequences(gateway, only);
  fleet.log(`${table.schema}.${table.table}: on ${fleet.shards.length} shards`);
}
