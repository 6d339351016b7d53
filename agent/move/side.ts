import { cacheKeeper } from "../cache/keeper.ts";
import type { Context } from "../connections.ts";
import { conversions } from "../convert/index.ts";
import { Upkeep } from "../maintenance/upkeep.ts";
import { shards } from "../shards/side.ts";

/** The application's SQL among the agent's files. */
const APPLICATION = "/etc/pgladder/schema";

/** Work beside the cluster's own steps, such as partitioning a table. The mover looks at it whenever the cluster has nothing to do. */
export interface SideWork {
  /** Ends in a bounded time, and does a bounded part of the work: the cluster is looked at in between. */
  advance(context: Context, done: (what: string) => void): Promise<string | undefined>;
}

/** In the order in which they are looked at; the first that has work is what the mover shows. */
export const entryWork = (): readonly SideWork[] => [cacheKeeper, new Upkeep(), conversions, shards(APPLICATION)];
/** The same for a shard. */
export const shardWork = (): readonly SideWork[] => [new Upkeep(), conversions];
