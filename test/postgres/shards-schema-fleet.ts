/** Migrations of a fleet that has climbed: what shards-schema.test.ts goes on with, on its servers. */
import type { Client } from "pg";
import { beforeAll, expect, test } from "vitest";
import { settleServers } from "../../agent/shards/gateway/index.ts";
import { globalsCaughtUp, settleGlobals } from "../../agent/shards/globals.ts";
import { onShardsMap, setMap } from "../../agent/shards/map.ts";
import { copyPartitions } from "../../agent/shards/partitions.ts";
import { giveRanges } from "../../agent/shards/sequences.ts";
import { followGlobals, settleShards } from "../../agent/shards/settle.ts";
import { beginRun, lastRun } from "../../agent/shards/store.ts";
import type { Fleet } from "../../agent/shards/types.ts";
import { settleTables } from "../../agent/tables/index.ts";
import { tableConfig } from "../../plan/config/tables.ts";
import type { Desired } from "../../plan/desired.ts";
import { ID_RANGE } from "../../plan/shards.ts";
import { addFiles, applyPlatform, removeFolder } from "../support/migrations.ts";
import type { TestFleet } from "../support/shards.ts";
import { flip } from "./gateway-setup.ts";
import { define, errorOf, lines, MESSAGES, migrateShards, ORDERS, schemaOf, treesAnew } from "./shards-schema.ts";

export interface Context {
  servers: TestFleet;
  gateway: Client;
  shards: Client[];
  folder: string;
}

export function fleetTests(context: () => Context): void {
  let servers: TestFleet;
  let fleet: Fleet;
  let gateway: Client;
  let app: Client;
  let shards: Client[];
  let folder: string;

  beforeAll(async () => {
    ({ servers, gateway, shards, folder } = context());
    fleet = servers.fleet;
    app = await servers.gateway.db.connect("app");
    await settleGlobals(fleet);
    for (const shard of shards) await shard.query("select ladder.open_to_gateway('{messages, plans}')");
    await gateway.query("delete from messages");
    await settleServers(gateway, fleet);
    await treesAnew(fleet, fleet.tables);
    await flip(gateway, fleet);
    await gateway.query("drop table ladder_back.messages");
    const { tables, globals, shards: members } = fleet;
    const { kind, run } = await beginRun(gateway, "3-4", ["check"], {
      tables,
      globals,
      shards: members.map(({ index, database, class: of }) => ({ index, database, class: of })),
    });
    await gateway.query("update ladder.move set state = 'done', started = now(), finished = now() where (kind, run) = ($1, $2)", [
      kind,
      run,
    ]);
    await setMap(gateway, { ...onShardsMap(fleet), version: 1, here: null, moving: [] }, 0);
  });
  const columns = (client: Client, table = "messages") =>
    lines(
      client,
      `select attname as line from pg_attribute where attrelid = '${table}'::regclass and attnum > 0 and not attisdropped order by 1`,
    );
  const file = (name: string, text: string) => addFiles(folder, { [name]: text });

  test("columns, checks, defaults and indexes of a table on shards; other tables; in one transaction on all servers", async () => {
    await file(
      "010_change.sql",
      `alter table messages add column mood text default 'fine', add constraint short check (char_length(body) < 20);
alter table messages rename column spare to extra;
create index messages_mood on messages (mood);
alter table messages alter column mood set statistics 500;
alter table notes add column mood text;
create table later (id bigint primary key, plan_id bigint references plans (id));
create trigger quiet before update on messages for each row execute function suppress_redundant_updates_trigger();
`,
    );
    expect(await migrateShards(fleet, folder)).toEqual({ applied: ["010_change.sql"], globalsChanged: true, error: undefined });
    for (const client of [gateway, ...shards])
      expect(await columns(client)).toEqual(["body", "created_at", "extra", "id", "mood", "plan_id", "user_id"]);
    // app_ro finds public.messages until the tree over the replicas has the same columns.
    expect(await lines(gateway, "select to_regclass('ladder_read.messages')::text as line")).toEqual([null]);
    await treesAnew(fleet, fleet.tables);
    expect(await columns(gateway, "ladder_read.messages")).toEqual(await columns(gateway));
    await app.query("insert into messages (user_id, body) select n, 'hi ' || n from generate_series(1, 8) n");
    expect(await lines(app, "select distinct mood as line from messages")).toEqual(["fine"]);
    expect(await errorOf(app.query("insert into messages (user_id, body) values (1, 'much too long to be short')"))).toContain("short");
    expect(await lines(shards[0]!, "select indexname as line from pg_indexes where tablename = 'messages' and indexname ~ 'mood'")).toEqual(
      ["messages_mood"],
    );
    expect(await lines(gateway, "select indexname as line from pg_indexes where tablename = 'messages'")).toEqual([]);
    await file(
      "011_drop.sql",
      "drop index messages_mood;\ndrop trigger quiet on messages;\nalter table messages drop constraint short, drop column extra;\n",
    );
    expect((await migrateShards(fleet, folder)).error).toBeUndefined();
    expect(await lines(shards[1]!, "select indexname as line from pg_indexes where indexname = 'messages_mood'")).toEqual([]);
    await app.query("update messages set body = 'much too long to be short' where user_id = 3");
  });

  test("rows are changed through the gateway once, when the shards have the file", async () => {
    await file(
      "012_fill.sql",
      "alter table messages add column likes int;\nupdate messages set likes = coalesce(likes, 0) + 1;\ninsert into notes values (50, 'x');\n",
    );
    expect((await migrateShards(fleet, folder)).error).toBeUndefined();
    expect(await lines(app, "select distinct likes::text as line from messages")).toEqual(["1"]);
    expect(await lines(shards[0]!, "select count(*)::text as line from notes")).toEqual(["0"]);
  });

  test("row statements that fail may be mended, although the shards have the file", async () => {
    await file("013_mend.sql", "alter table messages add column score int;\ninsert into notes values (50, 'again');\n");
    expect((await migrateShards(fleet, folder)).error).toContain(
      'sql/013_mend.sql:2:1: on app: duplicate key value violates unique constraint "notes_pkey" (SQLSTATE 23505)',
    );
    expect(await columns(shards[1]!)).toContain("score");
    expect(await columns(gateway)).not.toContain("score");
    await file("013_mend.sql", "alter table messages add column scores int;\ninsert into notes values (51, 'again');\n");
    expect((await migrateShards(fleet, folder)).error).toContain('app_shard_0: sql/013_mend.sql: got "edited after it was applied');
    await file("013_mend.sql", "alter table messages add column score int;\ninsert into notes values (51, 'again');\n");
    expect((await migrateShards(fleet, folder)).applied).toEqual(["013_mend.sql"]);
    expect(await columns(gateway)).toContain("score");
  });

  test("what fails on one shard is undone on all; the message names it", async () => {
    await shards[1]!.query("insert into messages (user_id, body) values (99, 'bad')");
    await file("014_check.sql", "create table fourteen (id int);\nalter table messages add check (body <> 'bad');\n");
    const { error } = await migrateShards(fleet, folder);
    expect(error).toMatch(
      /^sql\/014_check\.sql:2:1: on app_shard_1: check constraint "messages_body_check" of relation "messages_p\d+" is violated by some row/,
    );
    for (const client of [gateway, ...shards]) expect(await lines(client, "select to_regclass('fourteen')::text as line")).toEqual([null]);
    await shards[1]!.query("delete from messages where user_id = 99");
    expect((await migrateShards(fleet, folder)).error).toBeUndefined();
  });

  test("a run that ended between two shards goes on", async () => {
    await file("015_half.sql", "create table halves (id int);\nalter table messages add column half int;\n");
    await define(fleet.shards[0]!, folder, "app_shard_0");
    expect((await migrateShards(fleet, folder)).applied).toEqual(["015_half.sql"]);
    for (const client of [gateway, ...shards]) expect(await columns(client)).toContain("half");
  });

  test("files without a transaction; a global table's column goes without breaking its copies", async () => {
    await file("016_outside.sql", "create index concurrently notes_mood on notes (mood);\n");
    await file(
      "017_global.sql",
      "alter table plans drop column old;\nalter table plans add column stamp uuid default gen_random_uuid();\n",
    );
    await gateway.query("insert into plans select n, 'p', 'o' from generate_series(10, 200) n");
    expect(await migrateShards(fleet, folder)).toEqual({
      applied: ["016_outside.sql", "017_global.sql"],
      globalsChanged: true,
      error: undefined,
    });
    await gateway.query("insert into plans (id, name) values (300, 'last')");
    await globalsCaughtUp(gateway);
    const digest = "select md5(string_agg(p::text, ',' order by id)) as line from plans p";
    expect(await lines(shards[0]!, digest)).toEqual(await lines(gateway, digest));
    expect(
      await lines(
        shards[1]!,
        "select indexrelid::regclass::text as line from pg_index where indexrelid = 'notes_mood'::regclass and indisvalid",
      ),
    ).toEqual(["notes_mood"]);
  });

  test("refused before anything is changed: all at once", async () => {
    const bad = {
      "020_bad.sql":
        "alter table messages add column n bigserial;\nalter table messages rename to mails;\nalter table messages add column k int, add constraint f foreign key (k) references notes (id);\n",
      "021_mixed.sql": "alter table plans drop column name;\ninsert into notes values (60, 'y');\n",
    };
    await addFiles(folder, bad);
    expect((await migrateShards(fleet, folder)).error).toBe(
      [
        "app migrations (nothing was changed): 4 problems",
        '  sql/020_bad.sql:1: got "a column that numbers its rows, on a table that is on shards: each shard would begin with 1", want create sequence, the column without default, then set default nextval(…)',
        '  sql/020_bad.sql:2: got "a table that is on shards is renamed", want its name as it is, and a view with the other name',
        '  sql/020_bad.sql:3: got "columns of a table that is on shards are changed together with what only shards have", want columns and checks in one statement, keys, triggers and storage in others',
        '  sql/021_mixed.sql:1: got "a column of the global table public.plans changed in a file that changes rows, or runs without a transaction", want the column\'s change in a file of its own',
      ].join("\n"),
    );
    for (const name of Object.keys(bad)) await removeFolder(`${folder}/${name}`);
    await file("022_moving.sql", "drop index messages_body;\ncreate table free (id int);\n");
    expect((await migrateShards(fleet, folder, "the move onto shards is under way")).error).toBe(
      'app migrations (nothing was changed): 1 problem\n  sql/022_moving.sql:1: got "a change of public.messages, whose rows are on shards, while the move onto shards is under way", want the move ended first: ladder finish, or the stage as it was',
    );
    expect((await migrateShards(fleet, folder)).error).toBeUndefined();
  });

  test("a table that is declared and new becomes a tree, with the rows that its migration put into it", async () => {
    await file(
      "030_orders.sql",
      `create sequence orders_id;
create table orders (id bigint not null default nextval('orders_id'), user_id bigint not null, tenant_id bigint not null default 1, made_at timestamptz not null default now(), primary key (user_id, id));
insert into orders (user_id) select generate_series(1, 20);
create view order_counts as select user_id, count(*) as n from orders group by user_id;
`,
    );
    const tables = { orders: tableConfig({ shardBy: "user_id", partition: { by: "made_at" }, tenant: "tenant_id", autovacuum: "hot" }) };
    const grown = { ...fleet, tables: [MESSAGES, ORDERS] };
    expect((await migrateShards(grown, folder)).error).toBeUndefined();
    for (const client of shards) await settleTables(client, { tables } as unknown as Desired, () => undefined);
    await settleShards({ fleet: grown, tables, globalsChanged: false });
    const held = await Promise.all(shards.map((client) => lines(client, "select count(*)::text as line from orders")));
    expect(
      held
        .flat()
        .map(Number)
        .reduce((sum, n) => sum + n),
    ).toBe(20);
    expect(Math.min(...held.flat().map(Number))).toBeGreaterThan(0);
    expect(
      await lines(gateway, "select concat_ws(' ', relkind, pg_get_partkeydef(oid)) as line from pg_class where oid = 'orders'::regclass"),
    ).toEqual(["p HASH (user_id)"]);
    expect(await lines(shards[0]!, "select pg_get_partkeydef('orders'::regclass) as line")).toEqual(["RANGE (made_at)"]);
    await gateway.query("insert into orders (user_id) values (21)");
    expect(await lines(gateway, "select concat_ws(' ', sum(n), count(*)) as line from order_counts")).toEqual(["21 21"]);
    expect(await lines(shards[1]!, "select nextval('orders_id')::text as line")).toEqual([String(2 * ID_RANGE)]);
    expect(await lines(gateway, "select to_regclass('ladder_back.orders')::text as line")).toEqual([null]);
    expect((await lastRun(gateway))!.subject.tables).toEqual([MESSAGES, ORDERS]);
    // What is declared is true on the gateway's tree too; nobody tries to keep its partitions or storage.
    const said: string[] = [];
    await settleTables(gateway, { tables } as unknown as Desired, (line) => said.push(line));
    expect(said.filter((line) => line.includes("orders"))).toEqual(["orders: rows are kept apart by tenant_id"]);
    await settleShards({ fleet: grown, tables, globalsChanged: false });
    const seen = async (tenant: number) => {
      await app.query(`begin; select ladder.set_tenant(${tenant}::bigint)`);
      const count = await lines(app, "select count(*)::text as line from orders");
      await app.query("rollback");
      return count[0];
    };
    expect([await seen(1), await seen(2)]).toEqual(["21", "0"]);
    expect(
      await lines(gateway, "select polname as line from pg_policy where polrelid = 'ladder_read.orders'::regclass order by 1"),
    ).toEqual(["ladder_tenant", "ladder_tenant_all", "ladder_tenant_base"]);
    expect(await followGlobals(grown)).toEqual([]);
    await gateway.query("call ladder.maintain_partitions()");
    expect(await lines(gateway, "select upkeep_error as line from ladder.declared_table")).toEqual([null]);
  });

  test("a shard that is made later from the whole history is like one that followed", async () => {
    const other = await servers.shards[0]!.server.createDatabase({ name: "later" });
    await applyPlatform(other);
    const later = { ...fleet.shards[0]!, connect: () => other.connect() };
    await define(later, folder, "app_shard_0");
    await copyPartitions(fleet.shards[0]!, later, fleet);
    // The same name, another database: a range that nobody had.
    expect(await giveRanges(fleet.gateway, later, fleet)).toBe(3);
    const client = await other.connect();
    await client.query("set timezone = 'UTC'");
    const own = (line: string) => !line.includes("orders");
    expect((await schemaOf(client)).filter(own)).toEqual((await schemaOf(shards[0]!)).filter(own));
  });
}
