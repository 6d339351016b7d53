/** Write-through and write-behind on a real Valkey and a real PostgreSQL, with writers that are killed. Every key is compared in the end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Cache, type CacheOptions, openCache, PendingError, type QueuedWrite } from "../../client/cache/index.ts";
import { type CacheBench, cacheBench, eventually, KEYS } from "./cache-bench.ts";

let bench: CacheBench;
let folder: string;
const open: Cache[] = [];

async function cacheOf(options: Partial<CacheOptions> = {}): Promise<Cache> {
  const cache = await openCache({ url: bench.valkey.url, namespace: "t", timeout: 2000, beat: 50, ...options });
  open.push(cache);
  return cache;
}

/** Every entry of the cache equals its row, and so does what a reader gets. */
async function everyKeyAgrees(): Promise<void> {
  expect(await bench.disagreements()).toEqual([]);
  const cache = await cacheOf();
  const space = cache.space<number>("profile");
  const rows = await bench.rows();
  const read = await Promise.all(KEYS.map(async (key) => [key, await space.getOrLoad(key, bench.load(key))] as const));
  expect(new Map(read)).toEqual(rows);
  expect(await bench.disagreements()).toEqual([]);
}

const flush = async (writes: QueuedWrite<number>[]): Promise<void> => {
  for (const { key, value } of writes) await bench.set(key, value);
};

async function fill(cache: Cache): Promise<void> {
  for (const key of KEYS) await cache.space<number>("profile").getOrLoad(key, bench.load(key));
}

beforeAll(async () => {
  bench = await cacheBench({});
  folder = await mkdtemp(join(tmpdir(), "pgladder-cache-"));
});
beforeEach(() => bench.reset());
afterEach(async () => {
  await Promise.all(open.splice(0).map((cache) => cache.close()));
});
afterAll(async () => {
  await bench?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe("write-through", () => {
  test("what was written is what all read, without a load", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    await fill(b);
    expect(await a.space<number>("profile").write("k1", () => bench.set("k1", 7))).toBe(7);
    expect(await b.space<number>("profile").peek("k1")).toBe(7);
    await eventually(
      () => b.space<number>("profile").getOrLoad("k1", () => expect.fail("is in the cache")),
      (value) => value === 7,
    );
    await everyKeyAgrees();
  });

  test("while a write is under way nobody stores what they read", async () => {
    const [a, b] = [await cacheOf(), await cacheOf({ local: false })];
    await fill(b);
    const writing = a.space<number>("profile").write("k1", async () => {
      expect(await b.space<number>("profile").getOrLoad("k1", bench.load("k1"))).toBe(1);
      expect(await b.space<number>("profile").peek("k1")).toBeUndefined();
      return bench.set("k1", 2);
    });
    await writing;
    expect(b.figures().bypassed).toBe(1);
    await everyKeyAgrees();
  });

  test("of two writes that overlap neither is stored", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    await a.space<number>("profile").write("k1", async () => {
      await b.space<number>("profile").write("k1", () => bench.set("k1", 2));
      return bench.set("k1", 3);
    });
    expect(await b.space<number>("profile").peek("k1")).toBeUndefined();
    const late = a.space<number>("profile").write("k2", async () => {
      const value = await bench.set("k2", 2);
      await b.space<number>("profile").write("k2", () => bench.set("k2", 3));
      return value;
    });
    await late;
    await everyKeyAgrees();
  });

  test("a failing write leaves no value, a change of several keys none of theirs", async () => {
    const cache = await cacheOf();
    await fill(cache);
    const space = cache.space<number>("profile");
    const failing = space.write("k1", async () => {
      await bench.set("k1", 2);
      throw new Error("connection lost at commit");
    });
    await expect(failing).rejects.toThrow("connection lost at commit");
    await space.change(["k2", "k3"], async () => {
      await bench.set("k2", 2);
      await bench.set("k3", 2);
    });
    expect([...(await bench.valkey.entries("t"))].filter(([, { d }]) => d !== undefined)).toHaveLength(37);
    await everyKeyAgrees();
  });

  test("a cache that is emptied during a write", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    await a.space<number>("profile").write("k1", async () => {
      await bench.valkey.primaries[0]?.client.flushall();
      await b.space<number>("profile").getOrLoad("k1", bench.load("k1"));
      return bench.set("k1", 2);
    });
    await everyKeyAgrees();
  });

  test("a writer killed between its commit and the cache", async () => {
    const cache = await cacheOf({ local: false });
    await fill(cache);
    const child = bench.child("hangAfterCommit");
    expect(await child.says()).toBe("begun");
    expect(await cache.space<number>("profile").getOrLoad("k1", bench.load("k1"))).toBe(1);
    child.tell("commit");
    expect(await child.says()).toBe("committed");
    await child.kill();
    expect((await bench.rows()).get("k1")).toBe(2);
    expect(await cache.space<number>("profile").getOrLoad("k1", bench.load("k1"))).toBe(2);
    await everyKeyAgrees();
  });

  test("a writer killed at any moment, with readers beside it", async () => {
    const cache = await cacheOf();
    await fill(cache);
    const child = bench.child("writeThrough");
    let stop = false;
    const readers = Array.from({ length: 4 }, async (_, i) => {
      for (let n = i; !stop; n++) await cache.space<number>("profile").getOrLoad(`k${n % 40}`, bench.load(`k${n % 40}`));
    });
    for (let rounds = 0; rounds < 5; rounds++) expect(await child.says()).toMatch(/^round/);
    await child.kill();
    stop = true;
    await Promise.all(readers);
    expect(Math.max(...(await bench.rows()).values())).toBeGreaterThan(1);
    await everyKeyAgrees();
  });
});

describe("write-behind", () => {
  test("readers see it at once, the database gets it in order and in batches; a clean stop loses nothing", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    const batches: number[] = [];
    const order: number[] = [];
    const queue = await a.space<number>("profile").writeBehind({
      every: 60_000,
      batch: 50,
      flush: async (writes) => {
        batches.push(writes.length);
        order.push(...writes.filter(({ key }) => key === "k1").map(({ value }) => value));
        await flush(writes);
      },
    });
    await Promise.all(Array.from({ length: 49 }, (_, n) => queue.write(`k${n % 10}`, 100 + n)));
    expect((await bench.rows()).get("k1")).toBe(1);
    expect(await b.space<number>("profile").getOrLoad("k1", bench.load("k1"))).toBe(141);
    expect(await a.space<number>("profile").getOrLoad("k1", bench.load("k1"))).toBe(141);
    expect(queue.figures()).toMatchObject({ pending: 49, written: 0 });
    await a.close();
    expect(order).toEqual([101, 111, 121, 131, 141]);
    expect(batches).toEqual([49]);
    expect((await bench.rows()).get("k1")).toBe(141);
    expect(await b.queues()).toEqual([]);
    expect(await b.space<number>("profile").peek("k1")).toBe(141);
    await everyKeyAgrees();
  });

  test("two processes: one waits for the other's write of the same key", async () => {
    const [a, b] = [await cacheOf(), await cacheOf({ patience: 100 })];
    const hold = Promise.withResolvers<void>();
    const first = await a.space<number>("profile").writeBehind({ every: 1, flush: (writes) => hold.promise.then(() => flush(writes)) });
    const second = await b.space<number>("profile").writeBehind({ every: 1, flush });
    await first.write("k1", 2);
    await expect(second.write("k1", 3)).rejects.toThrow(PendingError);
    await expect(b.space<number>("profile").write("k1", () => bench.set("k1", 3))).rejects.toThrow(PendingError);
    hold.resolve();
    await first.drain();
    await second.write("k1", 3);
    await second.drain();
    expect((await bench.rows()).get("k1")).toBe(3);
    await everyKeyAgrees();
  });

  test("a change behind the queue's back is not covered up", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    const queue = await a.space<number>("profile").writeBehind({
      every: 60_000,
      flush: async (writes) => {
        await flush(writes);
        await bench.set("k1", 9);
        await b.space<number>("profile").invalidate("k1");
      },
    });
    await queue.write("k1", 2);
    await queue.drain();
    await everyKeyAgrees();
    expect((await bench.rows()).get("k1")).toBe(9);
  });

  test("errors: repeated while they may pass, given up one by one when not", async () => {
    const cache = await cacheOf();
    await bench.db.query("alter table item add constraint small check (value < 100)");
    let down = 2;
    const dead: string[] = [];
    const queue = await cache.space<number>("profile").writeBehind({
      every: 1,
      flush: async (writes) => {
        if (down-- > 0) throw Object.assign(new Error("the server closed the connection"), { code: "57P01" });
        await bench.db.query("begin");
        try {
          for (const { key, value } of writes) await bench.db.query("update item set value = $2 where id = $1", [key, value]);
          await bench.db.query("commit");
        } catch (error) {
          await bench.db.query("rollback");
          throw error;
        }
      },
      onDead: ({ key, value }, { message }) => dead.push(`${key} ${value}: ${message}`),
    });
    await Promise.all([queue.write("k1", 2), queue.write("k2", 200), queue.write("k3", 4)]);
    await queue.drain();
    await bench.db.query("alter table item drop constraint small");
    expect(queue.figures()).toMatchObject({ pending: 0, written: 2, retries: 2, dead: 1 });
    expect(dead).toEqual(['k2 200: new row for relation "item" violates check constraint "small"']);
    expect(queue.dead()).toMatchObject([{ key: "k2", value: 200 }]);
    expect(await bench.rows().then((rows) => ["k1", "k2", "k3"].map((key) => rows.get(key)))).toEqual([2, 1, 4]);
    await everyKeyAgrees();
  });

  test("killed after the database had them, with a journal: nothing is lost", async () => {
    const cache = await cacheOf();
    await fill(cache);
    const journal = join(folder, "killed.sqlite");
    const child = bench.child("hangInFlush", journal);
    const said = [await child.says(), await child.says()];
    expect(said.toSorted()).toEqual(["flushed", "queued"]);
    await eventually(
      () => cache.queues(),
      ([queue]) => queue?.pending === 100,
    );
    await child.kill();
    const queue = await cache.space<number>("profile").writeBehind({ journal, every: 10, flush });
    expect(queue.figures().recovered).toBe(100);
    await queue.drain();
    const rows = await bench.rows();
    expect(KEYS.map((key) => rows.get(key))).toEqual(KEYS.map((_, i) => 1000 + (i < 20 ? 80 + i : 40 + i)));
    await everyKeyAgrees();
    await eventually(
      () => cache.queues(),
      ([report]) => report?.pending === 0 && !report.abandoned,
    );
  });

  test("killed without a journal: at most what was queued is lost, and it is reported", async () => {
    const cache = await cacheOf();
    const child = bench.child("hangInFlush");
    const said = [await child.says(), await child.says()];
    expect(said.toSorted()).toEqual(["flushed", "queued"]);
    await eventually(
      () => cache.queues(),
      ([queue]) => queue?.pending === 100,
    );
    await child.kill();
    const { client } = bench.valkey.primaries[0] ?? expect.fail();
    const [owner, text] = Object.entries(await client.hgetall("t:@queues"))[0] ?? expect.fail();
    await client.hset("t:@queues", owner, JSON.stringify({ ...JSON.parse(text), seen: Date.now() - 10_001 }));
    expect(await cache.queues()).toMatchObject([{ owner, space: "profile", pending: 100, pid: child.process.pid, abandoned: true }]);
  });

  test("a killed cache: the queue goes on, and every key agrees after it is back", async () => {
    const cache = await cacheOf({ timeout: 100 });
    await fill(cache);
    const [node] = bench.valkey.primaries;
    const queue = await cache.space<number>("profile").writeBehind({ every: 10, flush });
    for (const [i, key] of KEYS.entries()) {
      if (i === 20) await node?.kill();
      await queue.write(key, 50 + i);
    }
    await queue.drain();
    await node?.start();
    await eventually(cache.figures.bind(cache), ({ up, owed, coherent }) => up && owed === 0 && coherent);
    const rows = await bench.rows();
    expect(KEYS.map((key) => rows.get(key))).toEqual(KEYS.map((_, i) => 50 + i));
    await everyKeyAgrees();
  });
});
