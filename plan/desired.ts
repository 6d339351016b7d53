import type { TableConfig } from "./config/tables.ts";
import type { Doors } from "./render/haproxy.ts";
import type { PatroniDynamic } from "./render/patroni.ts";
import type { PoolerLimits } from "./render/pgbouncer.ts";
import type { CacheUser } from "./render/valkey.ts";
import type { ShardClass } from "./shards.ts";
import type { KiB, Stage } from "./types.ts";

/** What the agent shall make true inside the network: written by the program, read by every command of the agent. */
export interface Desired {
  stack: string;
  stage: Stage;
  database: string;
  users: { write: string; read: string };
  /** Parameters of the application's sessions, by role: what may not hold for moves and migrations. */
  roleSettings: Readonly<Record<string, Readonly<Record<string, string>>>>;
  pooler: { host: string; port: number; limits: PoolerLimits };
  /** The cluster that clients enter by: the gateway where there are shards. */
  cluster: DesiredCluster;
  /** Clusters of shards, held ones too. */
  shards: readonly DesiredShard[];
  /** Hash buckets of the shard key. */
  buckets: number;
  /** null without a cache. */
  cache: DesiredCache | null;
  /** What the operator declared about tables, by name. */
  tables: Readonly<Record<string, TableConfig>>;
  /** The stage partitions the tables that are declared so. */
  partitions: boolean;
  /** Names of parts that an earlier stage left and `ladder finish` has not released. */
  held: readonly string[];
}

export interface DesiredCluster {
  name: string;
  /** Every node that runs, held ones too. */
  nodes: readonly string[];
  /** Nodes that may lead: those that the stage itself wants. */
  wanted: readonly string[];
  dynamic: PatroniDynamic;
  /** Ports of the pooler's HAProxy in front of this cluster. */
  doors: Doors;
  /** The pooler's databases that lead to this cluster in transactions: its primary, its replicas. */
  pools: { write: string; read: string };
}

/** A shard: a whole cluster. */
export interface DesiredShard extends DesiredCluster {
  index: number;
  /** The rows that belong on it; null where the configuration no longer wants the shard. */
  class: ShardClass | null;
}

export interface DesiredCache {
  /** Every node that runs, held ones too, with its port and the most that its data may take. */
  nodes: readonly { name: string; port: number; memory: KiB }[];
  /** Nodes that shall lead where there is a choice: those that the stage itself wants. */
  wanted: readonly string[];
  users: readonly CacheUser[];
  /** Where clients find the primary. */
  door: { host: string; port: number };
}

/** Passwords of the stack's roles, keyed by role name; never part of `Desired`. */
export type Passwords = Readonly<Record<string, string>>;
