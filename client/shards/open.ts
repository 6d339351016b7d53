/** The pools of one server, the write URL's or a shard's. */
import { LRUCache } from "lru-cache";
import type { Table } from "../catalog.ts";
import { type ClientConfig, poolSettings } from "../config.ts";
import { type Core, Operations } from "../operations.ts";
import { ConnectionPool, type PoolFigures } from "../pool.ts";
import { type ReadFigures, Split } from "../split.ts";

/** What the pools of a server and its split did so far. */
export interface ServerFigures {
  write: PoolFigures;
  read: PoolFigures;
  reads: ReadFigures;
}

/** What a table's description may be old. */
const DESCRIPTIONS_MS = 60_000;

export class Server {
  readonly core: Core;
  readonly #reads: ConnectionPool;

  /** @param label stands before the pools' names in messages */
  constructor(config: ClientConfig, label = "") {
    const pool = (name: "write" | "read") => new ConnectionPool({ ...poolSettings(config, name), name: `${label}${name}` });
    const writes = pool("write");
    this.#reads = pool("read");
    const tables = new LRUCache<string, Table>({ max: 1000, ttl: DESCRIPTIONS_MS });
    this.core = { writes, split: new Split(this.#reads, writes, config), tables };
  }

  /** Opens so many connections of each pool. @default `min` */
  async ready(open: { write?: number; read?: number } = {}): Promise<void> {
    await Promise.all([this.core.writes.warm(open.write), this.#reads.warm(open.read)]);
  }

  figures(): ServerFigures {
    return { write: this.core.writes.figures(), read: this.#reads.figures(), reads: this.core.split.figures() };
  }

  async close(): Promise<void> {
    this.core.split.close();
    await Promise.all([this.core.writes.close(), this.#reads.close()]);
  }
}

/** What can be done with a server, under the conditions of a memory. */
export class Bound extends Operations {}

export const databaseOf = (url: string): string => decodeURIComponent(new URL(url).pathname.slice(1));

/**
 * How a shard is reached: as the main server, by another database name at the same pooler. What the read URL's name has behind the write
 * URL's (`app_read` behind `app`) it has behind the shard's. The pools share the configured sizes, rounded up.
 */
export function shardConfig(config: ClientConfig, shard: string, shards: number): ClientConfig {
  const write = databaseOf(config.writeUrl);
  const read = databaseOf(config.readUrl);
  const behind = read.startsWith(write) ? read.slice(write.length) : "";
  const part = (size: number) => Math.ceil(size / shards);
  return {
    ...config,
    writeUrl: named(config.writeUrl, shard),
    readUrl: named(config.readUrl, `${shard}${behind}`),
    writeSize: part(config.writeSize),
    readSize: part(config.readSize),
    min: part(config.min),
    overflow: part(config.overflow),
  };
}

function named(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${encodeURIComponent(database)}`;
  return changed.href;
}
