/** Watches what a copy costs the primary: log that it has to keep for shards that do not take it. */
import type pg from "pg";
import { readSlots } from "./replication.ts";
import type { Fleet } from "./types.ts";
import { forward } from "./work.ts";

const GIB = 2 ** 30;

/** Bytes of log that a copy may hold back: beyond the server's own limit the slot would be lost. */
async function limitOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ limit: number }>(
    "select (case when setting::bigint < 0 then -1 else setting::bigint * 1048576 end)::float8 as limit from pg_settings where name = 'max_slot_wal_keep_size'",
  );
  const { limit } = rows[0]!;
  return limit < 0 ? 16 * GIB : limit / 2;
}

/** Slots of tables that are being copied by subscriptions. */
async function copySlots(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    "select slot_name as name from pg_replication_slots where slot_name ~ '^pg_[0-9]+_sync_[0-9]+_' and database = current_database()",
  );
  return rows.map(({ name }) => name);
}

/** Why the move has to be given up, or undefined. */
export async function danger(client: pg.Client, fleet: Fleet, retained?: number): Promise<string | undefined> {
  const limit = retained ?? (await limitOf(client));
  const slots = await readSlots(client, [...fleet.shards.map(forward), ...(await copySlots(client))]);
  const worst = slots.toSorted((one, other) => other.retained - one.retained)[0];
  if (!worst || worst.retained <= limit) return undefined;
  const size = (bytes: number) => (bytes < GIB ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / GIB).toFixed(1)} GiB`);
  return `got ${size(worst.retained)} of log kept back for ${worst.name}, want at most ${size(limit)}: the primary's disk comes first`;
}
