/** The rehearsal's own table, in the application's schema, through the application's own URLs. */
import pg from "pg";
import { InputError, type Problem } from "../plan/types.ts";
import type { Kind, ServerRow } from "./model.ts";
import { clientConfig } from "./target.ts";

export const DEFAULT_TABLE = "ladder_rehearsal_writes";

const FETCH = 5000;

/** Operations on one row of the load's table; values are the row's user, its key, the client. */
export const writeSql = (table: string): Record<Kind, string> => ({
  insert: `insert into ${table} (user_id, key, client) values ($1, $2, $3) returning id`,
  update: `update ${table} set counter = counter + 1, changed_at = now() where user_id = $1 and key = $2 and client = $3`,
  delete: `delete from ${table} where user_id = $1 and key = $2 and client = $3`,
});

/** Reads one row; values are its user and its key. */
export const readSql = (table: string): string => `select counter from ${table} where user_id = $1 and key = $2`;

/** A table name goes into SQL as it is, and its sequence's name is eight letters longer, within PostgreSQL's 63. */
export function checkTable(table: string): Problem[] {
  return /^[a-z_][a-z0-9_]{0,54}$/.test(table) ? [] : [{ path: "table", got: table, want: "1 to 55 of a-z, 0-9 and _, no digit first" }];
}

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(clientConfig(url));
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * Makes the sequence and the table where they are missing, also as a migration of the application's. The sequence is explicit, as
 * facts/moves.md asks for tables that will move. The primary key has the column for `shardBy`, user_id, in it. `id` has no unique constraint
 * of its own, because none can be kept over shards: ids given twice are what the verdict looks for.
 */
export const tableSql = (table: string): string => `create sequence if not exists ${table}_id_seq;
create table if not exists ${table} (
  id bigint not null default nextval('${table}_id_seq'),
  user_id bigint not null,
  key uuid not null,
  client integer not null,
  counter bigint not null default 0,
  changed_at timestamptz not null default now(),
  primary key (user_id, key)
);
`;

/**
 * Makes the table where it is missing.
 * @throws InputError when the table holds rows: they belong to an earlier run, and every row must be this run's.
 */
export async function prepareTable(url: string, table: string): Promise<void> {
  const rows = await connected(url, async (client) => {
    await client.query("begin");
    await client.query("select pg_advisory_xact_lock(hashtext($1))", [table]);
    await client.query(tableSql(table));
    await client.query("commit");
    return (await client.query(`select 1 from ${table} limit 1`)).rowCount;
  });
  if (rows)
    throw new InputError("rehearsal", [{ path: "table", got: table, want: "an empty table: drop the earlier run's, or name another" }]);
}

/** Removes the table and its sequence. Only ever called when a person asks for it. */
export async function dropTable(url: string, table: string): Promise<void> {
  await connected(url, async (client) => {
    await client.query("begin");
    await client.query(`drop table if exists ${table}`);
    await client.query(`drop sequence if exists ${table}_id_seq`);
    await client.query("commit");
  });
}

/** Every row, sorted by key, from one snapshot, 5,000 at a time through a cursor, so that exact copies of a row are not skipped. */
export async function* tableRows(url: string, table: string): AsyncGenerator<ServerRow> {
  const client = new pg.Client(clientConfig(url));
  await client.connect();
  try {
    await client.query("begin transaction isolation level repeatable read");
    await client.query(
      `declare rehearsal_rows no scroll cursor for select user_id as user, key, id, counter from ${table} order by key, id`,
    );
    for (;;) {
      const { rows } = await client.query<Record<keyof ServerRow, string>>(`fetch ${FETCH} from rehearsal_rows`);
      for (const { user, key, id, counter } of rows) yield { user, key, id, counter: Number(counter) };
      if (rows.length < FETCH) break;
    }
    await client.query("commit");
  } finally {
    await client.end();
  }
}
