/** The way back to one server while it is kept: the old tables have followed, so only the places change. */

import { closeFence, setFence } from "./fence.ts";
import { putOff, waitAnnounced } from "./flip.ts";
import { dependents, dropTrees, lockNames, ownSequences, swapOut } from "./gateway/index.ts";
import { dropGlobals } from "./globals.ts";
import { holder, lockAll, MAP } from "./locks.ts";
import { allBuckets, onShardsMap, readMap, setMap, wholeMap } from "./map.ts";
import { confirmed, confirmPromptly, mark, readSlots } from "./replication.ts";
import { isBusy, onServers } from "./session.ts";
import { qualified } from "./sql.ts";
import { remember } from "./store.ts";
import { endWayBack } from "./wayback.ts";
import { backward, named, type Outcome, onShards, relationsOf, settled, type Work } from "./work.ts";

const AT_HAND = 524_288;
const PATIENCE = 1_500;
const ANNOUNCED = 20_000;

/** What was made since the climb and hangs on a tree itself: it would be left behind with the tree. */
async function clinging({ gateway, fleet }: Pick<Work, "gateway" | "fleet">): Promise<string | undefined> {
  for (const table of fleet.tables) {
    const held = (await dependents(gateway, table)).find(({ follows }) => !follows);
    if (held) return `${held.kind} ${held.name}, which hangs on ${qualified(table)} as it is now: drop it, and make it again afterwards`;
  }
  return undefined;
}

/** A fence is put up that lets everybody through yet; routers hear that every bucket is about to move. */
export async function announceReturn({ gateway, fleet, options }: Work): Promise<Outcome> {
  const left = await clinging({ gateway, fleet });
  if (left !== undefined) return { waits: left };
  const map = (await readMap(gateway))!;
  await onShards(fleet, async (client, shard) => {
    await setFence(client, "everybody");
    for (const table of fleet.tables) await closeFence(client, [table]);
    await confirmPromptly(gateway, backward(shard));
  });
  if (map.moving.length < fleet.buckets) {
    const next = { ...onShardsMap(fleet), version: map.version + 1, moving: allBuckets(fleet) };
    await onShards(fleet, (client, { database }) => setMap(client, { ...next, here: database }, 0));
    await setMap(gateway, { ...next, here: null }, 0);
  }
  return waitAnnounced((await readMap(gateway))!.age, options.announced);
}

/**
 * Writers wait on the gateway's trees, then on the shards' tables, while the gateway's old tables confirm all that was committed; the shards close
 * for everybody, then the old tables have their names again. Put off when a lock or a confirmation does not come in time: nothing has changed then.
 */
export async function goBack(work: Work): Promise<Outcome> {
  const { gateway, fleet, step, options, passing } = work;
  const late = await onShards(fleet, async (client, shard) => {
    const [slot] = await readSlots(client, [backward(shard)]);
    if (!slot || slot.lost) throw new Error(`${shard.database}: the log that the way back needs is gone`);
    const who = await holder(client, relationsOf(fleet));
    return who ?? (slot.behind > AT_HAND ? `the way back from ${shard.database}, ${Math.ceil(slot.behind / 1_024)} kB behind` : undefined);
  });
  const waits = late.find((one) => one !== undefined) ?? (await holder(gateway, relationsOf(fleet)));
  if (waits !== undefined) return { waits };
  const names = await lockNames(gateway, fleet);
  try {
    return await onServers(fleet.shards, async (shards) => {
      await gateway.query("begin");
      const started = performance.now();
      let [closing, closed] = [false, false];
      try {
        await lockAll(gateway, [MAP, ...names]);
        await passing("the gateway is locked");
        const followed = await settled(
          shards.map(async (client, at) => {
            const shard = fleet.shards[at]!;
            await client.query("begin");
            await lockAll(client, [MAP, ...relationsOf(fleet).map((name) => `only ${name}`)]).catch((error: Error) =>
              Promise.reject(named(shard, error)),
            );
            return confirmed(client, [backward(shard)], await mark(client), PATIENCE);
          }),
        );
        await passing("the shards are locked");
        if (followed.includes(false)) {
          await settled([gateway, ...shards].map((client) => client.query("rollback")));
          return await putOff(work, "the way back, which confirms late");
        }
        await swapOut(gateway, fleet);
        const next = { ...wholeMap(fleet), version: (await readMap(gateway))!.version + 1, moving: allBuckets(fleet) };
        const announced = (options.announced ?? ANNOUNCED) / 1_000;
        await settled(
          shards.map(async (client, at) => {
            await setMap(client, { ...next, here: fleet.shards[at]!.database }, announced);
          }),
        );
        await passing("tables are swapped, not committed");
        closing = true;
        await settled(shards.map((client) => setFence(client, "nobody")));
        await passing("the fences are closed");
        closed = true;
        await settled(shards.map((client) => client.query("commit")));
        await passing("the shards have committed");
        await setMap(gateway, { ...next, here: fleet.database }, announced);
        const held = Math.round(performance.now() - started);
        await remember(gateway, step, { state: "done", error: null, detail: { held } });
        await gateway.query("commit");
        options.done(`shards: ${fleet.tables.length} tables are on one server again; writers were held up for ${held} ms`);
        return "done";
      } catch (error) {
        // Once a shard has committed there is only the way forward.
        if (closing && !closed)
          await Promise.all(
            shards.map((client) =>
              client
                .query("rollback")
                .then(() => setFence(client, "everybody"))
                .catch(() => undefined),
            ),
          );
        await Promise.all([gateway, ...shards].map((client) => client.query("rollback").catch(() => undefined)));
        throw error;
      }
    });
  } catch (error) {
    if (!isBusy(error)) throw error;
    return await putOff(work, "a lock on the tables");
  }
}

/** What only shards needed goes. The shards keep their rows, fenced, until they are released. */
export async function tidy({ gateway, fleet, options, passing }: Work): Promise<Outcome> {
  await options.renew?.();
  await endWayBack({ gateway, fleet, passing });
  await dropGlobals(fleet);
  await dropTrees(gateway);
  await ownSequences(gateway, fleet);
  const map = (await readMap(gateway))!;
  if (map.moving.length > 0) await setMap(gateway, { ...wholeMap(fleet), version: map.version + 1, here: fleet.database, moving: [] }, 0);
  return "done";
}
