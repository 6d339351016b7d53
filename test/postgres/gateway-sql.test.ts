/**
 * What SQL does behind the gateway: docs/guide/gateway.md says the same in words. Two shards on one machine. Cannot prove: speed.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { TestFleet } from "../support/shards.ts";
import { ask, attempt, fillTables, startGateway } from "./gateway-setup.ts";

let servers: TestFleet;
let app: Client;

beforeAll(async () => {
  servers = (await startGateway(2)).test;
  app = await servers.gateway.db.connect("app");
  await app.query("insert into countries values ('hello 1', 'One'), ('nowhere', 'None')");
});
afterAll(() => servers?.stop());
beforeEach(() => fillTables(app));

describe("works", () => {
  test.each<[string, string, unknown[][]]>([
    [
      "insert … returning, with defaults and generated columns",
      "insert into messages (user_id, body) values (1, 'a b c') returning id::int, words",
      [[9, 3]],
    ],
    [
      "insert … select over both shards",
      "with n as (insert into accounts select g, g from generate_series(11, 30) g returning 1) select count(*)::int from n",
      [[20]],
    ],
    ["bare on conflict do nothing", "insert into accounts values (1, 0), (5, 0) on conflict do nothing returning id::int", [[5]]],
    ["update … returning", "update accounts set balance = balance + 1 where id = 3 returning balance::int", [[101]]],
    [
      "update and delete with other tables",
      "delete from accounts a using messages m where m.user_id = a.id and m.body = 'hello 4' returning a.id::int",
      [[4]],
    ],
    [
      "join by the shard key",
      "select m.body, a.balance::int from messages m join accounts a on a.id = m.user_id where a.id = 3",
      [["hello 3", 100]],
    ],
    ["join with a table of the gateway", "select c.name, m.user_id::int from countries c join messages m on m.body = c.code", [["One", 1]]],
    [
      "aggregates, also with conditions",
      "select count(*)::int, sum(balance)::int, count(*) filter (where id > 2)::int from accounts",
      [[4, 400, 2]],
    ],
    ["order by … limit over both shards", "select id::int from accounts order by id desc limit 2 offset 1", [[3], [2]]],
    ["sizes are not the shards'", "select pg_relation_size('accounts')::int", [[0]]],
    ["windows", "select id::int, row_number() over (order by id desc)::int from accounts order by id limit 1", [[1, 4]]],
    [
      "recursive queries and exists",
      "select count(*)::int from accounts a where exists (select from messages m where m.user_id = a.id and m.id > 2)",
      [[2]],
    ],
    ["for update", "select id::int from accounts where id in (1, 3) order by id for update", [[1], [3]]],
    [
      "ctid and tableoid of what was read",
      "select distinct tableoid::regclass::text, ctid::text from accounts where id = 1",
      [["ladder_shards.accounts_0", "(0,1)"]],
    ],
  ])("%s", async (_, sql, rows) => {
    expect(await ask(app, sql)).toEqual(rows);
  });

  test("copy in both directions, one that fails leaves nothing", async () => {
    const load = (rows: string) => pipeline(Readable.from([rows]), app.query(copyFrom("copy accounts from stdin")));
    await load("11\t1\n12\t1\n13\t1\n");
    await expect(load("14\t1\n11\t1\n")).rejects.toThrow("duplicate key value violates unique constraint");
    const found: Buffer[] = [];
    for await (const chunk of app.query(copyTo("copy (select id from accounts where id > 10 order by id) to stdout")))
      found.push(chunk as Buffer);
    expect(Buffer.concat(found).toString()).toBe("11\n12\n13\n");
  });

  test("a cursor with hold, beyond its transaction", async () => {
    await app.query("begin; declare c cursor with hold for select id from accounts order by id; commit");
    expect(await ask(app, "fetch 2 from c")).toEqual([["1"], ["2"]]);
    await app.query("close c");
  });

  test("savepoints take back what was done on the shards", async () => {
    await app.query("begin; update accounts set balance = 1; savepoint s; delete from accounts; rollback to s; commit");
    expect(await ask(app, "select count(*)::int, sum(balance)::int from accounts")).toEqual([[4, 4]]);
  });

  test("truncate reaches all shards, inside a transaction too", async () => {
    await app.query("begin; truncate accounts; rollback");
    expect(await ask(app, "select count(*)::int from accounts")).toEqual([[4]]);
  });

  test("a definition changed on the gateway is the tree's", async () => {
    await app.query("begin; alter table accounts add column note text; alter table accounts drop column note; rollback");
  });
});

describe("fails", () => {
  test.each<[string, string]>([
    [
      "insert into accounts values (1, 0) on conflict (id) do nothing",
      "42P10: there is no unique or exclusion constraint matching the ON CONFLICT specification",
    ],
    [
      "insert into accounts values (1, 0) on conflict (id) do update set balance = 0",
      "42P10: there is no unique or exclusion constraint matching the ON CONFLICT specification",
    ],
    [
      "merge into accounts a using (values (1)) v (id) on a.id = v.id when matched then delete",
      '0A000: cannot execute MERGE on relation "accounts_0"',
    ],
    ["create unique index on accounts (id)", '42809: cannot create unique index on partitioned table "accounts"'],
    ["alter table accounts add primary key (id)", '42809: cannot create unique index on partitioned table "accounts"'],
    [
      "create table orders (account bigint references accounts (id))",
      '42830: there is no unique constraint matching given keys for referenced table "accounts"',
    ],
    [
      "begin; update accounts set balance = 0; prepare transaction 'p'",
      "0A000: cannot PREPARE a transaction that has operated on postgres_fdw foreign tables",
    ],
    ["insert into accounts values (9, 0) returning xmin", "0A000: cannot retrieve a system column in this context"],
    ["copy accounts to stdout", '42809: cannot copy from partitioned table "accounts"'],
    [
      "create trigger t after insert on accounts for each row execute function suppress_redundant_updates_trigger()",
      "42501: permission denied for foreign table accounts_0",
    ],
    [
      "begin; declare c cursor for select * from accounts; fetch c; delete from accounts where current of c",
      "0A000: WHERE CURRENT OF is not supported for this table type",
    ],
    ["insert into accounts values (1, 0)", '23505: duplicate key value violates unique constraint "accounts_pkey"'],
    [
      "insert into messages (user_id, body) values (1, repeat('x', 101))",
      '23514: new row for relation "messages" violates check constraint "messages_short"',
    ],
    ["insert into accounts values (null, 0)", '23502: null value in column "id" of relation "accounts" violates not-null constraint'],
    ["update accounts set id = 13 where id = 3", '23514: new row for relation "accounts" violates check constraint "ladder_bucket"'],
    [
      "update accounts a set id = 13 from messages m where m.user_id = a.id and a.id = 3 and m.id > random() returning a.id",
      '23514: new row for relation "accounts" violates check constraint "ladder_bucket"',
    ],
  ])("%s", async (sql, error) => {
    expect(await attempt(app, sql)).toBe(error);
    await app.query("rollback");
    expect(await ask(app, "select count(*)::int, sum(balance)::int, sum(id)::int from accounts")).toEqual([[4, 400, 10]]);
  });
});

describe("plans", () => {
  const plan = async (sql: string) => (await ask(app, `explain (costs off, verbose) ${sql}`)).flat().join("\n");
  const remote = async (sql: string) => [...(await plan(sql)).matchAll(/Remote SQL: (.*)/g)].map(([, text]) => text);

  test("a key leads to one shard, also as a parameter", async () => {
    expect(await remote("select body from messages where user_id = 3 and words = 2")).toEqual([
      "SELECT body FROM public.messages WHERE ((user_id = 3)) AND ((words = 2))",
    ]);
    await app.query("set plan_cache_mode = force_generic_plan; prepare p(bigint) as select body from messages where user_id = $1");
    expect((await ask(app, "explain (analyze, costs off) execute p(3)")).flat().join("\n")).toContain("Subplans Removed: 1");
    await app.query("deallocate p; reset plan_cache_mode");
  });

  test("groups and joins by the shard key are the shards' work; a count of all rows is not", async () => {
    expect(await remote("select user_id, count(*) from messages group by user_id")).toEqual(
      [1, 2].map(() => "SELECT user_id, count(*) FROM public.messages GROUP BY 1"),
    );
    expect(await remote("select a.balance, m.body from accounts a join messages m on m.user_id = a.id where m.words = 7")).toEqual(
      [1, 2].map(() => expect.stringMatching(/^SELECT r\d\.balance, r\d\.body FROM \(public\.\w+ r\d INNER JOIN public\.\w+ r\d ON /)),
    );
    expect(await remote("select count(*) from messages")).toEqual([1, 2].map(() => "SELECT NULL FROM public.messages"));
  });

  test("a join from one of the gateway's own rows asks by key, and does not fetch the table", async () => {
    await app.query("create table handles (handle text primary key, user_id bigint not null); insert into handles values ('one', 1)");
    await app.query("insert into messages (user_id, body) select g % 1000, 'many' from generate_series(1, 10000) g");
    for (const { db } of servers.shards) await db.connect().then((client) => client.query("analyze messages"));
    expect(await remote("select m.body from handles h join messages m on m.user_id = h.user_id where h.handle = 'one'")).toEqual(
      [1, 2].map(() => expect.stringMatching(/^SELECT user_id, body FROM public.messages WHERE \(\(user_id = \$1::bigint\)\)$/)),
    );
  });
});
