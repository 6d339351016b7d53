/** Get-or-load on a real Valkey and a real PostgreSQL. Cannot prove: several machines, a cut network. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Cache, type CacheOptions, openCache } from "../../client/cache/index.ts";
import { type CacheBench, cacheBench, eventually, KEYS } from "./cache-bench.ts";

let bench: CacheBench;
const open: Cache[] = [];

async function cacheOf(options: Partial<CacheOptions> = {}): Promise<Cache> {
  const cache = await openCache({ url: bench.valkey.url, namespace: "t", timeout: 2000, beat: 50, ...options });
  open.push(cache);
  return cache;
}

beforeAll(async () => {
  bench = await cacheBench({});
});
beforeEach(() => bench.reset());
afterEach(async () => {
  await Promise.all(open.splice(0).map((cache) => cache.close()));
});
afterAll(() => bench?.stop());

/** Lets a loader start, then holds it until told. */
function held<T>(load: () => Promise<T>) {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let begun: () => void = () => undefined;
  const started = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const loader = async () => {
    const value = await load();
    begun();
    await released;
    return value;
  };
  return { loader, started, release };
}

describe("one load for all who ask", () => {
  test("100 readers in two clients: one load", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    let loads = 0;
    const loader = async () => {
      loads++;
      await bench.db.query("select pg_sleep(0.1)");
      return bench.load("k1")();
    };
    const readers = Array.from({ length: 100 }, (_, i) => (i % 2 ? a : b).space<number>("profile").getOrLoad("k1", loader));
    expect(new Set(await Promise.all(readers))).toEqual(new Set([1]));
    expect(loads).toBe(1);
    expect(a.figures().loads + b.figures().loads).toBe(1);
    expect(a.figures().waited + b.figures().waited).toBe(1);
    expect(a.figures().joined).toBe(49);
  });

  test("100 readers in two processes: one load", async () => {
    const children = [bench.child("stampede"), bench.child("stampede")];
    for (const child of children) expect(await child.says()).toBe("ready");
    for (const child of children) child.tell("k2");
    for (const child of children) expect(await child.says()).toBe("[1]");
    expect((await bench.db.query("select id from load")).rows).toEqual([{ id: "k2" }]);
  });

  test("a load that fails lets the next one try, and is not waited for", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    const failing = a.space<number>("profile").getOrLoad("k1", async () => {
      throw new Error("no database");
    });
    await expect(failing).rejects.toThrow("no database");
    expect(await b.space<number>("profile").getOrLoad("k1", bench.load("k1"))).toBe(1);
    expect(a.figures().loadErrors).toBe(1);
    expect(b.figures().waited).toBe(0);
  });
});

describe("an invalidation during a load wins", () => {
  for (const other of [false, true])
    test(`sent by ${other ? "another client" : "the same client"}`, async () => {
      const reader = await cacheOf();
      const writer = other ? await cacheOf() : reader;
      const { loader, started, release } = held(bench.load("k1"));
      const slow = reader.space<number>("profile").getOrLoad("k1", loader);
      await started;
      await bench.set("k1", 2);
      await writer.space<number>("profile").invalidate("k1");
      release();
      expect(await slow).toBe(1);
      expect(reader.figures().refused).toBe(1);
      expect(await bench.disagreements()).toEqual([]);
      expect(await reader.space<number>("profile").getOrLoad("k1", bench.load("k1"))).toBe(2);
    });

  test("of the whole space", async () => {
    const [reader, writer] = [await cacheOf(), await cacheOf()];
    const { loader, started, release } = held(bench.load("k1"));
    const slow = reader.space<number>("profile").getOrLoad("k1", loader);
    await started;
    await bench.set("k1", 2);
    await writer.space<number>("profile").invalidateAll();
    release();
    expect(await slow).toBe(1);
    await eventually(
      () => reader.space<number>("profile").getOrLoad("k1", bench.load("k1")),
      (value) => value === 2,
    );
    expect(await writer.space<number>("profile").getOrLoad("k1", () => expect.fail("was loaded again"))).toBe(2);
  });

  test("a reader who comes after it does not join the old load", async () => {
    const cache = await cacheOf();
    const unread = cache.space<number>("unread");
    const { loader, started, release } = held(bench.load("k1"));
    const slow = unread.getOrLoad("k1", loader);
    await started;
    await bench.set("k1", 2);
    const other = await cacheOf();
    await other.space<number>("unread").invalidate("k1");
    const late = unread.getOrLoad("k1", bench.load("k1"));
    release();
    expect([await slow, await late]).toEqual([1, 2]);
  });

  test("and so does a cache that lost everything meanwhile", async () => {
    const cache = await cacheOf();
    const { loader, started, release } = held(bench.load("k1"));
    const slow = cache.space<number>("profile").getOrLoad("k1", loader);
    await started;
    await bench.valkey.primaries[0]?.client.flushall();
    release();
    expect(await slow).toBe(1);
    expect(cache.figures().refused).toBe(1);
    expect(await cache.space<number>("profile").peek("k1")).toBeUndefined();
  });
});

describe("time", () => {
  test("a value ends with its time to live, which chance only shortens", async () => {
    const cache = await cacheOf({ local: false });
    const space = cache.space<number>("short", { ttl: 150 });
    await space.getOrLoad("k1", bench.load("k1"));
    const [entry] = (await bench.valkey.entries("t")).values();
    const { client } = bench.valkey.primaries[0] ?? expect.fail();
    const [seconds, micros] = await client.time();
    const left = Number(entry?.f) - Number(seconds) * 1000 - Number(micros) / 1000;
    expect(left).toBeLessThanOrEqual(150);
    await bench.set("k1", 2);
    await eventually(
      () => space.getOrLoad("k1", bench.load("k1")),
      (value) => value === 2,
    );
    expect(await bench.disagreements("short")).toEqual([]);
  });

  test("spaces of the table take its times", async () => {
    const cache = await cacheOf();
    for (const name of ["profile", "group", "ranking", "unread", "permission"])
      await cache.space<number>(name).getOrLoad("k1", bench.load("k1"));
    const { client } = bench.valkey.primaries[0] ?? expect.fail();
    const lives = await Promise.all(["profile", "group", "ranking", "unread", "permission"].map((name) => client.pttl(`t:${name}:k1`)));
    for (const [i, most] of [300_000, 600_000, 60_000, 60_000, 300_000].entries()) {
      expect(lives[i]).toBeLessThanOrEqual(most);
      expect(lives[i]).toBeGreaterThan(most * 0.8);
    }
  });

  test("real time: every read asks the cache, an event changes what the next one sees", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    await a.space<number>("unread").getOrLoad("k1", bench.load("k1"));
    await a.space<number>("unread").getOrLoad("k1", bench.load("k1"));
    expect(a.figures().localHits).toBe(0);
    await bench.set("k1", 5);
    await b.space<number>("unread").invalidate("k1");
    expect(await a.space<number>("unread").getOrLoad("k1", bench.load("k1"))).toBe(5);
  });

  test("stale while one refreshes", async () => {
    const cache = await cacheOf({ local: false });
    const space = cache.space<number>("short", { ttl: 1, stale: 60_000 });
    await space.getOrLoad("k1", bench.load("k1"));
    await bench.set("k1", 2);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const { loader, started, release } = held(bench.load("k1"));
    expect(await space.getOrLoad("k1", loader)).toBe(1);
    await started;
    expect(await space.getOrLoad("k1", () => expect.fail("a second refresh"))).toBe(1);
    release();
    await eventually(
      () => space.peek("k1"),
      (value) => value === 2,
    );
    expect(cache.figures()).toMatchObject({ refreshes: 1, loads: 2, staleHits: 2 });
  });

  test("what does not exist is remembered only when asked for", async () => {
    const cache = await cacheOf({ local: false });
    let loads = 0;
    const nobody = async () => {
      loads++;
      return null;
    };
    const plain = cache.space<number | null>("plain");
    const negative = cache.space<number | null>("negative", { negativeTtl: 60_000 });
    for (const space of [plain, negative]) for (let i = 0; i < 3; i++) expect(await space.getOrLoad("x", nobody)).toBeNull();
    expect(loads).toBe(3 + 1);
  });
});

describe("many keys", () => {
  test("getMany loads what is missing with one query", async () => {
    const cache = await cacheOf();
    const space = cache.space<number>("profile");
    await space.getOrLoad("k0", bench.load("k0"));
    const asked: string[][] = [];
    const loadMany = async (keys: string[]) => {
      asked.push(keys.toSorted());
      const { rows } = await bench.db.query<{ id: string; value: number }>("select id, value from item where id = any($1)", [keys]);
      return new Map(rows.map((row) => [row.id, row.value]));
    };
    const values = await space.getMany(["k0", "k1", "k2", "nobody"], loadMany);
    expect([...values]).toEqual([
      ["k0", 1],
      ["k1", 1],
      ["k2", 1],
      ["nobody", null],
    ]);
    expect(asked).toEqual([["k1", "k2", "nobody"]]);
    expect(await space.warm(KEYS, loadMany)).toEqual({ filled: 37, left: 3 });
    expect(asked).toHaveLength(2);
    expect((await bench.valkey.entries("t")).size).toBe(40);
    expect(await bench.disagreements()).toEqual([]);
    await space.getOrLoad("k39", () => expect.fail("was warmed"));
  });
});
