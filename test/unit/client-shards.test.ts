/** How shards are found without a server. That they are reached: test/postgres/client-shards.test.ts. */
import { expect, test } from "vitest";
import { readConfig } from "../../client/config.ts";
import { placeOf, wholeMap } from "../../client/shards/map.ts";
import { shardConfig } from "../../client/shards/open.ts";

const WRITE = "postgresql://app:s%40cret@db:6432/app?sslmode=require";
const READ = "postgresql://app_ro:secret@db:6432/app_read?sslmode=require";

test("a shard's URLs are the write and read URL with another database; the pools' sizes are shared", () => {
  const config = readConfig({ writeUrl: WRITE, readUrl: READ, writeSize: 20, readSize: 50, min: 10, overflow: 30, env: {} });
  expect(shardConfig(config, "app_shard_2", 4)).toEqual({
    ...config,
    writeUrl: "postgresql://app:s%40cret@db:6432/app_shard_2?sslmode=require",
    readUrl: "postgresql://app_ro:secret@db:6432/app_shard_2_read?sslmode=require",
    writeSize: 5,
    readSize: 13,
    min: 3,
    overflow: 8,
  });
});

test.each([
  ["the write URL", WRITE, "postgresql://app:s%40cret@db:6432/app_shard_0?sslmode=require"],
  ["a replica's, by another host", "postgresql://app@replica:5432/app", "postgresql://app@replica:5432/app_shard_0"],
  ["another name", "postgresql://app@db:6432/reports", "postgresql://app@db:6432/app_shard_0"],
])("reads by %s", (_, readUrl, shard) => {
  expect(shardConfig(readConfig({ writeUrl: WRITE, readUrl, env: {} }), "app_shard_0", 1).readUrl).toBe(shard);
});

test("before there is a map every key is where the write URL leads", () => {
  const map = wholeMap("app");
  expect([map.version, map.shards, new Set(map.buckets), map.buckets.length]).toEqual([0, ["app"], new Set([0]), 64]);
  expect(placeOf(map, 1n, "bigint").shard).toBe("app");
  expect(() => placeOf(map, "x", "uuid")).toThrow(RangeError);
});

test("a key's shard is the one of its bucket", () => {
  const map = { version: 3, shards: ["a", "b"], buckets: [0, 1, 1, 0], moving: [] };
  const places = [1, 2, 3, 4, 5, 6, 7, 8].map((key) => placeOf(map, key, "bigint"));
  expect(places.map(({ bucket, shard }) => shard === "ab"[map.buckets[bucket]!])).toEqual(Array(8).fill(true));
  expect(new Set(places.map(({ bucket }) => bucket)).size).toBeGreaterThan(1);
});
