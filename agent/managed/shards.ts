/** The mover between gateway and shards where AWS keeps the servers. */
import type pg from "pg";
import { connectPrimary, withClient } from "../connections.ts";
import { blockers } from "../doctor/index.ts";
import type { SideWork } from "../move/side.ts";
import { fleetOfStack } from "../shards/fleet.ts";
import { advanceShards, type Blocker, type ShardsOptions } from "../shards/index.ts";
import { readMap } from "../shards/map.ts";
import { define } from "../shards/side.ts";
import { qualified } from "../shards/sql.ts";
import type { Fleet } from "../shards/types.ts";

/**
 * As on docker, but: sessions are not warmed before the flip, because the functions know no passwords of the application; and as nobody here may pass
 * row security, under which PostgreSQL applies no rows for anybody else, tables that have it are refused, and so is another number of shards while rows
 * are on them, because rows that change shards are hidden by it.
 *
 * @param folder of the application's SQL
 * @param pace how long the mover waits for others, where that is not the mover's own choice
 */
export const shards = (folder: string, pace: Pick<ShardsOptions, "announced" | "recheck"> = {}): SideWork => ({
  advance: async (context, done) => {
    const { desired, log } = context;
    if (desired.shards.length === 0) return undefined;
    const { fleet, map } = await withClient(connectPrimary(context, desired.database), async (client) => ({
      fleet: await fleetOfStack(context, client),
      map: await readMap(client),
    }));
    const wanted = desired.shards.filter((shard) => shard.class !== null).map(({ index }) => index);
    if (wanted.length > 0 && fleet.tables.length === 0) return undefined;
    const filled = fleet.shards.filter(({ database }) => map?.databases.includes(database)).length;
    if (filled > 0 && wanted.length > 0 && filled !== wanted.length)
      return `shards: got ${wanted.length}, want ${filled}, where the rows are: on RDS another number goes by way of stage 3`;
    return advanceShards({
      ...{ fleet, wanted, log, done, ...pace },
      define: (shard) => define(context, shard, folder),
      check: async (client) => [...(await blockers(client, desired.tables)), ...(await rowSecurity(client, fleet))],
    });
  },
});

async function rowSecurity(client: pg.Client, { tables, globals }: Fleet): Promise<Blocker[]> {
  const { rows } = await client.query<{ object: string }>(
    "select c.oid::regclass::text as object from unnest($1::text[]) t join pg_class c on c.oid = to_regclass(t) where c.relrowsecurity order by 1",
    [[...tables, ...globals].map((table) => qualified(table))],
  );
  return rows.map(({ object }) => ({
    object,
    why: "its row security cannot be passed on RDS, so no rows can be copied into it",
    fix: `Take it off: alter table ${object} disable row level security, and \`tenant\` from the table's configuration; or leave the table on the gateway, without shardBy and global.`,
  }));
}
