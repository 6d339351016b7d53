/** The cache in cluster mode, three groups with a replica each, and one group with TLS. Cannot prove: members on several machines, ElastiCache. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Cache, type CacheOptions, openCache, tagged } from "../../client/cache/index.ts";
import { startValkey } from "../support/valkey.ts";
import { type CacheBench, cacheBench, eventually, KEYS } from "./cache-bench.ts";

let bench: CacheBench;
const open: Cache[] = [];

async function cacheOf(options: Partial<CacheOptions> = {}): Promise<Cache> {
  const cache = await openCache({ url: bench.valkey.url, namespace: "t", timeout: 2000, beat: 100, ...options });
  open.push(cache);
  return cache;
}

async function everyKeyAgrees(cache: Cache): Promise<void> {
  expect(await bench.disagreements()).toEqual([]);
  const read = KEYS.map(async (key) => [key, await cache.space<number>("profile").getOrLoad(key, bench.load(key))] as const);
  expect(new Map(await Promise.all(read))).toEqual(await bench.rows());
  expect(await bench.disagreements()).toEqual([]);
}

beforeAll(async () => {
  bench = await cacheBench({ groups: 3, replicas: 1 });
});
beforeEach(async () => {
  await bench.db.query("truncate item; insert into item select 'k' || n, 1 from generate_series(0, 39) n");
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((cache) => cache.close()));
});
afterAll(() => bench?.stop());

describe("three groups", () => {
  test("keys lie in all groups; loads, writes, versions and messages work across them", async () => {
    const [a, b] = [await cacheOf(), await cacheOf()];
    const [mine, theirs] = [a.space<number>("profile"), b.space<number>("profile")];
    await eventually(b.figures.bind(b), ({ coherent }) => coherent);
    for (const key of KEYS) {
      await mine.getOrLoad(key, bench.load(key));
      await theirs.getOrLoad(key, bench.load(key));
      await theirs.getOrLoad(key, bench.load(key));
    }
    expect(b.figures()).toMatchObject({ localHits: 40, remoteHits: 40, loads: 0 });
    for (const { client } of bench.valkey.primaries) expect(await client.dbsize()).toBeGreaterThan(5);
    for (const key of KEYS) await mine.write(key, () => bench.set(key, 2));
    for (const key of KEYS)
      await eventually(
        () => theirs.getOrLoad(key, bench.load(key)),
        (value) => value === 2,
      );
    await everyKeyAgrees(a);
    for (const key of KEYS) await bench.set(key, 3);
    await mine.invalidateAll();
    for (const key of KEYS) expect(await mine.getOrLoad(key, bench.load(key))).toBe(3);
    expect(a.figures()).toMatchObject({ errors: 0, timeouts: 0, unconfirmed: 0 });
  });

  test("one hash tag, one slot: keys of a tag change in one step", async () => {
    const cache = await cacheOf();
    const space = cache.space<number>("tagged");
    const keys = ["profile", "posts", "unread"].map((key) => tagged("user:7", key));
    expect(keys[0]).toBe("{user:7}:profile");
    for (const key of keys) await space.getOrLoad(key, async () => 1);
    const [first] = bench.valkey.primaries;
    const slots = await Promise.all(keys.map((key) => first?.client.cluster("KEYSLOT", `t:tagged:${key}`)));
    expect(new Set(slots).size).toBe(1);
    const calls = async () => {
      const stats = await Promise.all(bench.valkey.primaries.map(({ client }) => client.info("commandstats")));
      return stats.reduce((sum, text) => sum + Number(/cmdstat_publish:calls=(\d+)/.exec(text)?.[1] ?? 0), 0);
    };
    const evals = async () => {
      const stats = await Promise.all(bench.valkey.primaries.map(({ client }) => client.info("commandstats")));
      return stats.reduce((sum, text) => sum + Number(/cmdstat_eval:calls=(\d+)/.exec(text)?.[1] ?? 0), 0);
    };
    expect(await calls()).toBeGreaterThan(0);
    const before = await evals();
    await space.invalidate(keys);
    expect(await evals()).toBe(before + 1);
    for (const key of keys) expect(await space.peek(key)).toBeUndefined();
  });

  test("a fail-over under writes: every key agrees", async () => {
    const [writer, reader] = [await cacheOf(), await cacheOf()];
    let stop = false;
    const loops = [
      ...Array.from({ length: 3 }, async (_, i) => {
        for (let n = i; !stop; n += 3) {
          const key = `k${n % 40}`;
          await writer.space<number>("profile").write(key, () => bench.set(key, n));
        }
      }),
      (async () => {
        for (let n = 0; !stop; n++) await reader.space<number>("profile").getOrLoad(`k${n % 40}`, bench.load(`k${n % 40}`));
      })(),
    ];
    await eventually(bench.rows, (rows) => Math.min(...rows.values()) > 1);
    await bench.valkey.takeOver(0);
    const after = Math.max(...(await bench.rows()).values());
    await eventually(bench.rows, (rows) => Math.min(...rows.values()) > after);
    stop = true;
    await Promise.all(loops);
    await eventually(writer.figures.bind(writer), ({ owed }) => owed === 0);
    await eventually(reader.figures.bind(reader), ({ coherent, owed }) => coherent && owed === 0);
    await everyKeyAgrees(reader);
  });

  test("a replica that missed invalidations is promoted: they are repeated until it has them", async () => {
    const cache = await cacheOf();
    const space = cache.space<number>("profile");
    for (const key of KEYS) await space.getOrLoad(key, bench.load(key));
    const replica = bench.valkey.replicas[1]?.[0] ?? expect.fail();
    const held = await eventually(
      () => replica.client.info("replication"),
      (text) => text.includes("master_link_status:up"),
    );
    expect(held).toContain("role:slave");
    await replica.client.config("SET", "masterauth", "wrong");
    await replica.client.client("KILL", "TYPE", "MASTER");
    await eventually(
      () => replica.client.info("replication"),
      (text) => text.includes("master_link_status:down"),
    );
    for (const [i, key] of KEYS.entries()) {
      if (i % 2) await space.write(key, () => bench.set(key, 2));
      else {
        await bench.set(key, 2);
        await space.invalidate(key);
      }
    }
    expect(cache.figures().unconfirmed).toBeGreaterThan(0);
    expect(cache.figures().owed).toBeGreaterThan(0);
    await bench.valkey.takeOver(1);
    expect(await bench.disagreements()).not.toEqual([]);
    await eventually(cache.figures.bind(cache), ({ owed }) => owed === 0);
    await everyKeyAgrees(cache);
  });
});

describe("one group", () => {
  test("a cluster with one group and TLS: found out, certificate checked against the URL's host", async () => {
    const single = await startValkey({ groups: 1, tls: true });
    try {
      const url = single.url.replace("127.0.0.1", "localhost");
      const cache = await openCache({ url, namespace: "t", timeout: 2000, caCertificate: single.ca as string });
      for (const key of KEYS) expect(await cache.getOrLoad(key, async () => key)).toBe(key);
      await cache.invalidate("k1");
      expect((await single.entries("t")).size).toBe(39);
      expect(cache.figures()).toMatchObject({ up: true, errors: 0, timeouts: 0, skipped: 0 });
      await cache.close();
      const stranger = await openCache({ url, namespace: "t" });
      expect(await stranger.getOrLoad("k2", async () => "database")).toBe("database");
      expect(stranger.figures().up).toBe(false);
      await stranger.close();
    } finally {
      await single.stop();
    }
  });
});
