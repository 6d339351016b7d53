/** The flip's part on the gateway: tables and trees change places. */
import type pg from "pg";
import { escapeIdentifier as quote } from "pg";
import type { Fleet, ShardedTable } from "../types.ts";
import { textsOf } from "./follow.ts";
import { BACK, NEW, named, placeOf, READ } from "./names.ts";
import { disownSequences } from "./sequences.ts";
import { settleSessions } from "./servers.ts";

const moved = (schema: string, table: string, to: string): string => `alter table ${named(schema, table)} set schema ${quote(to)}`;

/** Runs the moves, and gives the views and functions of what had the names to what has them now. */
async function change(gateway: pg.Client, oids: readonly number[], moves: readonly string[]): Promise<void> {
  const texts = await textsOf(gateway, oids);
  for (const statement of [...moves, ...texts]) await gateway.query(statement);
}

const grantCreate = async (
  gateway: pg.Client,
  tables: readonly ShardedTable[],
  schemas: string,
  verb: "grant" | "revoke",
): Promise<void> => {
  const { rows } = await gateway.query<{ owner: string }>(
    "select distinct relowner::regrole::text as owner from pg_class where oid = any ($1::text[]::regclass[])",
    [tables.map(({ schema, table }) => named(schema, table))],
  );
  for (const { owner } of rows)
    await gateway.query(
      verb === "grant" ? `grant create on schema ${schemas} to ${owner}` : `revoke create on schema ${schemas} from ${owner}`,
    );
};

/**
 * Puts the trees in the tables' places, and the tables into ladder_back; app_ro's next sessions read from the replicas. Part of the caller's
 * transaction, which holds the locks of `lockNames`. Trees that are in place already are left alone.
 */
export async function swapIn(gateway: pg.Client, fleet: Fleet): Promise<void> {
  const waiting = await placed(gateway, fleet, false);
  const missing = waiting.filter(({ place }) => place.old === null || place.tree === null).map(({ table }) => table.table);
  if (missing.length > 0) throw new Error(`trees: got none for ${missing.join(", ")}, want them built first`);
  const tables = waiting.map(({ table }) => table);
  await disownSequences(gateway, { tables });
  await grantCreate(gateway, tables, `${BACK}, ${NEW}`, "grant");
  await change(
    gateway,
    waiting.map(({ place }) => place.old!),
    tables.flatMap(({ schema, table }) => [moved(schema, table, BACK), moved(NEW, table, schema)]),
  );
  await grantCreate(gateway, tables, `${BACK}, ${NEW}`, "revoke");
  await settleSessions(gateway, fleet, true);
}

/**
 * The way back: the tables from ladder_back have their names again. The trees over the replicas are dropped, because sessions that were there before
 * still look for names among them first. Part of the caller's transaction, which holds the locks. Repeatable.
 */
export async function swapOut(gateway: pg.Client, fleet: Fleet): Promise<void> {
  const swapped = await placed(gateway, fleet, true);
  const missing = swapped.filter(({ place }) => place.old === null).map(({ table }) => table.table);
  if (missing.length > 0) throw new Error(`${BACK}: got no ${missing.join(", ")}, want the tables as they were before the flip`);
  const tables = swapped.map(({ table }) => table);
  await disownSequences(gateway, { tables });
  await grantCreate(gateway, tables, `${BACK}, ${NEW}`, "grant");
  await change(
    gateway,
    swapped.map(({ place }) => place.tree!),
    tables.flatMap(({ schema, table }) => [moved(schema, table, NEW), moved(BACK, table, schema)]),
  );
  await grantCreate(gateway, tables, `${BACK}, ${NEW}`, "revoke");
  for (const { table } of fleet.tables) await gateway.query(`drop table if exists ${named(READ, table)} cascade`);
  await settleSessions(gateway, fleet, false);
}

async function placed(gateway: pg.Client, { tables }: Fleet, swapped: boolean) {
  const places = [];
  for (const table of tables) places.push({ table, place: await placeOf(gateway, table) });
  return places.filter(({ place }) => place.swapped === swapped);
}
