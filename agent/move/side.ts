import { cacheKeeper } from "../cache/keeper.ts";
import type { Context } from "../connections.ts";
import { conversions } from "../convert/index.ts";
import { upkeep } from "../maintenance/upkeep.ts";

/** Work beside the cluster's own steps, such as partitioning a table. The mover looks at it whenever the cluster has nothing to do. */
export interface SideWork {
  /** Ends in a bounded time, and does a bounded part of the work: the cluster is looked at in between. */
  advance(context: Context, done: (what: string) => void): Promise<string | undefined>;
}

/** In the order in which they are looked at; the first that has work is what the mover shows. */
export const SIDE_WORK: readonly SideWork[] = [cacheKeeper, upkeep, conversions];
