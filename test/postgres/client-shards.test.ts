/**
 * The router of client/shards: where work goes, what it refuses, a shard that is away. Cannot prove: what a pooler adds, replicas of shards.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { bucketOf, connect, InputError, ShardAway, ShardsFailed, ShardTimeout, SpansShards } from "../../client/index.ts";
import { away, EVEN, here, id, insert, keysOn, on, open, SHARDS, shardWorld, tellAll } from "./client-shards.ts";

shardWorld();

describe("one server", () => {
  test("is the shard of every key, and all shards", async () => {
    for (let key = 1; key <= 20; key++) await here.db.shard(key).write(insert, [key, id(key)]);
    expect(await here.db.shard(7).name()).toBe("app");
    expect(await here.db.shard([7, 8, 9]).read("select user_id from item where user_id between 7 and 9 order by 1")).toEqual([
      { user_id: "7" },
      { user_id: "8" },
      { user_id: "9" },
    ]);
    const most = { order: [{ column: "user_id", direction: "desc" }], limit: 2 } as const;
    expect(await here.db.onAllShards("select user_id from item", [], most)).toEqual({
      rows: [{ user_id: "20" }, { user_id: "19" }],
      failed: [],
    });
    expect(await here.db.findOne("select user_id from item where id = $1", [id(5)])).toEqual({ user_id: "5" });
    expect(await here.db.shardMap()).toEqual({ version: 0, shards: ["app"], buckets: Array(64).fill(0), moving: [] });
    expect(here.db.figures().shards).toEqual({});
  });

  test("that has no table of maps, or gives no right to it, is one too", async () => {
    const foreign = connect({ writeUrl: `postgresql://app@127.0.0.1:${here.server.port}/postgres`, min: 0, env: {} });
    expect(await foreign.shard(1).read("select 1 as one")).toEqual([{ one: 1 }]);
    await foreign.close();
  });

  test("is relied on for at most 15 s", () => {
    expect(() => open(15_001)).toThrow("mapLease: got 15001, want 0 to 15000 ms");
  });

  test("finds wrong keys before there are shards", async () => {
    expect(() => here.db.shard("42")).toThrow(InputError);
    expect(() => here.db.shard([])).toThrow(InputError);
    await expect(here.db.shard(2 ** 60).read("select 1")).rejects.toThrow(RangeError);
    await expect(here.db.shard("no uuid", { type: "uuid" }).read("select 1")).rejects.toThrow(RangeError);
    expect(await here.db.shard("42", { type: "bigint" }).name()).toBe("app");
  });
});

describe("four shards", () => {
  beforeEach(() => tellAll(EVEN));

  test("each key's rows are on the shard of its bucket, and nowhere else", async () => {
    const keys = Array.from({ length: 100 }, (_, i) => i + 1);
    await Promise.all(keys.map((key) => here.db.shard(key).write(insert, [key, id(key)])));
    for (const [shard, name] of SHARDS.entries()) {
      const rows = await on(name, "select user_id::int from item order by 1");
      expect(rows.map(({ user_id }) => user_id)).toEqual(keys.filter((key) => bucketOf(key, "bigint", 64) % 4 === shard));
      expect(rows.length).toBeGreaterThan(10);
    }
    expect(await on("app", "select * from item")).toEqual([]);
    for (const key of keys) expect(await here.db.shard(key).count("item", "user_id = $1", [key])).toBe(1);
  });

  test("a shard does what a database does", async () => {
    const [key] = keysOn(2, 1);
    const shard = here.db.shard(key!);
    const rows = Array.from({ length: 1500 }, (_, i) => ({ user_id: key, id: id(i), n: i }));
    expect(await shard.bulkInsert("item", rows)).toEqual({ count: 1500, way: "copy" });
    expect(
      await here.db.shard(key!).bulkInsert(
        "item",
        (function* () {
          yield* rows.slice(0, 3);
        })(),
        { conflict: { columns: ["user_id", "id"] } },
      ),
    ).toEqual({ count: 3, way: "insert" });
    const first = await shard.page<{ n: number }>({ table: "item", orderBy: [{ column: "n" }], limit: 1000 });
    const second = await shard.page<{ n: number }>({ table: "item", orderBy: [{ column: "n" }], limit: 1000, after: first.next! });
    expect([...first.rows, ...second.rows].map(({ n }) => n)).toEqual(rows.map(({ n }) => n));
    const loader = shard.loader<{ n: number }>("item", "id");
    expect((await Promise.all([loader.load(id(3)), loader.load(id(4))])).flat().map(({ n }) => n)).toEqual([3, 4]);
    const top = await shard.topPerGroup<{ n: number }, number>({
      table: "item",
      group: "user_id",
      keys: [key!],
      orderBy: [{ column: "n", direction: "desc" }],
      limit: 1,
    });
    expect(top.get(key!)).toMatchObject([{ n: 1499 }]);
    expect(await shard.bulkDelete("item", "n >= $1", [10], { batch: 1000 })).toBe(1490);
    expect(await shard.count("item")).toBe(10);
    expect(await shard.estimate("item")).toBeGreaterThanOrEqual(0);
    expect(await on(SHARDS[2], "select count(*)::int as count from item")).toEqual([{ count: 10 }]);
  });

  test("sessions carry one place in the log for each shard, and pass it on", async () => {
    const session = here.db.session();
    expect(session.token).toBeUndefined();
    const [one, other] = [keysOn(0, 1)[0]!, keysOn(3, 1)[0]!];
    await session.shard(one).write(insert, [one, id(1)]);
    expect(session.token).toMatch(/^app_shard_0=[0-9A-F]+\/[0-9A-F]+$/);
    await session.shard(other).write(insert, [other, id(1)]);
    await session.write("select 1");
    expect(session.token).toMatch(/^[0-9A-F]+\/[0-9A-F]+,app_shard_0=[0-9A-F]+\/[0-9A-F]+,app_shard_3=[0-9A-F]+\/[0-9A-F]+$/);
    const next = here.db.session({ token: session.token });
    expect(next.token).toBe(session.token);
    expect(await next.shard(one).read("select n from item where user_id = $1", [one])).toEqual([{ n: 0 }]);
    expect(() => here.db.session({ token: "app_shard_0=x" })).toThrow(InputError);
  });

  test("the tenant is set there", async () => {
    const session = here.db.session({ tenant: 7 });
    expect(await session.shard(1).read("select ladder.tenant() as tenant")).toEqual([{ tenant: "7" }]);
    expect((await session.shard(1).write("select ladder.tenant() as tenant")).rows).toEqual([{ tenant: "7" }]);
    expect((await session.onAllShards("select ladder.tenant() as tenant")).rows).toEqual(Array(4).fill({ tenant: "7" }));
  });

  test("pools share the configured sizes", async () => {
    await here.db.onAllShards("select 1");
    const { shards } = here.db.figures();
    expect(Object.keys(shards)).toEqual([...SHARDS]);
    expect(SHARDS.map((name) => [shards[name]!.read.size, shards[name]!.read.checkouts])).toEqual(Array(4).fill([1, 1]));
  });
});

describe("transactions do not span shards", () => {
  const [one, same] = keysOn(1, 2) as [number, number];
  const [other] = keysOn(2, 1) as [number];
  beforeEach(() => tellAll(EVEN));

  test("keys of one shard are one transaction; keys of several are refused before anything is sent", async () => {
    await here.db.shard([one, same]).transaction(async (tx) => {
      await tx.query(insert, [one, id(1)]);
      await tx.query(insert, [same, id(2)]);
    });
    expect(await on(SHARDS[1], "select count(*)::int as count from item")).toEqual([{ count: 2 }]);
    const refused = here.db.shard([one, other]).transaction(() => expect.unreachable());
    await expect(refused).rejects.toThrow(
      `keys: got ${one} on app_shard_1, ${other} on app_shard_2, want keys of one shard: a transaction does not span shards`,
    );
    await expect(here.db.shard([one, other]).name()).rejects.toThrow(SpansShards);
  });

  test("a row of another shard is refused by the shard, and nothing of the transaction is written", async () => {
    const refused = here.db.shard(one).transaction(async (tx) => {
      await tx.query(insert, [one, id(1)]);
      await tx.query(insert, [other, id(2)]);
    });
    const error = await refused.catch((error) => error);
    expect(error).toBeInstanceOf(SpansShards);
    expect(error.message).toBe(`shard app_shard_1 of key ${one}: got a row of another shard, want rows with this key`);
    expect(error.cause).toMatchObject({ code: "23514" });
    await expect(here.db.shard(one).bulkInsert("item", [{ user_id: other, id: id(3) }])).rejects.toThrow(SpansShards);
    expect((await here.db.onAllShards("select * from item")).rows).toEqual([]);
  });

  test("a write on another shard inside of a transaction is refused; on the same shard, and reads anywhere, are not", async () => {
    const refused = here.db.shard(one).transaction(async (tx) => {
      await tx.query(insert, [one, id(1)]);
      expect(await here.db.shard(other).read("select 1 as one")).toEqual([{ one: 1 }]);
      await here.db.shard(other).write(insert, [other, id(2)]);
    });
    await expect(refused).rejects.toThrow("transaction on app_shard_1: got a write on app_shard_2, want writes on one shard");
    expect((await here.db.onAllShards("select * from item")).rows).toEqual([]);
    await here.db.shard(other).write(insert, [other, id(2)]);
  });

  test("another CHECK's failure stays what it is", async () => {
    await on(SHARDS[1], "alter table item add constraint small check (n < 10)");
    await expect(here.db.shard(one).write("insert into item values ($1, $2, 10)", [one, id(1)])).rejects.toMatchObject({
      constraint: "small",
    });
  });
});

describe("a shard that is away", () => {
  const home = (shard: number) => keysOn(shard, 1)[0]!;
  beforeEach(async () => {
    await tellAll(EVEN);
    for (const shard of [0, 1, 2, 3]) await here.db.shard(home(shard)).write(insert, [home(shard), id(shard)]);
    await away(SHARDS[2], true);
  });
  afterEach(() => away(SHARDS[2], false));

  test("is named; the others go on; it is used again when it is back", async () => {
    const error = await here.db
      .shard(home(2))
      .write(insert, [home(2), id(9)])
      .catch((error) => error);
    expect(error).toBeInstanceOf(ShardAway);
    expect(error).toMatchObject({ shard: "app_shard_2", cause: { code: "55000" } });
    expect(error.message).toMatch(/^shard app_shard_2: cannot be reached: .*not currently accepting connections/);
    await expect(here.db.shard(home(2)).read("select 1")).rejects.toThrow(ShardAway);
    for (const shard of [0, 1, 3]) expect((await here.db.shard(home(shard)).write("update item set n = 1")).count).toBe(1);
    await away(SHARDS[2], false);
    expect((await here.db.shard(home(2)).write("update item set n = 1")).count).toBe(1);
  });

  test("is named by what asks all, or left out where that was asked for", async () => {
    const error = await here.db.onAllShards("select * from item").catch((error) => error);
    expect(error).toBeInstanceOf(ShardsFailed);
    expect(error.message).toMatch(/^1 of 4 shards gave no answer\n {2}app_shard_2: cannot be reached: .*$/);
    expect(error.failed).toMatchObject([{ shard: "app_shard_2" }]);
    const counted = await here.db.onAllShards("select * from item", [], { aggregates: { rows: "count" }, partial: true });
    expect(counted).toMatchObject({ rows: [{ rows: "3" }], failed: [{ shard: "app_shard_2" }] });
    expect(await here.db.findOne("select n from item where id = $1", [id(3)])).toEqual({ n: 0 });
    await expect(here.db.findOne("select n from item where id = $1", [id(2)])).rejects.toThrow(ShardsFailed);
  });

  test("a statement's own error is thrown as it is", async () => {
    await away(SHARDS[2], false);
    const error = await here.db.onAllShards("select 1 / (user_id - $1) from item", [home(1)]).catch((error) => error);
    expect(error).toMatchObject({ code: "22012" });
  });

  test("one that takes too long is stopped", async () => {
    await away(SHARDS[2], false);
    const sql = "select current_database()::text as name, pg_sleep(case current_database() when 'app_shard_1' then 20 else 0 end)::text";
    const { rows, failed } = await here.db.onAllShards<{ name: string }>(sql, [], { timeout: 1000, partial: true });
    expect(rows.map(({ name }) => name)).toEqual(["app_shard_0", "app_shard_2", "app_shard_3"]);
    expect(failed).toEqual([{ shard: "app_shard_1", error: expect.any(ShardTimeout) }]);
    await expect(here.db.findOne(`${sql} from item where id = $1`, [id(1)], { timeout: 500 })).rejects.toThrow(
      "app_shard_1: no answer within 500 ms",
    );
    await vi.waitFor(async () => {
      const sleeping =
        "select count(*)::int as count from pg_stat_activity where query like '%pg_sleep(case%' and state = 'active' and usename = 'app'";
      expect(await on("postgres", sleeping)).toEqual([{ count: 0 }]);
    }, 5000);
  });
});

test("findOne asks all and knows when nobody has the row", async () => {
  await tellAll(EVEN);
  for (const key of [1, 2, 3, 4, 5, 6, 7, 8]) await here.db.shard(key).write(insert, [key, id(key)]);
  for (const key of [1, 2, 3, 4, 5, 6, 7, 8])
    expect(await here.db.findOne("select user_id::int from item where id = $1", [id(key)])).toEqual({ user_id: key });
  expect(await here.db.findOne("select user_id from item where id = $1", [id(99)])).toBeUndefined();
});
