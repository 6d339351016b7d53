/** The flip: the moment at which the rows' place changes, in one transaction on the gateway. */

import { farthest } from "./climb.ts";
import { dropFence, setFence } from "./fence.ts";
import { buildTrees, lockNames, ownSequences, swapIn } from "./gateway/index.ts";
import { holder, lockAll, MAP } from "./locks.ts";
import { allBuckets, comingMap, isAt, onShardsMap, readMap, setMap } from "./map.ts";
import { confirmed, confirmPromptly, endStream, letApply, mark, subscribe } from "./replication.ts";
import { isBusy, onServer, onServers } from "./session.ts";
import { connectionString } from "./sql.ts";
import { remember } from "./store.ts";
import { BACK, backward, forward, type Outcome, onShards, relationsOf, settled, type Work } from "./work.ts";

/** Bytes that may be missing when writers are held up. */
const AT_HAND = 524_288;
/** ms for which they may be held up while the shards confirm. */
const PATIENCE = 1_500;
const ANNOUNCED = 20_000;

/** Trees are built; routers hear that every bucket is about to move, and where to. */
export async function announce({ gateway, fleet, options }: Work): Promise<Outcome> {
  await buildTrees(gateway, fleet);
  await onShards(fleet, (client, shard) => confirmPromptly(client, forward(shard)));
  const map = await readMap(gateway);
  const coming = comingMap(fleet);
  if (!(isAt(map, coming) && map!.moving.length === fleet.buckets))
    await setMap(gateway, { ...coming, version: (map?.version ?? 0) + 1, here: fleet.database, moving: allBuckets(fleet) }, 0);
  const outcome = waitAnnounced((await readMap(gateway))!.age, options.announced);
  if (outcome === "done") await options.warm?.(gateway);
  return outcome;
}

export function waitAnnounced(age: number, announced: number = ANNOUNCED): Outcome {
  const left = announced / 1_000 - age;
  return left <= 0 ? "done" : { waits: `routers, which are told ${Math.ceil(announced / 1_000)} s before` };
}

/**
 * Writers wait on their locks while the shards confirm everything that was committed before, the shards are told, tables and trees change
 * places; then they go on, on the shards. Put off when a lock or a confirmation does not come in time.
 */
export async function flip(work: Work): Promise<Outcome> {
  const { gateway, fleet, step, options, passing } = work;
  const behind = await farthest(work);
  if (behind > AT_HAND) return { waits: `shards that are ${Math.ceil(behind / 1_024)} kB behind` };
  const who = await holder(gateway, relationsOf(fleet));
  if (who !== undefined) return { waits: who };
  const names = await lockNames(gateway, fleet);
  try {
    return await onServers(fleet.shards, async (shards) => {
      await gateway.query("begin");
      const started = performance.now();
      try {
        await lockAll(gateway, [MAP, ...names]);
        await passing("the gateway is locked");
        if (!(await confirmed(gateway, fleet.shards.map(forward), await mark(gateway), PATIENCE))) {
          await gateway.query("rollback");
          return await putOff(work, "shards that confirm late");
        }
        await swapIn(gateway, fleet);
        await passing("tables are swapped, not committed");
        const next = { ...onShardsMap(fleet), version: (await readMap(gateway))!.version + 1, moving: allBuckets(fleet) };
        const announced = (options.announced ?? ANNOUNCED) / 1_000;
        await settled(
          shards.map(async (client, index) => {
            await setMap(client, { ...next, here: fleet.shards[index]!.database }, announced);
            await setFence(client, "gateway");
          }),
        );
        await passing("the shards are told");
        await setMap(gateway, { ...next, here: null }, announced);
        const held = Math.round(performance.now() - started);
        await remember(gateway, step, { state: "done", error: null, detail: { held } });
        await gateway.query("commit");
        await passing("the flip is committed");
        // From here on there is only the way forward, and what is written is kept for the way back. `open` does it where this fails.
        await settled(shards.map((client) => setFence(client, "everybody"))).catch(() => undefined);
        const what = `${fleet.tables.length} tables are on ${fleet.shards.length} shards`;
        options.done(`shards: ${what}; writers were held up for ${held} ms; the way back is open until ladder finish`);
        return "done";
      } catch (error) {
        await gateway.query("rollback").catch(() => undefined);
        throw error;
      }
    });
  } catch (error) {
    if (!isBusy(error)) throw error;
    return await putOff(work, "a lock on the tables");
  }
}

/** Writers get more and more time between two attempts. */
export async function putOff({ gateway, step }: Pick<Work, "gateway" | "step">, why: string): Promise<Outcome> {
  const tries = (step.detail.tries ?? 0) + 1;
  await remember(gateway, step, { detail: { tries, next: Date.now() + Math.min(30_000, 500 * 2 ** Math.min(tries, 6)) } });
  return { waits: `${why} (${tries} tries)` };
}

/** What only the move needed goes; the way back begins to follow; then everybody may write on the shards. */
export async function open({ gateway, fleet, options, passing }: Work): Promise<Outcome> {
  await options.renew?.();
  await letApply(gateway, relationsOf(fleet, BACK));
  for (const shard of fleet.shards) await subscribe(gateway, backward(shard), { connection: connectionString(shard, fleet), copy: false });
  await passing("the way back follows");
  await onShards(fleet, (client) => setFence(client, "everybody"));
  for (const shard of fleet.shards) await onServer(shard, (client) => endStream(gateway, client, forward(shard)));
  await passing("the streams have ended");
  await onShards(fleet, (client) => dropFence(client, fleet.tables));
  await ownSequences(gateway, fleet);
  const map = (await readMap(gateway))!;
  if (map.moving.length > 0) {
    const next = { ...onShardsMap(fleet), version: map.version + 1, moving: [] };
    await onShards(fleet, (client, { database }) => setMap(client, { ...next, here: database }, 0));
    await setMap(gateway, { ...next, here: null }, 0);
  }
  return "done";
}
