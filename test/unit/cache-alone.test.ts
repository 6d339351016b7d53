/** The cache library without a cache (stages 1 and 2), its TTL table, options and codecs. Cannot prove: anything about Valkey. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { type Cache, type CacheOptions, defaultsOf, hashTag, json, openCache, TTL, tagged } from "../../client/cache/index.ts";
import { Limit } from "../../client/cache/limit.ts";

const alone = (options: Partial<CacheOptions> = {}): Promise<Cache> => openCache({ url: "", namespace: "t", ...options });

describe("without a cache", () => {
  test("the same calls, straight to the loader; callers at the same time share a load", async () => {
    const cache = await alone();
    const space = cache.space<number>("profile");
    let loads = 0;
    const loader = async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return ++loads;
    };
    expect(await Promise.all(Array.from({ length: 100 }, () => space.getOrLoad("a", loader)))).toEqual(Array(100).fill(1));
    expect(await space.getOrLoad("a", loader)).toBe(2);
    expect(await space.write("a", async () => 7)).toBe(7);
    expect(await space.change(["a", "b"], async () => "done")).toBe("done");
    await space.invalidateAll();
    expect(await space.peek("a")).toBeUndefined();
    expect(await space.warm(["a"], async () => new Map([["a", 1]]))).toEqual({ filled: 0, left: 1 });
    expect(await space.getMany(["a", "b"], async (keys) => new Map(keys.map((key) => [key, key.length])))).toEqual(
      new Map([
        ["a", 1],
        ["b", 1],
      ]),
    );
    expect(await cache.queues()).toEqual([]);
    expect(cache.figures()).toMatchObject({ localHits: 0, remoteHits: 0, loads: 4, joined: 99, errors: 0, skipped: 0, owed: 0, up: false });
    await cache.close();
  });

  test("a reader who comes after an invalidation does not get the load from before", async () => {
    const cache = await alone();
    const space = cache.space<number>("profile");
    const release = Promise.withResolvers<void>();
    const slow = space.getOrLoad("a", () => release.promise.then(() => 1));
    const joined = space.getOrLoad("a", async () => 3);
    await space.invalidate("a");
    const late = space.getOrLoad("a", async () => 2);
    release.resolve();
    expect([await slow, await late, await joined]).toEqual([1, 2, 3]);
    await cache.close();
  });

  test("one process alone may keep values, until it changes them", async () => {
    const cache = await alone({ local: { alone: true } });
    const space = cache.space<{ n: number }>("profile");
    const first = await space.getOrLoad("a", async () => ({ n: 1 }));
    first.n = 99;
    expect(await space.getOrLoad("a", () => expect.fail("is kept"))).toEqual({ n: 1 });
    await space.write("a", async () => ({ n: 2 }));
    expect(await space.getOrLoad("a", async () => ({ n: 2 }))).toEqual({ n: 2 });
    await space.invalidateAll();
    expect(await space.getOrLoad("a", async () => ({ n: 3 }))).toEqual({ n: 3 });
    expect(await cache.space<number>("unread").getOrLoad("a", async () => 1)).toBe(1);
    expect(await cache.space<number>("unread").getOrLoad("a", async () => 2)).toBe(2);
    expect(cache.figures().localHits).toBe(1);
    await cache.close();
  });

  test("write-behind: what is queued is what is read; full is refused; a journal of another is refused", async () => {
    const cache = await alone();
    const space = cache.space<number>("profile");
    const written: [string, number][] = [];
    const queue = await space.writeBehind({
      every: 60_000,
      maxPending: 2,
      flush: async (writes) => {
        written.push(...writes.map(({ key, value }): [string, number] => [key, value]));
      },
    });
    await queue.write("a", 1);
    await queue.write("a", 2);
    await expect(queue.write("b", 3)).rejects.toThrow(
      "write-behind of profile: got 2 queued writes, want fewer: the database does not keep up",
    );
    expect(await space.getOrLoad("a", () => expect.fail("is queued"))).toBe(2);
    await expect(space.writeBehind({ flush: async () => undefined })).rejects.toThrow("want one a process");
    await cache.close();
    expect(written).toEqual([
      ["a", 1],
      ["a", 2],
    ]);
    await expect(queue.write("a", 4)).rejects.toThrow("after close");
  });

  test("a stop that cannot write says what is left", async () => {
    const cache = await alone();
    const queue = await cache.space<number>("profile").writeBehind({
      drainTimeout: 50,
      flush: () => Promise.reject(new Error("no database")),
    });
    await queue.write("a", 1);
    await expect(cache.close()).rejects.toThrow("write-behind of profile: got 1 writes left after 50 ms, want none; they are nowhere else");
  });
});

describe("limit", () => {
  test("holds at most so many, and lets a load call a load", async () => {
    const limit = new Limit(2);
    let running = 0;
    let most = 0;
    const one = () =>
      limit.run(async () => {
        most = Math.max(most, ++running);
        await limit.run(() => new Promise((resolve) => setTimeout(resolve, 1)));
        running--;
      });
    await Promise.all(Array.from({ length: 10 }, one));
    expect(most).toBe(2);
  });
});

describe("values", () => {
  test("the TTL table", () => {
    expect(TTL).toEqual({
      profile: { ttl: 300_000, local: true },
      group: { ttl: 600_000, local: true },
      ranking: { ttl: 60_000, local: true },
      unread: { ttl: 60_000, local: false },
      permission: { ttl: 300_000, local: true },
    });
    expect(defaultsOf("group")).toBe(TTL.group);
    expect(defaultsOf("toString")).toEqual({ ttl: 300_000, local: true });
  });

  test("come back the same on the first read as later; a schema turns them into types", async () => {
    const cache = await alone();
    const at = new Date(0);
    expect(await cache.getOrLoad<unknown>("a", async () => ({ at, gone: undefined }))).toEqual({ at: at.toJSON() });
    const typed = cache.space<{ at: Date }>("typed", { codec: json(z.object({ at: z.coerce.date() })) });
    expect(await typed.getOrLoad("a", async () => ({ at }))).toEqual({ at });
    await expect(cache.getOrLoad("b", async () => undefined)).rejects.toThrow("b: got undefined, want a value or null");
    await cache.close();
  });

  test("hash tags are what a cluster takes for them", () => {
    expect([tagged("u:1", "posts"), "plain", "{}x", "a{b}c{d}", "a{b"].map(hashTag)).toEqual(["u:1", "plain", "{}x", "b", "a{b"]);
  });
});

describe("options", () => {
  test("every problem at once, without the password of the URL", async () => {
    const wrong = { url: "http://:secret@host", namespace: "a b", timeout: 0, local: { bytes: -1 } };
    await expect(openCache(wrong)).rejects.toThrow(/^cache: 4 problems\n/);
    const message = await openCache(wrong).then(
      () => "",
      (error: Error) => error.message,
    );
    expect(message).toContain('namespace: got "a b", want letters, digits, dots, underscores and dashes, at most 64');
    expect(message).toContain("url: got ");
    expect(message).not.toContain("secret");
  });

  test("of a space: once", async () => {
    const cache = await alone();
    expect(cache.space("a", { ttl: 5 })).toBe(cache.space("a"));
    expect(() => cache.space("a", { ttl: 5 })).toThrow("space a: got options a second time, want them with its first use only");
    expect(() => cache.space("b", { ttl: -1 })).toThrow("ttl: got -1");
    expect(() => cache.space("b:c")).toThrow('space: got "b:c"');
    await cache.close();
  });
});
