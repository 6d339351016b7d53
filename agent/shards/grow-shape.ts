/** Which shard is split or merged next. Pure. */
import { type ShardClass, shardOfBuckets } from "../../plan/shards.ts";

/** One shard more or one shard less: the last one of the longer list, and the one that it was split from. */
export interface ShapeStep {
  kind: "grow" | "shrink";
  /** The shard that gives rows, and the one that gets them. */
  from: number;
  to: number;
  /** The rows that move: the last shard's. */
  class: ShardClass;
  /** Of every shard, by index, before and after the step. */
  before: readonly ShardClass[];
  after: readonly ShardClass[];
}

const isSame = (a: ShardClass, b: ShardClass): boolean => a.modulus === b.modulus && a.remainder === b.remainder;

/**
 * The classes of a shard map.
 *
 * @param shards the shard of each bucket; `count` shards, each with one class of them.
 * @throws Error where the buckets of a shard are none or no class: only somebody else can have made such a map.
 */
export function classesOfMap(shards: readonly number[], count: number): readonly ShardClass[] {
  return Array.from({ length: count }, (_, index) => {
    const mine = shards.flatMap((shard, bucket) => (shard === index ? [bucket] : []));
    const modulus = shards.length / mine.length;
    if (mine.some((bucket) => bucket % modulus !== mine[0]! % modulus) || mine.length === 0 || !Number.isInteger(modulus))
      throw new Error(
        `shard map: got the buckets ${mine.join(", ") || "none"} for shard ${index}, want every n-th bucket, n a power of two`,
      );
    return { modulus, remainder: mine[0]! };
  });
}

/** What there was before the last shard took its half, and of which shard; undefined where the last shard is no half of another one. */
function unsplit(classes: readonly ShardClass[]): { classes: readonly ShardClass[]; source: number } | undefined {
  const { modulus, remainder } = classes.at(-1)!;
  const half = modulus / 2;
  const source = classes.findIndex((one) => isSame(one, { modulus, remainder: remainder - half }));
  if (source < 0) return undefined;
  return {
    classes: classes.slice(0, -1).map((one, index) => (index === source ? { modulus: half, remainder: remainder - half } : one)),
    source,
  };
}

/** The classes of all earlier numbers of shards, by number. */
function history(classes: readonly ShardClass[]): Map<number, readonly ShardClass[]> {
  const found = new Map([[classes.length, classes]]);
  for (let now = classes; now.length > 1; ) {
    const before = unsplit(now);
    if (!before) break;
    now = before.classes;
    found.set(now.length, now);
  }
  return found;
}

/**
 * The next step from the classes that there are to those that are wanted; null when they are the same. Where both grew out of different splits, shards
 * leave until both have the same beginning.
 *
 * @throws Error where the wanted classes are not made by splitting shards.
 */
export function nextShape(current: readonly ShardClass[], wanted: readonly ShardClass[]): ShapeStep | null {
  const [there, goal] = [history(current), history(wanted)];
  const common = [...goal.keys()].find((count) => {
    const [a, b] = [there.get(count), goal.get(count)!];
    return a?.every((one, index) => isSame(one, b[index]!));
  });
  if (common === undefined)
    throw new Error(
      `shards: got the classes ${describe(current)}, want some from which splitting and merging leads to ${describe(wanted)}`,
    );
  if (common === current.length && common === wanted.length) return null;
  const kind = common < current.length ? "shrink" : "grow";
  const longer = kind === "shrink" ? current : goal.get(current.length + 1)!;
  const { classes: shorter, source } = unsplit(longer)!;
  const last = longer.length - 1;
  return kind === "grow"
    ? { kind, from: source, to: last, class: longer[last]!, before: shorter, after: longer }
    : { kind, from: last, to: source, class: longer[last]!, before: longer, after: shorter };
}

const describe = (classes: readonly ShardClass[]): string =>
  classes.map(({ modulus, remainder }) => `${remainder} of ${modulus}`).join(", ");

/** Buckets whose shard changes, in order. */
export function movedBuckets({ before, after }: Pick<ShapeStep, "before" | "after">, buckets: number): readonly number[] {
  const [old, next] = [shardOfBuckets(before, buckets), shardOfBuckets(after, buckets)];
  return old.flatMap((shard, bucket) => (shard === next[bucket] ? [] : [bucket]));
}
