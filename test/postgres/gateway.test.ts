/** The gateway's trees on real servers: built, put in the tables' place, regrouped, taken back. Cannot prove: TLS between servers, RDS's master user. */
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  buildTrees,
  dependents,
  disownSequences,
  dropServers,
  dropTrees,
  lockNames,
  ownSequences,
  regroup,
  settleServers,
  swapIn,
  swapOut,
} from "../../agent/shards/gateway/index.ts";
import { classCondition } from "../../agent/shards/sql.ts";
import type { Fleet } from "../../agent/shards/types.ts";
import { shardClasses } from "../../plan/shards.ts";
import type { TestFleet } from "../support/shards.ts";
import { startShards } from "../support/shards.ts";
import { ACCOUNTS, ask, flip, MESSAGES, prepareTables } from "./gateway-setup.ts";

let servers: TestFleet;
/** The first two shards, as a stack begins. */
let fleet: Fleet;
let admin: Client;
let app: Client;

beforeAll(async () => {
  servers = await startShards({ shards: 3, tables: [MESSAGES, ACCOUNTS], globals: [{ schema: "public", table: "countries" }] });
  const classes = shardClasses(2);
  fleet = { ...servers.fleet, shards: servers.fleet.shards.slice(0, 2).map((shard, index) => ({ ...shard, class: classes[index]! })) };
  await prepareTables({ ...servers.fleet, shards: [...fleet.shards, servers.fleet.shards[2]!] });
  admin = await servers.gateway.db.connect();
  app = await servers.gateway.db.connect("app");
});
afterAll(() => servers?.stop());

const inTransaction = async (work: () => Promise<void>): Promise<void> => {
  await admin.query("begin");
  await work();
  await admin.query("commit");
};
/** Without the names of places: owner, rights, comment, columns with defaults and comments, checks. */
const DEFINITION = `select relowner::regrole::text, relacl::text, obj_description(c.oid, 'pg_class'),
  (select json_agg(row(attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, attacl, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)) order by attnum)::text
     from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum where attrelid = c.oid and attnum > 0),
  (select json_agg(row(conname, pg_get_constraintdef(oid)))::text from pg_constraint where conrelid = c.oid and contype = 'c'),
  (select json_agg(row(polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid)))::text from pg_policy where polrelid = c.oid),
  relrowsecurity, relforcerowsecurity
  from pg_class c where oid = 'messages'::regclass`;
const partitions = (tree: string) =>
  ask(
    admin,
    `select inhrelid::regclass::text, pg_get_expr(relpartbound, c.oid) from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = '${tree}'::regclass order by 1`,
  );

describe("a table", () => {
  let before: unknown[][];

  test("hangs together with what follows its name, and with what does not", async () => {
    await admin.query(`create materialized view totals as select count(*) from messages; create function whole(messages) returns int language sql as 'select 1';
      create publication theirs for table messages; create table favourites (message messages); create policy mine on countries using (exists (select from messages where body = code));
      create function touched() returns trigger language plpgsql as 'begin return new; end'; create trigger touch before update on messages for each row execute function touched()`);
    expect((await dependents(admin, MESSAGES)).map(({ kind, name, follows }) => [kind, name, follows])).toEqual([
      ["column", "public.favourites.message", false],
      ["function", "message_count(bigint)", true],
      ["function", "whole(messages)", false],
      ["materialized view", "public.totals", false],
      ["policy", "mine on countries", false],
      ["publication", "theirs", false],
      ["trigger", "touch on messages", false],
      ["view", "public.recent", true],
    ]);
    expect((await dependents(admin, MESSAGES)).find(({ kind }) => kind === "materialized view")?.reason).toBe(
      "goes on reading the old table: drop it before the climb, and make it again after",
    );
    await admin.query(
      "drop materialized view totals; drop function whole; drop publication theirs; drop table favourites; drop policy mine on countries; drop trigger touch on messages",
    );
  });

  test("is refused with every reason", async () => {
    await admin.query("create table odd (id bigint generated always as identity, key bigint)");
    const odd: Fleet = { ...fleet, tables: [{ schema: "public", table: "odd", key: "key", keyType: "bigint" }] };
    await settleServers(admin, fleet);
    await expect(buildTrees(admin, odd)).rejects.toThrow(
      "public.odd: got identity columns id, want defaults with nextval: an identity restarts when its table is copied\n" +
        "public.odd: got a shard key key that may be null or is missing, want a column with not null",
    );
    await admin.query("drop table odd");
  });

  test("is replaced by a tree of the same definition, with its views, functions and sequence", async () => {
    await admin.query(
      "alter table messages enable row level security; create policy quiet on messages for select to app_ro using (body <> 'secret')",
    );
    before = await ask(admin, DEFINITION);
    await settleServers(admin, fleet);
    await buildTrees(admin, fleet);
    await buildTrees(admin, fleet);
    await app.query("prepare by_user(bigint) as select id::int, user_id::int, words from messages where user_id = $1");
    expect(await ask(app, "execute by_user(7)")).toEqual([]);
    expect(await lockNames(admin, fleet)).toEqual([
      "ladder_read.recent",
      "ladder_read.spoken",
      "public.recent",
      'only "public"."messages"',
      'only "public"."accounts"',
      "only ladder_read.accounts",
      "only ladder_read.messages",
    ]);
    await flip(admin, fleet);
    await inTransaction(() => swapIn(admin, fleet));
    await ownSequences(admin, fleet);
    expect(await ask(admin, DEFINITION)).toEqual(before);
    expect(await partitions("messages")).toEqual([
      ["ladder_shards.messages_0", "FOR VALUES WITH (modulus 2, remainder 0)"],
      ["ladder_shards.messages_1", "FOR VALUES WITH (modulus 2, remainder 1)"],
    ]);
    await app.query("insert into messages (user_id, body) select g, 'hello ' || g from generate_series(1, 20) g");
    expect(await ask(app, "select count(*)::int, sum(words)::int, max(id)::int from messages")).toEqual([[20, 40, 20]]);
    expect(await ask(app, "execute by_user(7)")).toEqual([[7, 7, 2]]);
    expect(await ask(app, "select (select count(*)::int from recent), (select count(*)::int from spoken), message_count(7)::int")).toEqual([
      [20, 20, 1],
    ]);
    expect(await ask(app, "select pg_get_serial_sequence('messages', 'id')")).toEqual([["public.messages_id"]]);
  });

  test("is on the shards by its key, and each shard has some", async () => {
    const found = await ask(admin, "select tableoid::regclass::text, count(*)::int, min(user_id)::int from messages group by 1 order by 1");
    expect(found).toEqual([
      ["ladder_shards.messages_0", 8, 1],
      ["ladder_shards.messages_1", 12, 3],
    ]);
  });

  test("is read by app_ro's new sessions from the replicas' servers, with its row security", async () => {
    const reader = await servers.gateway.db.connect("app_ro");
    await app.query("insert into messages (user_id, body) values (1, 'secret')");
    expect(await ask(reader, "select distinct tableoid::regclass::text from messages order by 1")).toEqual(
      [["messages_0_read"], ["messages_1_read"]].map(([name]) => [`ladder_shards.${name}`]),
    );
    expect(await ask(reader, "select count(*)::int from messages")).toEqual([[20]]);
    expect(await ask(reader, "select count(*)::int, (select count(*)::int from spoken) from recent")).toEqual([[21, 20]]);
    expect((await ask(reader, "explain (verbose, costs off) select * from spoken")).flat().join()).toMatch(
      /ladder_shards.messages_0_read(?!.*messages_0 )/,
    );
    await app.query("delete from messages where body = 'secret'");
    await expect(reader.query("begin read write; delete from messages")).rejects.toThrow("permission denied for table messages");
    await reader.end();
  });

  test("hides the way to the shards and the passwords from the application", async () => {
    expect(await ask(app, "select count(*)::int, count(umoptions)::int from pg_user_mappings")).toEqual([[6, 0]]);
    await expect(app.query("select * from pg_user_mapping")).rejects.toThrow("permission denied for table pg_user_mapping");
    await expect(app.query("create foreign table mine (id bigint) server shard_0")).rejects.toThrow(
      "permission denied for foreign server shard_0",
    );
    await expect(app.query("select * from ladder_shards.messages_0")).rejects.toThrow("permission denied for schema ladder_shards");
    await expect(app.query("select * from ladder_back.messages")).rejects.toThrow("permission denied for schema ladder_back");
  });

  test("is all that the gateway's roles reach on a shard", async () => {
    const password = (user: string, secret: string) => servers.shards[0]!.server.connect({ user, password: secret, database: "app" });
    const writer = await password("ladder_gateway", "gateway-secret");
    await expect(writer.query("select * from ladder.move")).rejects.toThrow("permission denied for schema ladder");
    await expect(writer.query("create table mine (id int)")).rejects.toThrow("permission denied for schema public");
    const reader = await password("ladder_gateway_ro", "gateway-read-secret");
    await expect(reader.query("begin read write; delete from messages")).rejects.toThrow("permission denied for table messages");
    await expect(password("ladder_gateway", "wrong")).rejects.toThrow('password authentication failed for user "ladder_gateway"');
    await expect(servers.gateway.server.connect({ user: "ladder_gateway", password: "gateway-secret", database: "app" })).rejects.toThrow(
      'permission denied for database "app"',
    );
    await Promise.all([writer.end(), reader.end()]);
  });

  test("is kept apart by tenant on the gateway, while the gateway's roles see all on the shards", async () => {
    const open = "select ladder.declare_tenant_table('accounts', 'id'); select ladder.open_to_gateway('{accounts}')";
    for (const { db } of servers.shards.slice(0, 2)) await db.connect().then((client) => client.query(open));
    await app.query("insert into accounts select g, 100 from generate_series(1, 4) g");
    await admin.query("select ladder.declare_tenant_table('accounts', 'id')");
    await buildTrees(admin, fleet);
    const reader = await servers.gateway.db.connect("app_ro");
    for (const client of [app, reader]) {
      expect(await ask(client, "select count(*)::int from accounts")).toEqual([[0]]);
      await client.query("begin; select ladder.set_tenant(3)");
      expect(await ask(client, "select id::int from accounts")).toEqual([[3]]);
      await client.query("commit");
    }
    for (const sql of [
      "insert into accounts values (5, 0)",
      "update accounts set id = 1 where id = 3",
      "insert into accounts values (5, 0) on conflict do nothing",
    ])
      await expect(app.query(`begin; select ladder.set_tenant(3); ${sql}`))
        .rejects.toThrow('new row violates row-level security policy for table "accounts"')
        .then(() => app.query("rollback"));
    await app.query("begin; select ladder.set_tenant(5); insert into accounts values (5, 0); update accounts set balance = 1; commit");
    await admin.query("insert into accounts values (6, 6)");
    expect(await ask(admin, "select id::int, balance::int from accounts order by id")).toEqual([
      [1, 100],
      [2, 100],
      [3, 100],
      [4, 100],
      [5, 1],
      [6, 6],
    ]);
    await admin.query("select ladder.release_tenant_table('public', 'accounts')");
    await buildTrees(admin, fleet);
    expect(await ask(admin, "select count(*)::int from pg_trigger where tgrelid = 'accounts'::regclass")).toEqual([[0]]);
    await reader.end();
  });

  test("takes columns that a migration adds, and so does its tree over the replicas, once it is built again", async () => {
    for (const client of [...(await Promise.all(servers.shards.map(({ db }) => db.connect("app")))), app])
      await client.query("alter table messages add column mood text");
    const oid = async (name: string) => (await ask(admin, `select '${name}'::regclass::oid`))[0]![0];
    const unchanged = await oid("ladder_read.accounts");
    await buildTrees(admin, fleet);
    await settleServers(admin, fleet);
    await app.query("update messages set mood = 'good' where user_id = 7");
    const reader = await servers.gateway.db.connect("app_ro");
    expect(await ask(reader, "select user_id::int, mood from messages where mood = 'good'")).toEqual([[7, "good"]]);
    expect(await oid("ladder_read.accounts")).toBe(unchanged);
    await reader.end();
  });

  test("follows a shard that is added and one that leaves", async () => {
    const grown: Fleet = { ...fleet, shards: servers.fleet.shards };
    const classes = grown.shards.map((shard) => shard.class);
    expect(classes).toEqual([
      { modulus: 4, remainder: 0 },
      { modulus: 2, remainder: 1 },
      { modulus: 4, remainder: 2 },
    ]);
    await settleServers(admin, grown);
    await servers.shards[0]!.db.connect().then((client) =>
      client.query(`delete from messages where ${classCondition(MESSAGES, classes[2]!)}`),
    );
    for (const _ of [1, 2]) await inTransaction(() => regroup(admin, grown, classes));
    expect(await partitions("messages")).toEqual([
      ["ladder_shards.messages_0", "FOR VALUES WITH (modulus 4, remainder 0)"],
      ["ladder_shards.messages_1", "FOR VALUES WITH (modulus 2, remainder 1)"],
      ["ladder_shards.messages_2", "FOR VALUES WITH (modulus 4, remainder 2)"],
    ]);
    expect((await partitions("ladder_read.messages")).length).toBe(3);
    await app.query("insert into messages (user_id, body) select g, 'new' from generate_series(1, 20) g");
    expect(await ask(app, "select tableoid::regclass::text, count(*)::int from messages where body = 'new' group by 1 order by 1")).toEqual(
      [
        ["ladder_shards.messages_0", 5],
        ["ladder_shards.messages_1", 12],
        ["ladder_shards.messages_2", 3],
      ],
    );
    await app.query("alter table messages add column later text");
    await inTransaction(() => regroup(admin, grown, [...shardClasses(2), null]));
    await settleServers(admin, fleet);
    expect(await partitions("messages")).toEqual([
      ["ladder_shards.messages_0", "FOR VALUES WITH (modulus 2, remainder 0)"],
      ["ladder_shards.messages_1", "FOR VALUES WITH (modulus 2, remainder 1)"],
    ]);
    expect(await ask(admin, "select srvname from pg_foreign_server order by 1")).toEqual([
      ["shard_0"],
      ["shard_0_read"],
      ["shard_1"],
      ["shard_1_read"],
    ]);
    await app.query("alter table messages drop column later, drop column mood");
  });

  test("comes back as it was", async () => {
    await expect(dropTrees(admin)).rejects.toThrow("trees: got public.accounts, public.messages in use, want the way back gone first");
    await disownSequences(admin, fleet);
    for (const _ of [1, 2]) await inTransaction(() => swapOut(admin, fleet));
    await ownSequences(admin, fleet);
    for (const _ of [1, 2]) await dropTrees(admin);
    await dropServers(admin);
    expect(await ask(admin, DEFINITION)).toEqual(before);
    expect(
      await ask(app, "select (select count(*)::int from messages), (select count(*)::int from recent), message_count(7)::int"),
    ).toEqual([[0, 0, 0]]);
    expect(await ask(app, "select pg_get_serial_sequence('messages', 'id')")).toEqual([["public.messages_id"]]);
    expect(
      await ask(
        admin,
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = relnamespace where n.nspname in ('ladder_new', 'ladder_back', 'ladder_shards', 'ladder_read')",
      ),
    ).toEqual([]);
    const reader = await servers.gateway.db.connect("app_ro");
    expect(await ask(reader, "show search_path")).toEqual([['"$user", public']]);
    await reader.end();
  });
});
