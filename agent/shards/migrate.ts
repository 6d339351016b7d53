/** The application's migrations of a stack, whatever its stage, and what is declared about its tables. */
import { ms } from "../../plan/types.ts";
import { type Context, clusterContext, connectPrimary, withClient } from "../connections.ts";
import { migrateFleet } from "../migrate/fleet.ts";
import { applyMigrations } from "../migrate/index.ts";
import { settleTables } from "../tables/index.ts";
import { fleetOfStack } from "./fleet.ts";
import { globalsCaughtUp } from "./globals.ts";
import { readMap } from "./map.ts";
import { rangeSequences } from "./sequences.ts";
import { dropStaleTrees, settleShards } from "./settle.ts";
import { moveUnderWay } from "./store.ts";
import type { GlobalTable, Shard } from "./types.ts";

export interface StackMigrations {
  /** Of the application's SQL. */
  folder: string;
  /** The squawk binary. */
  linter?: string;
}

const LOCK_TIMEOUT = ms(5_000);

/**
 * Applies what is pending, on the shards too where there are some, then makes what is declared about tables true on every server.
 *
 * @throws InputError for a folder or history that cannot be used, MigrationError for a file that fails: with server, file and statement.
 */
export async function migrateStack(context: Context, { folder, linter }: StackMigrations): Promise<void> {
  const { desired, log } = context;
  const connect = () => connectPrimary(context, desired.database);
  const common = { folder, role: desired.users.write, lockTimeout: LOCK_TIMEOUT, log, ...(linter === undefined ? {} : { linter }) };
  const settle = () => withClient(connect(), (client) => settleTables(client, desired, log));
  if (desired.shards.length === 0) {
    await applyMigrations({ ...common, connect, set: "app" });
    return settle();
  }
  const { shards, placed } = await shardsWithSchema(context);
  const sharded = declared(context, ({ shardBy }) => shardBy !== null);
  const { globalsChanged } = await migrateFleet({
    ...common,
    gateway: { name: desired.database, connect },
    shards: shards.map(({ database: name, connect: reach }) => ({ name, connect: reach })),
    sharded: sharded.map(({ schema, table }) => `${schema}.${table}`),
    globals: declared(context, ({ global }) => global).map(({ schema, table }) => `${schema}.${table}`),
    moveUnderWay,
    globalsCaughtUp,
    onGateway: dropStaleTrees,
    // The mover gives ranges to shards that have no rows yet.
    onShard: (shard, name) => (placed.has(name) ? rangeSequences(shard, sharded) : Promise.resolve()),
  });
  for (const shard of shards) {
    const its = clusterContext(context, desired.shards.find(({ index }) => index === shard.index)!);
    await withClient(shard.connect(), (client) => settleTables(client, its.desired, its.log));
  }
  await settle();
  const fleet = await withClient(connect(), (client) => fleetOfStack(context, client));
  await settleShards({ fleet, tables: desired.tables, globalsChanged });
}

function declared({ desired }: Context, wanted: (table: Context["desired"]["tables"][string]) => boolean): GlobalTable[] {
  return Object.entries(desired.tables).flatMap(([name, config]) => {
    if (!wanted(config)) return [];
    const [table, schema = "public"] = name.split(".").toReversed();
    return [{ schema, table: table! }];
  });
}

/** Shards that have rows, and those on which the mover has begun with the schema; the others get every file from it. */
async function shardsWithSchema(context: Context): Promise<{ shards: Shard[]; placed: ReadonlySet<string> }> {
  const { fleet, map } = await withClient(connectPrimary(context, context.desired.database), async (client) => ({
    fleet: await fleetOfStack(context, client),
    map: await readMap(client),
  }));
  const placed = new Set(map?.shards.map((at) => map.databases[at]!) ?? []);
  const shards: Shard[] = [];
  for (const shard of fleet.shards) if (placed.has(shard.database) || (await hasSchema(shard))) shards.push(shard);
  return { shards, placed };
}

const hasSchema = ({ connect }: Shard): Promise<boolean> =>
  withClient(connect(), async (client) => {
    const { rows } = await client.query<{ there: boolean }>("select to_regclass('ladder.migration') is not null as there");
    if (!rows[0]!.there) return false;
    return ((await client.query("select from ladder.migration where set = 'app' limit 1")).rowCount ?? 0) > 0;
  }).catch(() => false);
