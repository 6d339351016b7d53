/**
 * The cache of the client library: values in the process, values in Valkey, both in step with the database. See docs/guide/cache.md.
 *
 * settings, ttl, codec: what the user says · cache, space: what the user calls · reader, local, batch: how a value is found · guard: write-through ·
 * behind, queue-options, journal, queues: write-behind · store, scripts: what the cache server does · link: connections ·
 * changes: messages between processes · owed: invalidations still to be confirmed · limit, figures
 */
export type { LoadMany } from "./batch.ts";
export { QueueFullError, WriteBehind } from "./behind.ts";
export { Cache, openCache, type SpaceOptions } from "./cache.ts";
export { type Codec, json } from "./codec.ts";
export type { Figures, Latency } from "./figures.ts";
export { PendingError } from "./guard.ts";
export type { QueuedWrite, QueueFigures, WriteBehindOptions } from "./queue-options.ts";
export type { QueueReport } from "./queues.ts";
export type { LoadOptions } from "./reader.ts";
export type { CacheOptions } from "./settings.ts";
export { Space, type Warmed } from "./space.ts";
export { hashTag, tagged } from "./store.ts";
export { defaultsOf, type SpaceDefaults, TTL, type TtlName } from "./ttl.ts";
