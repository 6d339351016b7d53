/** The in-process level, and a cache that is down, on a real Valkey and a real PostgreSQL. Cannot prove: several machines, a cut network. */
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

describe("two levels", () => {
  test("a process's own memory follows another process's change", async () => {
    const cache = await cacheOf();
    const child = bench.child("read");
    expect(await child.says()).toBe("ready");
    const read = async () => {
      child.tell("k1");
      return JSON.parse(await child.says()) as [number, number];
    };
    expect((await read())[0]).toBe(1);
    await eventually(read, ([, localHits]) => localHits >= 2);
    await cache.space<number>("profile").write("k1", () => bench.set("k1", 2));
    await eventually(read, ([value]) => value === 2);
    await bench.set("k1", 3);
    await cache.space<number>("profile").invalidate("k1");
    await eventually(read, ([value]) => value === 3);
    await bench.set("k1", 4);
    await cache.space<number>("profile").invalidateAll();
    await eventually(read, ([value]) => value === 4);
    await child.kill();
  });

  test("a read that was overtaken by an invalidation is not kept", async () => {
    const cache = await cacheOf();
    const space = cache.space<number>("profile");
    await space.getOrLoad("k1", bench.load("k1"));
    for (let value = 2; value < 30; value++) {
      await bench.set("k1", value);
      await Promise.all([space.getOrLoad("k1", bench.load("k1")), space.invalidate("k1"), space.getOrLoad("k1", bench.load("k1"))]);
      expect(await space.getOrLoad("k1", bench.load("k1"))).toBe(value);
    }
  });

  test("is not used while messages do not arrive", async () => {
    const cache = await cacheOf({ timeout: 100 });
    const space = cache.space<number>("profile");
    await eventually(cache.figures.bind(cache), ({ coherent }) => coherent);
    await space.getOrLoad("k1", bench.load("k1"));
    await space.getOrLoad("k1", () => expect.fail("was kept"));
    expect(cache.figures().localHits).toBe(1);
    const [node] = bench.valkey.primaries;
    await node?.freeze();
    try {
      await bench.set("k1", 2);
      await eventually(cache.figures.bind(cache), ({ coherent }) => !coherent);
      expect(await space.getOrLoad("k1", bench.load("k1"))).toBe(2);
      expect(cache.figures().flushes).toBe(1);
    } finally {
      await node?.thaw();
    }
    await space.invalidate("k1");
    await eventually(cache.figures.bind(cache), ({ coherent, owed }) => coherent && owed === 0);
    expect(await space.getOrLoad("k1", bench.load("k1"))).toBe(2);
  });
});

describe("a dead cache", () => {
  test("fails nobody, bounds the loads, and comes back empty", async () => {
    const cache = await cacheOf({ timeout: 100, maxLoads: 3 });
    const space = cache.space<number>("profile");
    for (const key of KEYS) await space.getOrLoad(key, bench.load(key));
    const [node] = bench.valkey.primaries;
    await node?.kill();
    let running = 0;
    let most = 0;
    const loader = (key: string) => async () => {
      most = Math.max(most, ++running);
      const value = await bench.load(key)();
      running--;
      return value;
    };
    for (const key of KEYS) await space.write(key, () => bench.set(key, 2));
    await eventually(cache.figures.bind(cache), ({ coherent }) => !coherent);
    expect(new Set(await Promise.all(KEYS.map((key) => space.getOrLoad(key, loader(key)))))).toEqual(new Set([2]));
    expect(most).toBe(3);
    expect(cache.figures()).toMatchObject({ up: false, owed: 40 });
    await node?.start();
    await eventually(cache.figures.bind(cache), ({ up, owed, coherent }) => up && owed === 0 && coherent);
    for (const key of KEYS) expect(await space.getOrLoad(key, bench.load(key))).toBe(2);
    expect((await bench.valkey.entries("t")).size).toBe(40);
    expect(await bench.disagreements()).toEqual([]);
  });

  test("when opened: works from the database and connects later", async () => {
    const [node] = bench.valkey.primaries;
    await node?.kill();
    const cache = await cacheOf({ timeout: 100 });
    const space = cache.space<number>("profile");
    expect(await space.getOrLoad("k1", bench.load("k1"))).toBe(1);
    await node?.start();
    await eventually(cache.figures.bind(cache), ({ up, coherent }) => up && coherent);
    await space.getOrLoad("k1", bench.load("k1"));
    expect(await space.peek("k1")).toBe(1);
  });
});
