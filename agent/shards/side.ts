/** The mover's work between the gateway and shards. */
import { ms } from "../../plan/types.ts";
import { type Context, clusterContext, connectPrimary, withClient } from "../connections.ts";
import { blockers } from "../doctor/index.ts";
import type { SideWork } from "../move/side.ts";
import { reconnect } from "../pooler.ts";
import { settleTables } from "../tables/index.ts";
import { connectPooled, fleetOfStack } from "./fleet.ts";
import { definitionsOf, SHARDS, warmSessions } from "./gateway/warm.ts";
import { advanceShards } from "./index.ts";
import { applyDefinitions } from "./schema.ts";
import type { Fleet, Shard } from "./types.ts";

const LOCK_TIMEOUT = ms(5_000);
const WARMING = ms(5_000);
/** Sessions of routers on each shard. */
const ROUTED = 4;

/** @param folder of the application's SQL */
export const shards = (folder: string): SideWork => ({
  advance: (context, done) =>
    look(context, done, folder).catch((error: Error) => {
      context.log(`shards: will look again: ${error.message}`);
      return `shards: will look again: ${error.message}`;
    }),
});

async function look(context: Context, done: (what: string) => void, folder: string): Promise<string | undefined> {
  const { desired, log } = context;
  if (desired.shards.length === 0) return undefined;
  const fleet = await withClient(connectPrimary(context, desired.database), (client) => fleetOfStack(context, client));
  const wanted = desired.shards.filter((shard) => shard.class !== null).map(({ index }) => index);
  if (wanted.length > 0 && fleet.tables.length === 0) return undefined;
  return advanceShards({
    ...{ fleet, wanted, log, done },
    define: (shard) => define(context, shard, folder),
    check: (client) => blockers(client, desired.tables),
    warm: () => warm(context, fleet),
    renew: () => reconnect(context, desired.cluster.pools.read),
  });
}

/** The gateway's sessions, and those of routers, a shard after the other. What fails here only takes longer later. */
async function warm(context: Context, { shards, tables, globals }: Fleet): Promise<void> {
  const { log, desired } = context;
  const { cluster, users } = desired;
  const one = (pool: string, user: string, what: string, least = 1) => {
    const cold = (error: Error) => log(`shards: ${pool} is not warm: ${error.message}`);
    return warmSessions({ pooled: () => connectPooled(context, user, pool), what, patience: WARMING, least }).catch(cold);
  };
  await one(cluster.pools.write, users.write, SHARDS);
  const what = definitionsOf([...tables, ...globals]);
  for (const { pools } of desired.shards.filter(({ pools }) => shards.some(({ database }) => database === pools.write)))
    await Promise.all([one(pools.write, users.write, what, ROUTED), one(pools.read, users.read, what, ROUTED)]);
}

/** The files that the gateway has, in the same order; then what is declared about their tables. */
export async function define(context: Context, shard: Shard, folder: string): Promise<void> {
  const { desired, log } = context;
  const { rows } = await withClient(connectPrimary(context, desired.database), (client) =>
    client.query<{ file: string }>("select file from ladder.migration where set = 'app' and state = 'applied'"),
  );
  const there = new Set(rows.map(({ file }) => file));
  await applyDefinitions({
    ...{ connect: shard.connect, folder, role: desired.users.write, lockTimeout: LOCK_TIMEOUT, log, server: shard.database },
    only: (file) => there.has(file),
  });
  const cluster = desired.shards.find(({ index }) => index === shard.index)!;
  const its = clusterContext(context, cluster);
  await withClient(shard.connect(), (client) => settleTables(client, its.desired, log));
}
