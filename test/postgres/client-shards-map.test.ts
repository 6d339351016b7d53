/**
 * The router of client/shards while its map changes. Cannot prove: that the real mover keeps to the order that this file's own keeps to.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { bucketOf, type Transaction, UnknownOutcome } from "../../client/index.ts";
import { ALL, BUCKET, EVEN, here, id, insert, keysOn, later, move, on, open, SHARDS, shardWorld, tell, tellAll } from "./client-shards.ts";

shardWorld();

describe("a lease of the map", () => {
  const key = keysOn(1, 1)[0]!;
  const fences = async () => {
    const sql =
      "select coalesce(sum(calls), 0)::int as calls from ladder.pg_stat_statements where query like '%require_%' and userid = 'app'::regrole";
    return (await on("app", sql))[0].calls;
  };
  const work = async () => {
    await here.db.shard(key).write("update item set n = n + 1 where user_id = $1", [key]);
    await here.db.shard(key).read("select n from item where user_id = $1", [key]);
    await here.db.shard(key).transaction((tx) => tx.query("select 1"));
    await here.db.findOne("select n from item where user_id = $1", [key]);
  };
  beforeEach(async () => {
    await here.db.close();
    await tellAll(EVEN);
  });

  test("spares every fence, but for buckets that are announced as moving", async () => {
    here.db = open(15_000);
    await on("app", "select ladder.pg_stat_statements_reset()");
    await work();
    expect(await fences()).toBe(0);
    await tellAll(EVEN, { moving: [bucketOf(key, "bigint", 64)] });
    later();
    await here.db.shardMap();
    await vi.waitFor(async () => expect((await here.db.shardMap()).version).toBe(2));
    await on("app", "select ladder.pg_stat_statements_reset()");
    await work();
    expect(await fences()).toBe(3 + SHARDS.length);
  });

  test("that ends while something runs is made up for", async () => {
    const afresh = async () => {
      await here.db.close();
      here.db = open(1000);
      await here.db.shardMap();
      return here.db.shard(key);
    };
    here.db = open();
    expect((await (await afresh()).write("insert into item select $1, $2, 1 from pg_sleep(1.3)", [key, id(1)])).count).toBe(1);
    expect(await (await afresh()).read("select n from item, pg_sleep(1.3)")).toEqual([{ n: 1 }]);
    for (const [isolation, calls] of [
      ["read committed", 1],
      ["repeatable read", 2],
    ] as const) {
      let called = 0;
      const work = async (tx: Transaction) => {
        called++;
        await tx.query("update item set n = n + 1 from (select pg_sleep(1.3)) as s");
      };
      await (await afresh()).transaction(work, { isolation });
      expect([isolation, called]).toEqual([isolation, calls]);
    }
    expect(await here.db.shard(key).read("select n from item")).toEqual([{ n: 3 }]);
  });

  test("that was wrong: the shard's CHECK leads a write to where the bucket is, and still tells a row of another key", async () => {
    here.db = open(15_000);
    await here.db.shardMap();
    const moved = EVEN.map((shard) => (shard === 1 ? 0 : shard));
    await move(EVEN, moved);
    expect((await here.db.shard(key).bulkInsert("item", [{ user_id: key, id: id(1) }])).count).toBe(1);
    expect(await on(SHARDS[0], "select id from item")).toEqual([{ id: id(1) }]);
    const wrong = here.db.shard(key).write(insert, [keysOn(2, 1)[0], id(2)]);
    await expect(wrong).rejects.toThrow(`shard app_shard_0 of key ${key}: got a row of another shard, want rows with this key`);
  });

  test("that ends while a bucket moves unannounced leaves a write's outcome unknown, and a transaction is done again", async () => {
    here.db = open(300);
    await here.db.shardMap();
    const moved = EVEN.map((shard) => (shard === 1 ? 0 : shard));
    const unknown = here.db.shard(key).write("select pg_sleep(1.5)");
    let called = 0;
    const again = here.db.shard(key).transaction(async (tx) => {
      called++;
      return (await tx.query("select current_database()::text as name from pg_sleep($1)", [called === 1 ? 1.5 : 0])).rows[0];
    });
    const [outcome, name] = await Promise.all([unknown.catch((error) => error), again, move(EVEN, moved)]);
    expect(outcome).toBeInstanceOf(UnknownOutcome);
    expect(name).toEqual({ name: "app_shard_0" });
    expect(called).toBe(2);
  });
});

describe("the map changes", () => {
  const halves = EVEN.map((shard) => shard % 2);

  test("from one server to shards and back, without a restart", async () => {
    await here.db.shard(1).write(insert, [1, id(1)]);
    await tellAll(EVEN);
    expect(await here.db.shard(1).name()).toBe("app");
    later();
    expect(await here.db.shard(1).name()).toBe("app");
    const home = SHARDS[bucketOf(1, "bigint", 64) % 4]!;
    await vi.waitFor(async () => expect(await here.db.shard(1).name()).toBe(home));
    await here.db.shard(1).write(insert, [1, id(2)]);
    expect(await on(home, "select id from item")).toEqual([{ id: id(2) }]);
    await tellAll(EVEN, { moving: ALL });
    await tellAll(Array(64).fill(0), { databases: ["app"] });
    await here.db.shard(1).write(insert, [1, id(3)]);
    expect(await on("app", "select id from item order by id")).toEqual([{ id: id(1) }, { id: id(3) }]);
    expect(here.db.figures().shards).toEqual({});
  });

  test("shards that are to get their first buckets have as many connections, before anybody needs them", async () => {
    await Promise.all([1, 2, 3, 4].map((key) => here.db.shard(key).write("select pg_sleep(0.1)")));
    await tellAll(Array(64).fill(0), { databases: ["app", ...SHARDS], moving: ALL });
    later();
    const open = () => Object.fromEntries(Object.entries(here.db.figures().shards).map(([name, { write }]) => [name, write.open]));
    await vi.waitFor(async () => {
      expect(await here.db.shard(1).name()).toBe("app");
      expect(open()).toEqual(Object.fromEntries(SHARDS.map((name) => [name, 1])));
    });
    expect(await here.db.onAllShards("select count(*)::int as n from item")).toEqual({ rows: [{ n: 0 }], failed: [] });
  });

  test("statements of every kind meet the old shard and are done on the new one", async () => {
    await tellAll(EVEN);
    const key = keysOn(3, 1)[0]!;
    const shard = here.db.shard(key);
    await shard.write(insert, [key, id(1)]);
    const kinds: (() => Promise<unknown>)[] = [
      () => shard.write("update item set n = n + 1 where user_id = $1", [key]),
      () => shard.read("select n from item where user_id = $1", [key]),
      () => shard.transaction((tx) => tx.query("update item set n = n + 1 where user_id = $1", [key]), { isolation: "repeatable read" }),
      () =>
        shard.bulkInsert(
          "item",
          (function* () {
            yield { user_id: key, id: id(2) };
          })(),
        ),
      () => here.db.onAllShards("select user_id, n from item", [], { aggregates: { rows: "count", total: ["sum", "n"] } }),
      () => here.db.findOne("select n from item where id = $1", [id(2)]),
      () => shard.bulkDelete("item", "n = 0"),
    ];
    let now = EVEN;
    const answers: unknown[] = [];
    for (const kind of kinds) {
      const next = now === EVEN ? halves : EVEN;
      await move(now, next);
      now = next;
      answers.push(await kind());
    }
    expect(answers).toEqual([
      { rows: [], count: 1 },
      [{ n: 1 }],
      { rows: [], count: 1 },
      { count: 1, way: "insert" },
      { rows: [{ rows: "2", total: "2" }], failed: [] },
      { n: 0 },
      1,
    ]);
    expect((await here.db.onAllShards("select id, n from item")).rows).toEqual([{ id: id(1), n: 2 }]);
  });

  test("a map that is set again changes nothing; an older one is refused", async () => {
    await tellAll(EVEN);
    await tell("app", EVEN);
    await expect(tell("app", halves)).rejects.toThrow("shard map: got version 1 after version 1, want one that is higher");
    await on("app", "rollback");
    expect((await here.db.shardMap()).buckets).toEqual(EVEN);
  });

  test("buckets leave a shard only when they were announced long enough before", async () => {
    await tellAll(EVEN);
    here.version++;
    const hasty = halves.flatMap((to, bucket) => (to !== 3 && EVEN[bucket] === 3 ? [bucket] : []));
    const refusal = (announced: string) =>
      `shard map: got buckets {${hasty.join(",")}} leaving app_shard_3, want them announced as moving for ${announced}`;
    await expect(tell(SHARDS[3], halves)).rejects.toThrow(refusal("00:00:00"));
    await on(SHARDS[3], "rollback");
    await tell(SHARDS[3], EVEN, { moving: ALL });
    here.version++;
    await expect(tell(SHARDS[3], halves, { announced: "20 s" })).rejects.toThrow(refusal("00:00:20"));
    await on(SHARDS[3], "rollback");
    await tell(SHARDS[3], halves);
  });

  test.each([
    ["every transaction has a fence", 0, 0],
    ["fences are for what moves", 400, 600],
  ])("while ten writers write, %s: nothing failed, lost, doubled or left behind", async (_, lease, announced) => {
    await tellAll(EVEN);
    await here.db.close();
    here.db = open(lease);
    const other = open(lease);
    const keys = Array.from({ length: 40 }, (_, i) => i + 1);
    for (const key of keys) await here.db.shard(key).write(insert, [key, id(0)]);
    const counted = new Map(keys.map((key) => [key, 0]));
    const kept = new Set<string>();
    let stop = false;
    let made = 0;
    let done = 0;
    const writer = async (n: number) => {
      const mine = n % 2 ? here.db : other;
      for (let round = n; !stop; round++) {
        const key = keys[(round * 7) % keys.length]!;
        const shard = mine.shard(key);
        const fresh = id(++made);
        switch (round % 4) {
          case 0:
            expect((await shard.write("update item set n = n + 1 where user_id = $1 and id = $2", [key, id(0)])).count).toBe(1);
            counted.set(key, counted.get(key)! + 1);
            break;
          case 1:
            await shard.write(insert, [key, fresh]);
            kept.add(`${key} ${fresh}`);
            break;
          case 2:
            await shard.transaction(
              async (tx) => {
                const { rows } = await tx.query("select n from item where user_id = $1 and id = $2 for update", [key, id(0)]);
                await tx.query("update item set n = $3 where user_id = $1 and id = $2", [key, id(0), rows[0]!.n + 1]);
                await tx.query(insert, [key, fresh]);
              },
              { isolation: round % 8 === 2 ? "repeatable read" : "read committed", retries: 50 },
            );
            counted.set(key, counted.get(key)! + 1);
            kept.add(`${key} ${fresh}`);
            break;
          default: {
            const two = [fresh, id(++made)];
            await shard.bulkInsert(
              "item",
              two.map((id) => ({ user_id: key, id })),
            );
            expect((await shard.write("delete from item where user_id = $1 and id = $2", [key, two[1]])).count).toBe(1);
            kept.add(`${key} ${fresh}`);
            expect(await shard.read("select n from item where user_id = $1 and id = $2", [key, fresh])).toHaveLength(1);
          }
        }
        done++;
      }
    };
    const writers = Promise.all(Array.from({ length: 10 }, (_, n) => writer(n)));
    writers.catch(() => undefined);
    const maps = [EVEN, halves, EVEN.map((shard) => 3 - shard), Array(64).fill(2), EVEN];
    for (const [i, next] of maps.slice(1).entries()) {
      const before = done;
      await Promise.race([vi.waitFor(() => expect(done).toBeGreaterThan(before + 100), 20_000), writers]);
      await move(maps[i]!, next, announced);
    }
    await sleep(100);
    stop = true;
    await writers;

    const { rows } = await here.db.onAllShards<{ user_id: string; id: string; n: number }>("select user_id, id, n from item");
    expect(
      rows
        .filter((row) => row.id !== id(0))
        .map((row) => `${row.user_id} ${row.id}`)
        .sort(),
    ).toEqual([...kept].sort());
    const counters = rows.filter((row) => row.id === id(0)).map((row) => [Number(row.user_id), row.n] as const);
    expect(counters.sort(([a], [b]) => a - b)).toEqual([...counted]);
    for (const [shard, name] of SHARDS.entries())
      expect(await on(name, `select * from item where (${BUCKET}) % 4 <> ${shard}`)).toEqual([]);
    await other.close();
  });
});
