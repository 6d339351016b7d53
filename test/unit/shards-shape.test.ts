import { describe, expect, it } from "vitest";
import { classesOfMap, movedBuckets, nextShape } from "../../agent/shards/grow-shape.ts";
import { shardClasses, shardOfBuckets } from "../../plan/shards.ts";

const map = (count: number, splits = {}) => classesOfMap(shardOfBuckets(shardClasses(count, splits), 64), count);

describe("classesOfMap", () => {
  it("finds the classes again that the map was made of", () => {
    for (let count = 1; count <= 16; count++) expect(map(count)).toEqual(shardClasses(count));
    expect(map(6, { 4: 3, 5: 3 })).toEqual(shardClasses(6, { 4: 3, 5: 3 }));
  });

  it("refuses buckets that are no class", () => {
    expect(() => classesOfMap([0, 0, 1, 1], 2)).toThrow(
      "shard map: got the buckets 0, 1 for shard 0, want every n-th bucket, n a power of two",
    );
    expect(() => classesOfMap([0, 0, 0, 1], 2)).toThrow("got the buckets 0, 1, 2 for shard 0");
    expect(() => classesOfMap([0, 0], 2)).toThrow("got the buckets none for shard 1");
  });
});

describe("nextShape", () => {
  it("has nothing to do where all is as wanted", () => {
    expect(nextShape(map(4), shardClasses(4))).toBeNull();
    expect(nextShape(map(1), shardClasses(1))).toBeNull();
  });

  it("grows by one shard, which takes half of the one that it is split from", () => {
    expect(nextShape(map(4), shardClasses(6))).toEqual({
      ...{ kind: "grow", from: 0, to: 4, class: { modulus: 8, remainder: 4 } },
      ...{ before: shardClasses(4), after: shardClasses(5) },
    });
    expect(nextShape(map(4), shardClasses(5, { 4: 2 }))).toMatchObject({ from: 2, to: 4, class: { modulus: 8, remainder: 6 } });
  });

  it("shrinks by the last shard, whose rows go back to the one that it was split from", () => {
    expect(nextShape(map(6), shardClasses(4))).toEqual({
      ...{ kind: "shrink", from: 5, to: 1, class: { modulus: 8, remainder: 5 } },
      ...{ before: shardClasses(6), after: shardClasses(5) },
    });
  });

  it("leads from any shape to any other, and each step moves the buckets of one shard only", () => {
    const shapes = [1, 2, 3, 4, 5, 6, 7, 8, 11, 16].map((count) => shardClasses(count));
    shapes.push(shardClasses(6, { 4: 1, 5: 1 }), shardClasses(6, { 4: 3, 5: 4 }), shardClasses(3, { 2: 1 }));
    for (const from of shapes)
      for (const to of shapes) {
        let now = from;
        let steps = 0;
        for (let step = nextShape(now, to); step; step = nextShape(now, to)) {
          expect(step.before).toEqual(now);
          expect(movedBuckets(step, 64)).toEqual(
            Array.from({ length: 64 }, (_, bucket) => bucket).filter((bucket) => bucket % step.class.modulus === step.class.remainder),
          );
          now = step.after;
          if (++steps > 40) break;
        }
        expect(now).toEqual(to);
      }
  });

  it("goes back to the common beginning where another shard is to be split", () => {
    const kinds = [];
    let now = map(6);
    for (let step = nextShape(now, shardClasses(6, { 5: 2 })); step; step = nextShape(now, shardClasses(6, { 5: 2 }))) {
      kinds.push(`${step.kind} ${step.from}→${step.to}`);
      now = step.after;
    }
    expect(kinds).toEqual(["shrink 5→1", "grow 2→5"]);
  });

  it("refuses classes that no splitting makes", () => {
    expect(() =>
      nextShape(
        [
          { modulus: 2, remainder: 1 },
          { modulus: 2, remainder: 0 },
        ],
        shardClasses(2),
      ),
    ).toThrow("shards: got the classes 1 of 2, 0 of 2, want some from which splitting and merging leads to 0 of 2, 1 of 2");
  });
});
