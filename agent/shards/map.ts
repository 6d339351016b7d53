/** The shard map on a server, as a move changes it: see sql/platform/0080. */
import type pg from "pg";
import { shardOfBuckets } from "../../plan/shards.ts";
import type { Fleet } from "./types.ts";

export interface ShardMapRow {
  version: number;
  here: string | null;
  databases: readonly string[];
  moving: readonly number[];
  shards: readonly number[];
  /** Seconds. */
  age: number;
}

export type Places = Pick<ShardMapRow, "databases" | "shards">;

export async function readMap(client: pg.Client): Promise<ShardMapRow | undefined> {
  const { rows } = await client.query<ShardMapRow>(
    "select version, here, databases, moving, shards, extract(epoch from clock_timestamp() - changed)::float8 as age from ladder.shard_map",
  );
  return rows[0];
}

/** Every bucket on its shard. */
export const onShardsMap = ({ shards, buckets }: Fleet): Places => ({
  databases: shards.map(({ database }) => database),
  shards: shardOfBuckets(
    shards.map((shard) => shard.class),
    buckets,
  ),
});

/** Every bucket on the one server. */
export const wholeMap = ({ database, buckets }: Fleet): Places => ({ databases: [database], shards: Array<number>(buckets).fill(0) });

/** Every bucket on the one server, and the shards named that get them next: routers open connections to those. */
export const comingMap = (fleet: Fleet): Places => ({
  ...wholeMap(fleet),
  databases: [fleet.database, ...fleet.shards.map(({ database }) => database)],
});

/** Whether no bucket is on a shard. */
export const isWhole = ({ databases, shards }: Places, { database }: Pick<Fleet, "database">): boolean =>
  shards.every((at) => databases[at] === database);

export const allBuckets = ({ buckets }: Fleet): number[] => Array.from({ length: buckets }, (_, bucket) => bucket);

export interface NextMap extends Places {
  version: number;
  here: string | null;
  moving: readonly number[];
}

/** Replaces the map; the same again changes nothing. @param announced seconds that buckets must have been announced before they leave */
export async function setMap(client: pg.Client, { version, databases, shards, here, moving }: NextMap, announced: number): Promise<void> {
  await client.query("select ladder.set_shard_map($1, $2, $3, $4, $5, make_interval(secs => $6))", [
    version,
    databases,
    shards,
    here,
    moving,
    announced,
  ]);
}

export const isAt = (map: ShardMapRow | undefined, { databases, shards }: Places): boolean =>
  map !== undefined && map.databases.join() === databases.join() && map.shards.join() === shards.join();
