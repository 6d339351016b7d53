/** The parts that a topology is made of, and their names: the same thing has the same name at every stage. */
import type { Platform } from "./tuning/types.ts";
import type { KiB, Machine } from "./types.ts";

/**
 * `false`: the configuration wants the part. `"held"`: it does not, but the part may hold the only copy of data, so it
 * stays as it is. `"unprotected"`: let go by `ladder finish`; the next `up` deletes it.
 */
export type Held = false | "held" | "unprotected";

/** A part that holds data or membership, and so is never dropped by a plain `up`. */
export interface StatefulPart {
  readonly name: string;
  readonly region: string;
  readonly held: Held;
}

export type ClusterKind = "main" | "shard" | "coordinator" | "worker";

/** A Patroni or RDS set: one writer and the nodes that follow it. A region's standby cluster is a cluster of its own. */
export interface Cluster {
  readonly name: string;
  readonly kind: ClusterKind;
  /** Which shard or worker, from 0; 0 for main and coordinator. */
  readonly index: number;
  readonly region: string;
  /** The home region's cluster that a standby cluster replicates from; null in the home region. */
  readonly follows: string | null;
  readonly platform: Platform;
  /** RDS keeps a hidden standby of the primary in another zone. */
  readonly multiAz: boolean;
  /** A commit waits for a replica. */
  readonly synchronous: boolean;
}

/** One PostgreSQL server: a container, an EC2 host or an RDS instance. */
export interface Node extends StatefulPart {
  /** Name of its cluster. */
  readonly cluster: string;
  /**
   * The role it is made for; a fail-over swaps primary and replica. A replica may be promoted without a person, a standby
   * (in another region) is promoted by a person only.
   */
  readonly role: "primary" | "replica" | "standby";
  /** Zone of the region, 0 to 2. */
  readonly zone: number;
  readonly machine: Machine;
  /** AWS instance class, `db.` in front on RDS; null on docker. */
  readonly class: string | null;
}

/** A member of the etcd that Patroni uses in its region. */
export interface ConsensusMember extends StatefulPart {
  readonly zone: number;
}

/** A Valkey node: groups share the keys, the first node of a group is made as its primary. */
export interface CacheNode extends StatefulPart {
  readonly group: number;
  readonly role: "primary" | "replica";
  readonly zone: number;
  /** maxmemory of the node; on AWS the class decides it. */
  readonly memory: KiB;
  /** ElastiCache class; null on docker. */
  readonly class: string | null;
}

const ZONES = 3;

/** Zone of the `ordinal`-th member (from 1) of the `index`-th group: neighbours and first members spread over zones. */
export const zoneOf = (index: number, ordinal: number): number => (index + ordinal - 1) % ZONES;

/** `shard-0`, `main`; with the region at the end where it is not the home region: `main-eu-west-1`. */
export const partName = (...parts: readonly (string | number | null)[]): string => parts.filter((part) => part !== null).join("-");
