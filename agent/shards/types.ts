import type pg from "pg";
import type { KeyType } from "../../client/shards/bucket.ts";
import type { ShardClass } from "../../plan/shards.ts";

/** A table whose rows are spread over the shards. */
export interface ShardedTable {
  schema: string;
  table: string;
  /** The column that `shardBy` names, and its type. */
  key: string;
  keyType: KeyType;
}

export interface GlobalTable {
  schema: string;
  table: string;
}

/** A PostgreSQL cluster as the mover reaches it. */
export interface Server {
  /** Host names of its nodes as the other servers reach them, with the port 5432. */
  hosts: readonly string[];
  /** To its primary, the application's database, as the platform's administrator. */
  connect: () => Promise<pg.Client>;
}

export interface Shard extends Server {
  index: number;
  /** Its name at the pooler, such as app_shard_0: what `ladder.shard_map` calls it. */
  database: string;
  class: ShardClass;
}

/** Everything between which rows move. */
export interface Fleet {
  gateway: Server;
  /** By index. */
  shards: readonly Shard[];
  /** The application's database on every server; the write URL's name at the pooler. */
  database: string;
  buckets: number;
  tables: readonly ShardedTable[];
  globals: readonly GlobalTable[];
  /** Of the roles that servers use with each other. */
  passwords: { replication: string; gateway: string; gatewayRead: string };
  /** File with the stack's authority on every server; null where servers speak no TLS (tests). */
  rootCertificate: string | null;
  log: (line: string) => void;
}
