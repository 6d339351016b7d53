/** Shards: docs/guide/sharding-client.md. */
export { bucketOf, type KeyType } from "./bucket.ts";
export { type FailedShard, ShardAway, ShardsFailed, ShardTimeout, SpansShards } from "./errors.ts";
export type { FanAnswer, FanOptions } from "./fan.ts";
export type { ShardKey, ShardMap } from "./map.ts";
export type { ServerFigures } from "./open.ts";
export type { Aggregate, AggregateKind } from "./plan.ts";
export type { Shard, ShardOptions } from "./shard.ts";
