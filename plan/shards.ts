/** Which rows each shard has: PostgreSQL's hash classes, so that the same key is found by partitions, row filters and routers. */

/** The rows whose bucket leaves `remainder` when divided by `modulus`, a power of two. */
export interface ShardClass {
  readonly modulus: number;
  readonly remainder: number;
}

/** The shard that shard `index` was split from: the one that makes shards even at every power of two. */
const evenSource = (index: number): number => index - 2 ** Math.floor(Math.log2(index));

/**
 * The class of each shard. Shard 0 begins with all rows, and each further shard takes half of an earlier one: by default so that 2, 4, 8 …
 * shards are even. A shard keeps its class when others are added that do not split it.
 *
 * @param count shards.
 * @param splits by shard, the earlier one that it takes its half of, where that is not the default.
 * @returns by shard index.
 */
export function shardClasses(count: number, splits: Readonly<Record<string, number>> = {}): readonly ShardClass[] {
  const classes: ShardClass[] = [{ modulus: 1, remainder: 0 }];
  for (let index = 1; index < count; index++) {
    const source = splits[index] ?? evenSource(index);
    const { modulus, remainder } = classes[source]!;
    classes[source] = { modulus: 2 * modulus, remainder };
    classes.push({ modulus: 2 * modulus, remainder: remainder + modulus });
  }
  return classes;
}

/** The shard that a shard was split from, and to which its rows go back when it leaves; null for shard 0. */
export const splitFrom = (index: number, splits: Readonly<Record<string, number>> = {}): number | null =>
  index === 0 ? null : (splits[index] ?? evenSource(index));

/** The shard of each bucket, bucket 0 first. Every class must be of at most `buckets` parts. */
export const shardOfBuckets = (classes: readonly ShardClass[], buckets: number): readonly number[] =>
  Array.from({ length: buckets }, (_, bucket) => classes.findIndex(({ modulus, remainder }) => bucket % modulus === remainder));

/** Ids that one range holds: 1,024 ranges below 2^53, up to which JavaScript's numbers are exact. The gateway draws from the first. */
export const ID_RANGE = 2 ** 43;
