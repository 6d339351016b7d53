/** The shards of a topology, which rows they have, and how an application reaches them. */
import type { Cluster } from "./parts.ts";
import { type ShardClass, shardClasses, shardOfBuckets } from "./shards.ts";
import type { Login, Topology } from "./topology.ts";

/** A shard's cluster in the home region. */
export interface ShardPart {
  readonly cluster: Cluster;
  /** null where the configuration no longer wants the shard: it is held until `ladder finish`. */
  readonly class: ShardClass | null;
}

/** By index, held ones last. */
export function shardParts({ clusters, nodes, splits }: Topology): readonly ShardPart[] {
  const shards = clusters.filter(({ kind, follows }) => kind === "shard" && follows === null);
  const isWanted = ({ name }: Cluster) => nodes.some((node) => node.cluster === name && node.held === false);
  const wanted = shards.filter(isWanted);
  const classes = wanted.length > 0 ? shardClasses(wanted.length, splits) : [];
  return shards.map((cluster) => ({ cluster, class: isWanted(cluster) ? classes[cluster.index]! : null }));
}

/** The stack's output `shardMap`; empty without shards. */
export type ShardMap = Record<string, never> | FilledShardMap;

export interface FilledShardMap {
  buckets: number;
  shards: readonly { name: string; database: string; class: ShardClass; url: string; readUrl: string }[];
  /** Index of each bucket's shard, bucket 0 first. */
  shardOfBucket: readonly number[];
}

/**
 * Where each row shall be; while data moves, `ladder.shard_map` in the databases says where it is.
 *
 * @param urlOf the URL of a login, with its password
 */
export function shardMap(topology: Topology, urlOf: (login: Login) => string): ShardMap {
  const { buckets, pools } = topology;
  const shards = shardParts(topology).flatMap((part) => (part.class === null ? [] : [{ ...part, class: part.class }]));
  if (shards.length === 0) return {};
  const loginOf = (cluster: string, to: "primary" | "replicas"): Login => pools.find((pool) => pool.cluster === cluster && pool.to === to)!;
  return {
    buckets,
    shards: shards.map((shard) => {
      const { name } = shard.cluster;
      const [write, read] = [loginOf(name, "primary"), loginOf(name, "replicas")];
      return { name, database: write.database, class: shard.class, url: urlOf(write), readUrl: urlOf(read) };
    }),
    shardOfBucket: shardOfBuckets(
      shards.map((shard) => shard.class),
      buckets,
    ),
  };
}
