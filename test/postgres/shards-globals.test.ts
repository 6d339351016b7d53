/** Global tables: copied to every shard, written on the gateway only. Cannot prove: what a fail-over of Patroni does to a slot. */
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { dropGlobals, globalsCaughtUp, guardShard, settleGlobals } from "../../agent/shards/globals.ts";
import type { Fleet } from "../../agent/shards/types.ts";
import { startShards, type TestFleet } from "../support/shards.ts";

const SCHEMA = `
  set role app;
  create table public.plans (id bigint primary key, name text not null unique, price numeric not null default 0, label text generated always as (upper(name)) stored);
  create table public.flags (name text primary key, spot point);
  create table public.users (id bigint primary key, plan_id bigint references public.plans (id));
  create table public.audit (id bigint primary key);
  reset role;`;
const table = (name: string) => ({ schema: "public", table: name });

let servers: TestFleet;
let fleet: Fleet;
let gateway: Client;
let shards: Client[];
let apps: Client[];

beforeAll(async () => {
  servers = await startShards({
    shards: 2,
    tables: [{ ...table("users"), key: "id", keyType: "bigint" }],
    globals: [table("plans"), table("flags")],
  });
  fleet = servers.fleet;
  gateway = await servers.gateway.db.connect();
  shards = await Promise.all(servers.shards.map(({ db }) => db.connect()));
  apps = await Promise.all(servers.shards.map(({ db }) => db.connect("app")));
  await Promise.all([gateway, ...shards].map((client) => client.query(SCHEMA)));
  await gateway.query("insert into plans values (1, 'free', 0), (2, 'pro', 9.5); insert into flags values ('dark', point(1, 2))");
}, 60_000);
afterAll(() => servers?.stop());

const plans = async (client: Client): Promise<string[]> =>
  (await client.query<{ line: string }>("select concat_ws(' ', id, name, price, label) as line from public.plans order by id")).rows.map(
    ({ line }) => line,
  );
const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  );
const copies = async () =>
  (await gateway.query<{ line: string }>("select concat_ws(' ', shard, state) as line from ladder.global_copies order by shard")).rows.map(
    ({ line }) => line,
  );

test("rows that a migration has put on a shard give way to the gateway's, and changes follow", async () => {
  await shards[0]!.query("insert into plans values (1, 'free', 0), (7, 'seeded', 1)");
  const done = await settleGlobals(fleet);
  expect(done).toEqual(["app_shard_0: global tables copied: no copy yet", "app_shard_1: global tables copied: no copy yet"]);
  for (const shard of shards) expect(await plans(shard)).toEqual(["1 free 0 FREE", "2 pro 9.5 PRO"]);
  expect(await settleGlobals(fleet)).toEqual([]);
  await gateway.query("update plans set price = 10 where id = 2; insert into plans values (3, 'team', 20); delete from plans where id = 1");
  await globalsCaughtUp(gateway);
  for (const shard of shards) expect(await plans(shard)).toEqual(["2 pro 10 PRO", "3 team 20 TEAM"]);
  expect(await copies()).toEqual(["0 following", "1 following"]);
});

test("writes on a shard are refused: to global tables, and to those that are whole on the gateway", async () => {
  const [app] = apps;
  const elsewhere = "LB002 public.audit is whole on the gateway: got a write on the shard app, want it there";
  const global =
    "LB002 public.plans is a global table: got a write on the shard app, want it on the gateway, which copies it to every shard";
  expect(await refusal(app!.query("insert into plans values (9, 'mine')"))).toBe(global);
  expect(await refusal(app!.query("delete from plans where false"))).toBe(global);
  expect(await refusal(app!.query("truncate plans cascade"))).toBe(global);
  expect(await refusal(app!.query("update audit set id = 1"))).toBe(elsewhere);
  await app!.query("set ladder.definitions = 'on'");
  expect(await refusal(app!.query("insert into audit values (1)"))).toBe(elsewhere);
});

test("a foreign key of a sharded table finds the copied rows", async () => {
  const [app] = apps;
  await app!.query("insert into users values (1, 2)");
  expect(await refusal(app!.query("insert into users values (2, 99)"))).toContain("23503");
});

test("a slot that was lost: the copy is repaired, untouched rows stay where they are, readers never see an empty table", async () => {
  const shard = shards[0]!;
  const place = async () => (await shard.query("select ctid::text as place from plans where id = 2")).rows;
  const before = await place();
  await shard.query("alter subscription ladder_global_0 disable");
  await gateway.query("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'ladder_global_0' and active");
  await expect
    .poll(
      () =>
        gateway.query("select pg_drop_replication_slot('ladder_global_0')").then(
          () => true,
          () => false,
        ),
      { timeout: 5000 },
    )
    .toBe(true);
  // Two names change places: no order of updates would do.
  await gateway.query(
    "update plans set name = 'x' where id = 3; insert into plans values (4, 'team', 1); insert into flags values ('new', null)",
  );
  let fewest = 9;
  const reader = await servers.shards[0]!.db.connect("app_ro");
  let reading = true;
  const looks = (async () => {
    while (reading) fewest = Math.min(fewest, (await reader.query("select count(*)::int as n from plans")).rows[0].n);
  })();
  expect(await settleGlobals(fleet)).toEqual(["app_shard_0: global tables copied: its slot on the gateway is gone"]);
  reading = false;
  await looks;
  expect(fewest).toBe(2);
  expect(await plans(shard)).toEqual(["2 pro 10 PRO", "3 x 20 X", "4 team 1 TEAM"]);
  expect(await place()).toEqual(before);
  await gateway.query("update plans set price = 11 where id = 2");
  await globalsCaughtUp(gateway);
  expect(await plans(shard)).toEqual(["2 pro 11 PRO", "3 x 20 X", "4 team 1 TEAM"]);
});

test("while the gateway is written to, no change is missed and none comes twice", async () => {
  const writer = await servers.gateway.db.connect();
  let writing = true;
  let written = 0;
  const writes = (async () => {
    while (writing) {
      written += 1;
      await writer.query("insert into plans values ($1, $2)", [1000 + written, `p${written}`]);
    }
  })();
  await settleGlobals(fleet, { again: true });
  writing = false;
  await writes;
  await globalsCaughtUp(gateway);
  const wanted = await plans(gateway);
  expect(wanted).toHaveLength(3 + written);
  for (const shard of shards) expect(await plans(shard)).toEqual(wanted);
});

test("tables that become global or cease to be; one without a key is refused before anything changes", async () => {
  await gateway.query("set role app; create table regions (code text); reset role; insert into regions values ('eu')");
  for (const shard of shards) await shard.query("set role app; create table regions (code text); reset role");
  const globals = [table("plans"), table("regions")];
  expect(await refusal(settleGlobals({ ...fleet, globals }))).toBe(
    'undefined global tables (nothing was changed): 1 problem\n  "public"."regions", declared global: got "no primary key", want a primary key, or replica identity full: updates of a published table need one',
  );
  for (const server of [gateway, ...shards]) await server.query("alter table regions add primary key (code)");
  await settleGlobals({ ...fleet, globals });
  expect((await shards[1]!.query("select code from regions")).rows).toEqual([{ code: "eu" }]);
  expect(await refusal(apps[1]!.query("delete from flags"))).toContain("public.flags is whole on the gateway");
  expect(await refusal(apps[1]!.query("delete from regions"))).toContain("public.regions is a global table");
});

test("a shard that is away holds up no other, and is named", async () => {
  await servers.shards[1]!.crash();
  const log: string[] = [];
  expect(await refusal(settleGlobals({ ...fleet, log: (line) => log.push(line) }, { again: true }))).toContain(" app_shard_1: ");
  expect(log).toEqual(["app_shard_0: global tables copied: their definitions have changed"]);
  await servers.shards[1]!.revive();
});

test("the way back drops all of it, twice if need be; a shard that is gone keeps nothing on the gateway", async () => {
  await settleGlobals(fleet);
  await guardShard(fleet.shards[0]!, fleet);
  await dropGlobals(fleet);
  await dropGlobals(fleet);
  expect(await copies()).toEqual([]);
  expect((await gateway.query("select pubname from pg_publication")).rows).toEqual([]);
  expect((await shards[0]!.query("select subname from pg_subscription")).rows).toEqual([]);
  await apps[0]!.query("insert into audit values (1)");
});
