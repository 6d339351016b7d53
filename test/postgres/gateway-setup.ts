/** A gateway with two shards and a few tables behind it, as the tests of the gateway need them. */
import type { Client } from "pg";
import { buildTrees, lockNames, settleServers, swapIn } from "../../agent/shards/gateway/index.ts";
import { classCondition } from "../../agent/shards/sql.ts";
import type { Fleet, ShardedTable } from "../../agent/shards/types.ts";
import { startShards, type TestFleet } from "../support/shards.ts";

export const MESSAGES: ShardedTable = { schema: "public", table: "messages", key: "user_id", keyType: "bigint" };
export const ACCOUNTS: ShardedTable = { schema: "public", table: "accounts", key: "id", keyType: "bigint" };

/** What the application's migrations make everywhere. */
const TABLES = `
create sequence messages_id;
create table messages (
  id bigint not null default nextval('messages_id'), user_id bigint not null, created_at timestamptz not null default now(),
  body text not null constraint messages_short check (char_length(body) <= 100), words integer generated always as (array_length(string_to_array(body, ' '), 1)) stored,
  primary key (user_id, id));
alter sequence messages_id owned by messages.id;
create index messages_body on messages (body);
create table accounts (id bigint primary key, balance bigint not null);
create table countries (code text primary key, name text not null);
comment on table messages is 'What users say';
comment on column messages.body is 'Its text';
grant select (id) on messages to ladder_monitor;
create view recent with (security_barrier = true) as select id, user_id, body from messages where created_at > now() - interval '1 day';
create view spoken as select user_id, count(*) as messages from recent group by user_id;
create function message_count(bigint) returns bigint language sql stable begin atomic select count(*) from messages where user_id = $1; end;
`;

/** Tables on every server, the check of the class and the gateway's rights on the shards. */
export async function prepareTables(fleet: Fleet): Promise<void> {
  for (const server of [fleet.gateway, ...fleet.shards]) {
    const client = await server.connect();
    await client.query("set role app");
    await client.query(TABLES);
    await client.query("reset role");
    if ("class" in server) {
      const shard = server as Fleet["shards"][number];
      for (const table of fleet.tables)
        await client.query(`alter table ${table.table} add constraint ladder_bucket check (${classCondition(table, shard.class)})`);
      await client.query("select ladder.open_to_gateway('{messages, accounts, countries}')");
    }
    await client.end();
  }
}

/** The flip without the mover: the old tables are empty. */
export async function flip(gateway: Client, fleet: Fleet): Promise<void> {
  await gateway.query("begin");
  await gateway.query(`lock table ${(await lockNames(gateway, fleet)).join(", ")} in access exclusive mode`);
  await swapIn(gateway, fleet);
  await gateway.query("commit");
}

/** Two tables behind the gateway. */
export async function startGateway(shards: number): Promise<{ test: TestFleet; admin: Client }> {
  const test = await startShards({ shards, tables: [MESSAGES, ACCOUNTS], globals: [{ schema: "public", table: "countries" }] });
  await prepareTables(test.fleet);
  const admin = await test.gateway.db.connect();
  await settleServers(admin, test.fleet);
  await buildTrees(admin, test.fleet);
  await flip(admin, test.fleet);
  return { test, admin };
}

/** Eight messages of eight users, and four accounts: of two shards 1 and 2 are on shard 0, 3 and 4 on shard 1. */
export async function fillTables(app: Client): Promise<void> {
  await app.query("rollback; truncate messages, accounts; select setval('messages_id', 1, false)");
  await app.query("insert into messages (user_id, body) select g, 'hello ' || g from generate_series(1, 8) g");
  await app.query("insert into accounts select g, 100 from generate_series(1, 4) g");
}

export const ask = async (client: Client, sql: string): Promise<unknown[][]> => (await client.query({ text: sql, rowMode: "array" })).rows;

/** `code: message` of the error; "ok" without. */
export const attempt = async (client: Client, sql: string): Promise<string> =>
  client.query(sql).then(
    () => "ok",
    (error: Error & { code?: string }) => `${error.code}: ${error.message}`,
  );
