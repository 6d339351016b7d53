import fc from "fast-check";
import { expect, test } from "vitest";
import { shardClasses, shardOfBuckets, splitFrom } from "../../plan/shards.ts";

test("every power of two is even, the numbers between are halved from the first shard on", () => {
  expect(shardClasses(1)).toEqual([{ modulus: 1, remainder: 0 }]);
  expect(shardClasses(4)).toEqual([0, 1, 2, 3].map((remainder) => ({ modulus: 4, remainder })));
  expect(shardClasses(6)).toEqual([
    { modulus: 8, remainder: 0 },
    { modulus: 8, remainder: 1 },
    { modulus: 4, remainder: 2 },
    { modulus: 4, remainder: 3 },
    { modulus: 8, remainder: 4 },
    { modulus: 8, remainder: 5 },
  ]);
  expect(shardClasses(8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((remainder) => ({ modulus: 8, remainder })));
});

test("a hot shard is halved by name, the others stay", () => {
  expect(shardClasses(5, { 4: 2 })).toEqual([
    { modulus: 4, remainder: 0 },
    { modulus: 4, remainder: 1 },
    { modulus: 8, remainder: 2 },
    { modulus: 4, remainder: 3 },
    { modulus: 8, remainder: 6 },
  ]);
  expect([0, 1, 4, 5].map((index) => splitFrom(index, { 4: 2 }))).toEqual([null, 0, 2, 1]);
});

test("64 buckets over 6 shards: 8, 8, 16, 16, 8, 8", () => {
  const buckets = shardOfBuckets(shardClasses(6), 64);
  expect(buckets.slice(0, 9)).toEqual([0, 1, 2, 3, 4, 5, 2, 3, 0]);
  expect([0, 1, 2, 3, 4, 5].map((shard) => buckets.filter((each) => each === shard).length)).toEqual([8, 8, 16, 16, 8, 8]);
});

test("however shards are split, every bucket has one shard, and adding one takes only from the shard that it halves", () => {
  const shape = fc.integer({ min: 1, max: 12 }).chain((count) =>
    fc.tuple(
      fc.constant(count),
      fc
        .array(fc.nat(), { minLength: count, maxLength: count })
        .map((picks) => Object.fromEntries(picks.flatMap((pick, index) => (index === 0 ? [] : [[index, pick % index] as const])))),
    ),
  );
  fc.assert(
    fc.property(shape, ([count, splits]) => {
      const classes = shardClasses(count, splits);
      fc.pre(classes.every(({ modulus }) => modulus <= 64));
      const now = shardOfBuckets(classes, 64);
      expect(now.every((shard) => shard >= 0)).toBe(true);
      for (let bucket = 0; bucket < 64; bucket++)
        expect(classes.filter(({ modulus, remainder }) => bucket % modulus === remainder)).toHaveLength(1);
      if (count === 1) return;
      const before = shardOfBuckets(shardClasses(count - 1, splits), 64);
      const moved = before.flatMap((shard, bucket) => (shard === now[bucket] ? [] : [{ from: shard, to: now[bucket] }]));
      expect(moved.every(({ from, to }) => to === count - 1 && from === splitFrom(count - 1, splits))).toBe(true);
      expect(moved).toHaveLength(before.filter((shard) => shard === splitFrom(count - 1, splits)).length / 2);
    }),
  );
});
