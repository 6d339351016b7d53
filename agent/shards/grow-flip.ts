/**
 * The moment at which buckets change their shard. The gateway's part is prepared before the shard that gives rows commits, and committed after all others: where
 * the mover ends in between, the gateway's clients wait until it goes on, and none sees rows on a shard that no longer has them.
 */
import type pg from "pg";
import { hideClass, requireClass, showClass } from "./cleanup.ts";
import { closeFence, setFence } from "./fence.ts";
import { putOff, waitAnnounced } from "./flip.ts";
import { lockNames, regroup } from "./gateway/index.ts";
import { movedBuckets } from "./grow-shape.ts";
import { between, distance, settlePartitions } from "./grow-steps.ts";
import { detailOf, type GrowDetail, type Growth, placesOf } from "./grow-work.ts";
import { holder, lockAll, MAP } from "./locks.ts";
import { isAt, type NextMap, readMap, setMap } from "./map.ts";
import { confirmed, confirmPromptly, mark, replayed } from "./replication.ts";
import { inTransaction, isBusy, onServer, onServers } from "./session.ts";
import { remember } from "./store.ts";
import { backward, type Outcome, relationsOf, settled } from "./work.ts";

/** Bytes that may be missing when writers are held up. */
const AT_HAND = 524_288;
/** ms for which they may be held up while the shard confirms. */
const PATIENCE = 1_500;
const ANNOUNCED = 20_000;
/** Name of the gateway's prepared transaction. */
const PREPARED = "ladder_grow";

type Next = Omit<NextMap, "here">;

/** Routers hear which buckets are about to move, and of the shard that they go to. A shard that leaves gets a fence that lets everybody through yet. */
export async function announce(work: Growth): Promise<Outcome> {
  const { gateway, fleet, shape, kept, step, giver, taker, options } = work;
  await settlePartitions(work);
  await onServer(taker, (client) => confirmPromptly(client, between(work)));
  if (shape.kind === "shrink") {
    if (kept) await confirmPromptly(gateway, backward(giver));
    await onServer(giver, async (client) => {
      await setFence(client, "everybody");
      for (const table of fleet.tables) await closeFence(client, [table]);
    });
  }
  const map = (await readMap(gateway))!;
  const moving = movedBuckets(shape, fleet.buckets);
  if (map.moving.join() !== moving.join()) {
    const places = placesOf(fleet, shape.before);
    if (!isAt(map, places)) throw new Error("shard map: got other places than before this move, want those that it began with");
    const databases = fleet.shards.map(({ database }) => database);
    await tellAll(work, shape.before.length, { ...places, databases, version: map.version + 1, moving }, 0);
  }
  const { version, age } = (await readMap(gateway))!;
  const first: GrowDetail = { version };
  if (detailOf(work.run).version !== version) await remember(gateway, work.run.steps[0]!, { detail: first });
  if (step.state === "running") await work.passing("announce: told");
  return waitAnnounced(age, options.announced);
}

/** The map on shards, then on the gateway, which routers follow. */
async function tellAll({ gateway, fleet }: Growth, shards: number, next: Next, announced: number): Promise<void> {
  for (const shard of fleet.shards.slice(0, shards))
    await onServer(shard, (client) => setMap(client, { ...next, here: shard.database }, announced));
  await setMap(gateway, { ...next, here: null }, announced);
}

const nextMap = ({ fleet, shape, run }: Growth): Next => ({
  ...placesOf(fleet, shape.after),
  version: detailOf(run).version! + 1,
  moving: movedBuckets(shape, fleet.buckets),
});

/** Put off when a lock or a confirmation does not come in time: nothing has changed then. Sessions are opened before anybody is held up. */
export async function flip(work: Growth): Promise<Outcome> {
  const { gateway, fleet, giver } = work;
  const next = nextMap(work);
  const relations = relationsOf(fleet);
  return onServers(fleet.shards, async (shards) => {
    const from = shards[giver.index]!;
    const gone = ((await readMap(from))?.version ?? 0) >= next.version;
    if (await isPrepared(gateway)) {
      if (gone) return complete(work, next, shards);
      await gateway.query(`rollback prepared '${PREPARED}'`);
    } else if (gone && isAt(await readMap(gateway), next)) return complete(work, next, shards);
    const behind = gone ? 0 : await distance(work);
    if (behind > AT_HAND) return { waits: `${work.taker.database}, ${Math.ceil(behind / 1_024)} kB behind` };
    const who = (await holder(gateway, relations)) ?? (await holder(from, relations));
    if (who !== undefined) return { waits: who };
    const names = await lockNames(gateway, fleet);
    const started = performance.now();
    const outcome = await change(work, next, { from, names }).catch((error: unknown) => {
      if (!isBusy(error)) throw error;
      return putOff(work, "a lock on the tables");
    });
    return outcome === "done" ? complete(work, next, shards, started) : outcome;
  });
}

async function isPrepared(gateway: pg.Client): Promise<boolean> {
  const { rowCount } = await gateway.query("select from pg_prepared_xacts where gid = $1 and database = current_database()", [PREPARED]);
  return rowCount !== 0;
}

/** Until the shard that gives rows has committed. */
async function change(work: Growth, next: Next, { from, names }: { from: pg.Client; names: readonly string[] }): Promise<Outcome> {
  const { gateway, fleet, after, shape, kept, giver, options, passing } = work;
  const announced = (options.announced ?? ANNOUNCED) / 1_000;
  const followers = [between(work), ...(kept && shape.kind === "shrink" ? [backward(giver)] : [])];
  const both = (sql: string) => settled([gateway, from].map((client) => client.query(sql)));
  const regrouped = async () => {
    await regroup(
      gateway,
      fleet,
      fleet.shards.map(({ index }) => after.shards[index]?.class ?? null),
    );
    await setMap(gateway, { ...next, here: null }, announced);
  };
  const given = async () => {
    await setMap(from, { ...next, here: giver.database }, announced);
    if (shape.kind === "shrink") return;
    for (const table of fleet.tables) {
      await requireClass(from, table, after.shards[giver.index]!.class);
      await hideClass(from, table, shape.class);
    }
  };
  let shut = false;
  try {
    await both("begin");
    await lockAll(gateway, [MAP, ...names]);
    await passing("flip: gateway locked");
    await lockAll(from, [MAP, ...relationsOf(fleet).map((name) => `only ${name}`)]);
    await passing("flip: locked");
    const [follow, read] = await settled([
      mark(from).then((lsn) => confirmed(from, followers, lsn, PATIENCE)),
      mark(gateway).then((lsn) => replayed(gateway, lsn, PATIENCE)),
    ]);
    if (!(follow && read)) {
      await both("rollback");
      return await putOff(work, follow ? "reads on the gateway's replicas" : "a shard that confirms late");
    }
    await settled([regrouped(), given()]);
    await gateway.query(`prepare transaction '${PREPARED}'`);
    await passing("flip: prepared");
    if (shape.kind === "shrink") {
      shut = true;
      await setFence(from, "nobody");
    }
    await from.query("commit");
    return "done";
  } catch (error) {
    await from.query("rollback").catch(() => undefined);
    if (shut) await setFence(from, "everybody").catch(() => undefined);
    await gateway.query("rollback").catch(() => undefined);
    throw error;
  }
}

/** From there on there is only the way forward: the shard that gets rows, the others, the gateway. */
async function complete(work: Growth, next: Next, shards: readonly pg.Client[], started?: number): Promise<Outcome> {
  const { gateway, fleet, shape, after, step, giver, taker, options, passing } = work;
  const to = shards[taker.index]!;
  await passing("flip: given");
  await inTransaction(to, async () => {
    await lockAll(to, [MAP, ...(shape.kind === "shrink" ? relationsOf(fleet).map((name) => `only ${name}`) : [])]);
    await setMap(to, { ...next, here: taker.database }, 0);
    if (shape.kind === "grow") return;
    for (const table of fleet.tables) {
      await requireClass(to, table, after.shards[taker.index]!.class);
      await showClass(to, table);
    }
  });
  if (shape.kind === "grow") await setFence(to, "everybody");
  await passing("flip: taken");
  const others = after.shards.filter(({ index }) => index !== taker.index && index !== giver.index);
  const told = settled(others.map(({ index, database }) => setMap(shards[index]!, { ...next, here: database }, 0)));
  // The gateway's clients do not wait for a shard that has nothing to do with this: it is told with the next look.
  await told.catch(() => undefined);
  await passing("flip: others told");
  // Reads through the gateway come to replicas too: none shows moved rows on both shards, or on neither, unless it is that far behind anyway.
  await Promise.all([shards[giver.index]!, to].map(async (client) => replayed(client, await mark(client), PATIENCE))).catch(
    () => undefined,
  );
  if (await isPrepared(gateway)) await gateway.query(`commit prepared '${PREPARED}'`);
  await told;
  const held = started === undefined ? {} : { held: Math.round(performance.now() - started) };
  await remember(gateway, step, { detail: held });
  const count = movedBuckets(shape, fleet.buckets).length;
  const long = started === undefined ? "" : `; writers were held up for ${held.held} ms`;
  options.done(`shards: ${count} of ${fleet.buckets} buckets went from ${giver.database} to ${taker.database}${long}`);
  return "done";
}

/** The announcement is taken back. */
export async function settleMap(work: Growth): Promise<void> {
  const map = (await readMap(work.gateway))!;
  if (map.moving.length === 0) return;
  const next = { ...placesOf(work.fleet, work.shape.after), version: map.version + 1, moving: [] };
  await tellAll(work, work.shape.after.length, next, 0);
}
