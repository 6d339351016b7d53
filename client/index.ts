/** The TypeScript library of the ladder: everything an application may use of it. docs/guide/client.md shows how. */
export { InputError } from "../plan/types.ts";
export type { LoaderKey, LoaderOptions, TopOptions } from "./batch.ts";
export { type BulkOptions, type BulkResult, type BulkRow, COPY_ABOVE, type Conflict, type Rows } from "./bulk.ts";
export {
  Cache,
  type CacheOptions,
  type Codec,
  defaultsOf,
  type Figures as CacheFigures,
  hashTag,
  json,
  type Latency,
  type LoadOptions,
  openCache,
  PendingError,
  type QueuedWrite,
  type QueueFigures,
  QueueFullError,
  type QueueReport,
  Space,
  type SpaceDefaults,
  type SpaceOptions,
  TTL,
  type TtlName,
  tagged,
  type Warmed,
  WriteBehind,
  type WriteBehindOptions,
} from "./cache/index.ts";
export { type ConnectOptions, type PoolNumbers, poolSize, type SplitNumbers } from "./config.ts";
export { connect, type Database, type DatabaseFigures, type RoutingOptions, type Session, type SessionOptions } from "./database.ts";
export { isSerializationFailure, PoolTimeout, sqlState, TransactionRolledBack, UnknownOutcome } from "./errors.ts";
export { quote, quoteTable, type TableName } from "./ids.ts";
export type { DeleteOptions } from "./operations.ts";
export type { OrderBy, Page, PageOptions } from "./page.ts";
export type { PoolFigures } from "./pool.ts";
export {
  type Aggregate,
  type AggregateKind,
  bucketOf,
  type FailedShard,
  type FanAnswer,
  type FanOptions,
  type KeyType,
  type ServerFigures,
  type Shard,
  ShardAway,
  type ShardKey,
  type ShardMap,
  type ShardOptions,
  ShardsFailed,
  ShardTimeout,
  SpansShards,
} from "./shards/index.ts";
export type { ReadFigures } from "./split.ts";
export { STORE_BATCH, STORE_FLUSH_MS, Store } from "./store.ts";
export { setTenant, type Tenant, withTenant } from "./tenant.ts";
export type { Answer, Row, Transaction, TransactionOptions } from "./transaction.ts";
export * as values from "./values.ts";
