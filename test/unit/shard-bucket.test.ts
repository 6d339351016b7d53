import { expect, test } from "vitest";
import { bucketOf } from "../../client/shards/bucket.ts";

test("buckets that PostgreSQL 17 gave", () => {
  const bigints = [0n, 1n, -1n, 42n, 1_234_567_890_123n, -77_777_777_777n];
  expect(bigints.map((key) => bucketOf(key, "bigint", 1_024))).toEqual([432, 952, 933, 610, 719, 582]);
  expect(["", "a", "hello world!", "hello world!!"].map((key) => bucketOf(key, "text", 1_024))).toEqual([166, 862, 220, 899]);
  expect(bucketOf("0190b7e4-1111-7aaa-8bbb-123456789abc", "uuid", 1_024)).toBe(838);
});

test("one key in its several forms has one bucket", () => {
  expect([42, 42n, "42"].map((key) => bucketOf(key, "bigint", 64))).toEqual([34, 34, 34]);
  expect(bucketOf(42, "integer", 64)).toBe(34);
  const uuid = "0190b7e4-1111-7aaa-8bbb-123456789abc";
  expect([uuid.toUpperCase(), uuid.replaceAll("-", "")].map((key) => bucketOf(key, "uuid", 1_024))).toEqual([838, 838]);
});

test("fewer buckets are the low bits of more: a bucket splits in two", () => {
  for (let key = 0; key < 1_000; key++) expect(bucketOf(key, "bigint", 64)).toBe(bucketOf(key, "bigint", 128) % 64);
});

test("a key that is none of its type, and a wrong number of buckets", () => {
  expect(() => bucketOf(2 ** 53, "bigint", 64)).toThrow('a key of type bigint: got "9007199254740992", want a whole number of 64 bits');
  expect(() => bucketOf("9223372036854775808", "bigint", 64)).toThrow("want a whole number of 64 bits");
  expect(() => bucketOf("1e3", "bigint", 64)).toThrow('got "1e3"');
  expect(() => bucketOf(2_147_483_648, "integer", 64)).toThrow('a key of type integer: got "2147483648", want a whole number of 32 bits');
  expect(() => bucketOf("0190b7e4", "uuid", 64)).toThrow('a key of type uuid: got "0190b7e4", want a uuid');
  expect(() => bucketOf(7, "text", 64)).toThrow("a key of type text: got 7 (number), want a string");
  expect(() => bucketOf(7, "bigint", 48)).toThrow("buckets: got 48, want a power of two up to 1024");
});
