/** What the mover does for maintenance: rewrites that pg_cron cannot do, and what only replicas know. Never holds up an `up`. */
import type pg from "pg";
import { type Context, connectPrimary, withClient } from "../connections.ts";
import type { SideWork } from "../move/side.ts";
import { reorderOnce } from "./reorder.ts";
import { connectMonitor } from "./view.ts";

const BETWEEN_REORDERS = 30_000;
const BETWEEN_VISITS = 3_600_000;

/** When indexes were last scanned on a node. */
const INDEX_USE = `
  select coalesce(jsonb_agg(jsonb_build_object('index', indexrelid::bigint, 'last_scan', last_idx_scan)), '[]') as seen
  from pg_stat_user_indexes`;

/**
 * Brings what a replica knows about the use of indexes to the primary: an index that only replicas use is not unused.
 *
 * @returns indexes whose use is newer than what was known
 */
export async function noteIndexUse(primary: pg.Client, replica: pg.Client, node: string): Promise<number> {
  const { rows } = await replica.query<{ seen: unknown }>(INDEX_USE);
  const noted = await primary.query<{ noted: string }>("select ladder.note_index_use($1, $2) as noted", [
    node,
    JSON.stringify(rows[0]!.seen),
  ]);
  return Number(noted.rows[0]!.noted);
}

async function visitReplicas(context: Context): Promise<void> {
  await withClient(connectPrimary(context, context.desired.database), async (primary) => {
    for (const node of context.desired.cluster.nodes) {
      const visit = async (replica: pg.Client) => {
        const { rows } = await replica.query<{ replica: boolean }>("select pg_is_in_recovery() as replica");
        if (rows[0]!.replica) await noteIndexUse(primary, replica, node);
      };
      await withClient(connectMonitor(context, node), visit).catch((error: Error) =>
        context.log(`${node}: index use is not known: ${error.message}`),
      );
    }
  });
}

/** Of one cluster. */
export class Upkeep implements SideWork {
  #reordering = false;
  #reorderAt = 0;
  #visitAt = 0;

  /** Shows nothing as under way: maintenance that a job asked for is no move. */
  async advance(context: Context, done: (what: string) => void): Promise<undefined> {
    const now = Date.now();
    if (!this.#reordering && now >= this.#reorderAt) {
      this.#reordering = true;
      this.#reorderAt = now + BETWEEN_REORDERS;
      reorderOnce(context)
        .then((what) => what !== undefined && done(what))
        .catch((error: Error) => context.log(`reordering: ${error.message}`))
        .finally(() => {
          this.#reordering = false;
        });
    }
    if (now >= this.#visitAt) {
      this.#visitAt = now + BETWEEN_VISITS;
      await visitReplicas(context).catch((error: Error) => context.log(`index use: ${error.message}`));
    }
    return undefined;
  }
}
