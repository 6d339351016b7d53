import type { KiB, Machine, Ms, Workload } from "../types.ts";

/** Who runs the server process: Patroni with a postgresql.conf, or RDS with a parameter group. */
export type Platform = "patroni" | "rds";

/** Everything that one node's settings depend on. */
export interface TuningInput {
  /** Cores, memory, storage and disk kind of this node. */
  machine: Machine;
  workload: Workload;
  /** Server connections that the poolers in front may open to this node, all databases and pools together. */
  serverConnections: number;
  /**
   * The most server connections this node shall take without a restart, because max_connections is static: give the next
   * stage's figure when it is known.
   * @default serverConnections
   */
  plannedConnections?: number;
  /** Streaming replicas of this node's cluster. */
  replicas: number;
  /** Slow statement log threshold; 1000 ms at stage 1, 100 ms at scale. */
  logMinDuration: Ms;
  /** Citus is preloaded: two-phase commit, more workers. */
  citus: boolean;
  /** Self-managed (Patroni, postgresql.conf) or RDS. */
  platform: Platform;
  /** Operator's overrides from the config key `settings`: values as postgresql.conf takes them, '16MB', '1s', 'on'. */
  overrides: Readonly<Record<string, string>>;
  /**
   * Database that holds pg_cron's jobs.
   * @default "app"
   */
  database?: string;
  /**
   * The primary's settings, where this node is a standby of it: PostgreSQL refuses a standby whose max_connections,
   * max_worker_processes, max_wal_senders, max_prepared_transactions or max_locks_per_transaction is lower, so they are lifted.
   */
  primary?: Settings;
}

/** A parameter's value in the program's own units; the renderers turn it into each target's. */
export type SettingValue =
  | { readonly kind: "memory"; readonly kib: KiB }
  | { readonly kind: "time"; readonly ms: Ms }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "text"; readonly value: string };

/** One parameter of one node. */
export interface Setting {
  readonly name: string;
  readonly value: SettingValue;
  /** Why this value, with the arithmetic. */
  readonly reason: string;
  /** PostgreSQL reads it at server start only. */
  readonly restart: boolean;
  /** Computed; the operator's; or not to be changed because another part of the system relies on it. */
  readonly source: "default" | "override" | "fixed";
}

/** All parameters of one node, in the order they are shown. */
export type Settings = readonly Setting[];
