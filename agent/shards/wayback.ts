/** The way back: what is written on the shards comes to the tables as they were, which the gateway keeps in schema ladder_back. */
import pg from "pg";
import { allowTruncate, refuseTruncate } from "./fence.ts";
import { dropPublication, dropSlot, endStream, makeSlot, publish, readSlots } from "./replication.ts";
import { inTransaction, onServer } from "./session.ts";
import { qualified } from "./sql.ts";
import type { Fleet, ShardedTable } from "./types.ts";
import { BACK, backward, type Outcome, onShards, type Work } from "./work.ts";

const key = ({ key: column }: ShardedTable) => pg.escapeIdentifier(column);

/**
 * A root above the table, whose only partition the table is: changes are published under the root's name, which on the gateway is the name that the old table
 * has after the flip.
 */
async function makeRoot(client: pg.Client, table: ShardedTable): Promise<void> {
  const root = qualified(table, BACK);
  const { rows } = await client.query<{ columns: string | null; attached: boolean }>(
    `select (select string_agg(quote_ident(a.attname), ', ' order by k.n) from pg_index i, unnest(i.indkey) with ordinality k (attnum, n)
         join pg_attribute a on a.attrelid = $1::regclass and a.attnum = k.attnum where i.indrelid = $1::regclass and i.indisprimary) as columns,
       exists (select from pg_inherits where inhrelid = $1::regclass and inhparent = to_regclass($2)) as attached`,
    [qualified(table), root],
  );
  const { columns, attached } = rows[0]!;
  if (attached) return;
  if (columns === null) throw new Error(`${qualified(table)}: got no primary key, want one`);
  await inTransaction(client, async () => {
    await client.query(`create schema if not exists ${BACK}`);
    await client.query(`drop table if exists ${root}`);
    await client.query(
      `create table ${root} (like ${qualified(table)} including generated, primary key (${columns})) partition by range (${key(table)})`,
    );
    await client.query(`alter table ${root} attach partition ${qualified(table)} default`);
  });
}

/** On every shard before the flip, so that nothing that is written after it is missed. */
export async function prepareWayBack({ fleet, passing }: Work): Promise<Outcome> {
  await onShards(fleet, async (client, shard) => {
    for (const table of fleet.tables) await makeRoot(client, table);
    await refuseTruncate(client, fleet.tables);
    await publish(
      client,
      backward(shard),
      fleet.tables.map((table) => ({ relation: qualified(table, BACK) })),
    );
    await passing("a publication is made");
    await makeSlot(client, backward(shard));
  });
  return "done";
}

/** Takes the roots away again; what is not there is no matter. */
async function dropRoots(client: pg.Client, { tables }: Fleet): Promise<void> {
  for (const table of tables) {
    const { rows } = await client.query<{ attached: boolean }>(
      "select exists (select from pg_inherits where inhrelid = to_regclass($1) and inhparent = to_regclass($2)) as attached",
      [qualified(table), qualified(table, BACK)],
    );
    await inTransaction(client, async () => {
      if (rows[0]!.attached) await client.query(`alter table ${qualified(table, BACK)} detach partition ${qualified(table)}`);
      await client.query(`drop table if exists ${qualified(table, BACK)}`);
    });
  }
  await allowTruncate(client, tables);
}

/** Ends the way back on both ends; the old tables stay. */
export async function endWayBack({ gateway, fleet, passing }: Pick<Work, "gateway" | "fleet" | "passing">): Promise<void> {
  for (const shard of fleet.shards)
    await onServer(shard, async (client) => {
      await endStream(client, gateway, backward(shard));
      await passing("a way back has ended");
      await dropRoots(client, fleet);
    });
}

/** The same before there was a flip: nobody follows. */
export async function forgetWayBack({ fleet }: Pick<Work, "fleet">): Promise<void> {
  await onShards(fleet, async (client, shard) => {
    await dropSlot(client, backward(shard));
    await dropPublication(client, backward(shard));
    await dropRoots(client, fleet);
  });
}

/** What is wrong with the way back while it is kept; undefined when the old tables follow. */
export async function wayBackProblem({ fleet }: Pick<Work, "fleet">): Promise<string | undefined> {
  const problems = await onShards(fleet, async (client, shard) => {
    const [slot] = await readSlots(client, [backward(shard)]);
    if (!slot || slot.lost) return `${shard.database}: the log that the way back needs is gone: only ladder finish is left`;
    return undefined;
  });
  return problems.find((problem) => problem !== undefined);
}
