/** A server's rows as they were at one position of its log, from which on a slot has every change. */
import { pipeline } from "node:stream/promises";
import pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import { inTransaction, onServers } from "./session.ts";
import { qualified } from "./sql.ts";
import type { GlobalTable, Server } from "./types.ts";

/** Long transactions hold a new slot up for at most this long, ms. */
const SLOT_PATIENCE = 20_000;

/**
 * Makes a logical slot that survives a fail-over, and calls `use` with a session that reads the tables as they are where the slot begins. Writers
 * of the tables wait for as long as it takes to note that position.
 *
 * @throws 57014 when other transactions do not end within 20 s, 55P03 when a table is in use for long.
 */
export async function fromSlot(
  server: Server,
  slot: string,
  tables: readonly GlobalTable[],
  use: (reader: pg.Client) => Promise<void>,
): Promise<void> {
  await onServers([server, server], async ([keeper, reader]) => {
    await keeper!.query(`set statement_timeout = ${SLOT_PATIENCE}`);
    await keeper!.query("select pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)", [slot]);
    await reader!.query("set idle_in_transaction_session_timeout = 0");
    await inTransaction(reader!, async () => {
      await reader!.query("set transaction isolation level repeatable read");
      await keeper!.query("begin isolation level repeatable read");
      if (tables.length > 0) await keeper!.query(`lock table ${tables.map((table) => qualified(table)).join(", ")} in share mode`);
      const { rows } = await keeper!.query<{ snapshot: string }>("select pg_export_snapshot() as snapshot");
      await reader!.query(`set transaction snapshot ${pg.escapeLiteral(rows[0]!.snapshot)}`);
      await keeper!.query("select pg_replication_slot_advance($1, pg_logical_emit_message(false, 'ladder', '', true))", [slot]);
      await keeper!.query("commit");
      await use(reader!);
    });
  });
}

/** Columns that hold what is written; generated ones follow from them. */
const COLUMNS = `select array_agg(quote_ident(attname) order by attnum) as names from pg_attribute
  where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`;

/**
 * Makes tables equal to those that `reader` sees, in the caller's transaction: rows that differ are deleted, those that are missing inserted, by ladder_apply.
 * Foreign keys and triggers are not asked. The others are not touched.
 */
export async function equalize(reader: pg.Client, target: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  await target.query("set local session_replication_role = replica");
  for (const [at, table] of tables.entries()) {
    const name = qualified(table);
    const { rows } = await reader.query<{ names: string[] }>(COLUMNS, [name]);
    const { names } = rows[0]!;
    const columns = names.join(", ");
    const wanted = `pg_temp.ladder_wanted_${at}`;
    await target.query(`create temporary table ladder_wanted_${at} on commit drop as select ${columns} from ${name} with no data`);
    await pipeline(
      reader.query(copyTo(`copy (select ${columns} from ${name}) to stdout`)),
      target.query(copyFrom(`copy ${wanted} (${columns}) from stdin`)),
    );
    await target.query(`analyze ${wanted}; grant select on ${wanted} to ladder_apply`);
    // Checks, indexes and generated columns are the application's code.
    await target.query("set local role ladder_apply");
    await target.query(`delete from ${name} t where not exists (select from ${wanted} w where ${same(names)})`);
    await target.query(
      `insert into ${name} (${columns}) overriding system value select ${columns} from ${wanted} w where not exists (select from ${name} t where ${same(names)})`,
    );
    await target.query("reset role");
  }
  await target.query("set local session_replication_role = origin");
}

/** Some types have no equality: texts are compared. */
const same = (names: readonly string[]): string => {
  const row = (alias: string) => `row(${names.map((name) => `${alias}.${name}`).join(", ")})::text`;
  return `${row("t")} = ${row("w")}`;
};
