/** Steps of the move onto shards, up to where the shards follow the primary with equal rows. Each may be begun again anywhere. */

import { requireClass, validateClass } from "./cleanup.ts";
import { closeFence, setFence } from "./fence.ts";
import { settleServers } from "./gateway/index.ts";
import { settleGlobals } from "./globals.ts";
import { identify } from "./identity.ts";
import { copyPartitions } from "./partitions.ts";
import { confirmed, letApply, letConnect, letCopy, readSlots } from "./replication.ts";
import { giveRanges } from "./sequences.ts";
import { onServer } from "./session.ts";
import { qualified } from "./sql.ts";
import { remember } from "./store.ts";
import type { Shard } from "./types.ts";
import { verifyTable } from "./verify.ts";
import { forward, named, type Outcome, onShards, relationsOf, type Work } from "./work.ts";

/** Bytes of log that a shard may be behind before the next step. */
const NEAR = 1_048_576;

export async function check({ gateway, fleet, step, options: { check: look, recheck = 60, log } }: Work): Promise<Outcome> {
  if (step.error !== null && Date.now() - (step.detail.checked ?? 0) < recheck * 1_000) return { waits: step.error };
  const blockers = (await look?.(gateway, fleet)) ?? [];
  if (blockers.length === 0) return "done";
  const error = blockers.map(({ object, why, fix }) => `${object}: ${why}. ${fix}`).join("; ");
  if (error !== step.error) log(`shards: not begun: ${error}`);
  await remember(gateway, step, { error, detail: { checked: Date.now() } });
  return { waits: error };
}

export async function prepareServers({ gateway, fleet }: Work): Promise<Outcome> {
  for (const shard of fleet.shards) {
    const ready = await onServer(shard, async (client) => {
      const { rows } = await client.query<{ ready: boolean }>("select to_regclass('ladder.shard_fence') is not null as ready");
      if (rows[0]!.ready) await letConnect(client);
      return rows[0]!.ready;
    });
    if (!ready) return { waits: `the platform's schema on ${shard.database}` };
  }
  const all = [...fleet.tables, ...fleet.globals];
  await letConnect(gateway);
  await letCopy(
    gateway,
    all.map((table) => qualified(table)),
  );
  await identify(gateway, fleet.tables);
  await settleServers(gateway, fleet);
  return "done";
}

export async function defineTables({ fleet, options, passing }: Work): Promise<Outcome> {
  for (const shard of fleet.shards) {
    await options.define(shard).catch((error: Error) => Promise.reject(named(shard, error)));
    await passing("definitions of a shard are there");
    await settlePartitions({ fleet }, shard);
    const open = [...fleet.tables, ...fleet.globals].map((table) => qualified(table));
    await onServer(shard, (client) => client.query("select ladder.open_to_gateway($1::text[]::regclass[])", [open]));
  }
  return "done";
}

/** The partitions that the gateway's tables have now, with the rights of who applies. */
async function settlePartitions({ fleet }: Pick<Work, "fleet">, shard: Shard): Promise<void> {
  await copyPartitions(fleet.gateway, shard, fleet);
  await onServer(shard, async (client) => {
    await letApply(client, relationsOf(fleet));
    const { rowCount } = await client.query("select from pg_trigger where tgname = 'ladder_fence' limit 1");
    if (rowCount !== 0) await closeFence(client, fleet.tables);
  });
}

/** Nobody writes on the shards but replication; what an earlier climb has left there goes; and no row of another shard is ever taken. */
export async function fence({ fleet }: Work): Promise<Outcome> {
  await onShards(fleet, async (client, shard) => {
    await setFence(client, "nobody");
    for (const table of fleet.tables) await closeFence(client, [table]);
    const { rowCount } = await client.query("select from pg_subscription where subname = $1", [forward(shard)]);
    if (rowCount !== 0) return;
    await client.query("set session_replication_role = replica");
    for (const name of relationsOf(fleet)) {
      const { rows } = await client.query<{ filled: boolean }>(`select exists (select from ${name}) as filled`);
      if (rows[0]!.filled) await client.query(`truncate ${name}`);
    }
    for (const table of fleet.tables) {
      await requireClass(client, table, shard.class);
      await validateClass(client, table);
    }
  });
  return "done";
}

export async function sequences({ fleet }: Work): Promise<Outcome> {
  for (const shard of fleet.shards) await giveRanges(fleet.gateway, shard, fleet);
  return "done";
}

export async function globals({ fleet }: Work): Promise<Outcome> {
  await settleGlobals(fleet);
  return "done";
}

/** Until the shards are near. New partitions of the gateway come to the shards meanwhile. */
export async function catchUp(work: Work): Promise<Outcome> {
  for (const shard of work.fleet.shards) await settlePartitions(work, shard);
  const behind = await farthest(work);
  return behind <= NEAR ? "done" : { waits: `shards that are ${Math.ceil(behind / NEAR)} MB behind` };
}

/** Bytes by which the last shard is behind. */
export async function farthest({ gateway, fleet }: Pick<Work, "gateway" | "fleet">): Promise<number> {
  const slots = await readSlots(gateway, fleet.shards.map(forward));
  if (slots.length < fleet.shards.length) throw new Error("got fewer replication slots than shards, want one each");
  return Math.max(...slots.map(({ behind }) => behind));
}

/** Table by table and shard by shard: each pair is remembered when it was found equal. */
export async function verify({ gateway, fleet, step, end, passing }: Work): Promise<Outcome> {
  const equal = new Set(step.detail.equal);
  const pairs = fleet.shards.flatMap((shard) =>
    fleet.tables.map((table) => ({ shard, table, pair: `${shard.index} ${qualified(table)}` })),
  );
  let compared = step.detail.compared ?? 0;
  for (const { shard, table, pair } of pairs.filter((one) => !equal.has(one.pair))) {
    if (performance.now() > end) return "again";
    const { rows } = await verifyTable({
      source: { server: fleet.gateway, class: shard.class },
      target: { server: shard },
      table,
      buckets: fleet.buckets,
      applied: async (lsn) => {
        await onServer(fleet.gateway, async (client) => {
          if (!(await confirmed(client, [forward(shard)], lsn, 30_000))) throw new Error(`${shard.database}: not within 30 s at ${lsn}`);
        });
      },
    });
    compared += rows.reduce((sum, count) => sum + count, 0);
    equal.add(pair);
    await remember(gateway, step, { detail: { equal: [...equal], compared, rowsDone: equal.size, rowsTotal: pairs.length } });
    await passing("a table of a shard is found equal");
  }
  return "done";
}
