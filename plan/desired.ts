import type { TableConfig } from "./config/tables.ts";
import type { PatroniDynamic } from "./render/patroni.ts";
import type { Stage } from "./types.ts";

/** What the agent shall make true inside the network: written by the program, read by every command of the agent. */
export interface Desired {
  stack: string;
  stage: Stage;
  database: string;
  users: { write: string; read: string };
  /** Parameters of the application's sessions, by role: what may not hold for moves and migrations. */
  roleSettings: Readonly<Record<string, Readonly<Record<string, string>>>>;
  pooler: { host: string; port: number };
  cluster: DesiredCluster;
  /** What the operator declared about tables, by name. */
  tables: Readonly<Record<string, TableConfig>>;
  /** The stage partitions the tables that are declared so. */
  partitions: boolean;
  /** Names of parts that an earlier stage left and `ladder finish` has not released. */
  held: readonly string[];
}

export interface DesiredCluster {
  /** Every node that runs, held ones too. */
  nodes: readonly string[];
  /** Nodes that may lead: those that the stage itself wants. */
  wanted: readonly string[];
  dynamic: PatroniDynamic;
}

/** Passwords of the stack's roles, keyed by role name; never part of `Desired`. */
export type Passwords = Readonly<Record<string, string>>;
