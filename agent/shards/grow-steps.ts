/** Steps of growing and shrinking up to where the shard that gets rows follows the one that gives them. Each may be begun again anywhere. */
import type pg from "pg";
import { deleteHidden, endDeletion, hiddenClass, hideClass, mayDelete, prepareDeletion, requireClass, validateClass } from "./cleanup.ts";
import { copyStates, estimates, failures } from "./copy.ts";
import { closeFence, setFence } from "./fence.ts";
import { bare, index as makeIndexes } from "./fill.ts";
import { settleServers } from "./gateway/index.ts";
import { settleGlobals } from "./globals.ts";
import type { Growth } from "./grow-work.ts";
import { identify } from "./identity.ts";
import { lockAll } from "./locks.ts";
import { copyPartitions } from "./partitions.ts";
import { confirmed, endStream, letApply, letConnect, letCopy, makeSlot, publish, readSlots, subscribe } from "./replication.ts";
import { giveRanges } from "./sequences.ts";
import { inTransaction, onServer, onServers } from "./session.ts";
import { classCondition, connectionString, qualified } from "./sql.ts";
import { remember } from "./store.ts";
import type { Shard } from "./types.ts";
import { verifyTable } from "./verify.ts";
import { prepareWayBack } from "./wayback.ts";
import { forward, type Outcome, relationsOf } from "./work.ts";

/** Bytes of log that the shard may be behind before the next step. */
const NEAR = 1_048_576;

/** What would make it fail later, while nothing is changed yet. */
export async function check({ gateway, fleet, kept, kin, giver, taker }: Growth): Promise<Outcome> {
  for (const shard of [giver, taker])
    if (!(await onServer(shard, (client) => has(client, "to_regclass('ladder.hidden_class') is not null"))))
      return { waits: `the platform's schema on ${shard.database}` };
  if (!(await has(gateway, "current_setting('max_prepared_transactions')::int > 0")))
    return { waits: "max_prepared_transactions above 0 on the gateway" };
  return onServer(kin, async (client) => {
    for (const table of fleet.tables) {
      if (await hiddenClass(client, table)) return { waits: `${qualified(table)} on ${kin.database}: rows that are still hidden there` };
      const free = await has(
        client,
        `exists (select from pg_policy p join pg_class c on c.oid = p.polrelid where c.oid = '${qualified(table).replaceAll("'", "''")}'::regclass
           and not polpermissive and not (relrowsecurity and relforcerowsecurity))`,
      );
      if (free) return { waits: `${qualified(table)} on ${kin.database}: row security forced, because it has restrictive policies` };
    }
    if (kept && !(await mayDelete(client)))
      return { waits: `the end of the way back: ${kin.database} allows no deletion that it would not see` };
    return "done";
  });
}

const has = async (client: pg.Client, condition: string): Promise<boolean> =>
  (await client.query<{ is: boolean }>(`select ${condition} as is`)).rows[0]!.is;

/** Rights, definitions, fence and CHECK of both sides; a new shard is empty and closed afterwards, and has ids of its own. */
export async function prepareShards(work: Growth): Promise<Outcome> {
  const { gateway, fleet, after, shape, giver, taker, options, passing } = work;
  await onServer(giver, async (client) => {
    await letConnect(client);
    await letCopy(client, relationsOf(fleet));
    await identify(client, fleet.tables);
  });
  if (shape.kind === "grow") {
    await options.define(taker);
    await passing(`definitions on ${taker.database}`);
    await settlePartitions(work);
    await onServer(taker, async (client) => {
      const open = [...fleet.tables, ...fleet.globals].map((table) => qualified(table));
      await client.query("select ladder.open_to_gateway($1::text[]::regclass[])", [open]);
      await setFence(client, "nobody");
      await closeFence(client, fleet.tables);
      for (const table of fleet.tables) await requireClass(client, table, taker.class);
      await empty(client, work);
      for (const table of fleet.tables) await validateClass(client, table);
    });
    await giveRanges(fleet.gateway, taker, fleet);
    await settleServers(gateway, after);
    await settleGlobals(after);
  }
  await onServer(taker, async (client) => {
    await letConnect(client);
    await letApply(client, relationsOf(fleet));
  });
  return "done";
}

/** The partitions of a new shard are those of the one that it is split from. */
export async function settlePartitions({ fleet, shape, giver, taker }: Growth): Promise<void> {
  if (shape.kind === "shrink") return;
  await copyPartitions(giver, taker, fleet);
  await onServer(taker, async (client) => {
    await letApply(client, relationsOf(fleet));
    await closeFence(client, fleet.tables);
  });
}

/** A new shard has no rows before they come. */
async function empty(client: pg.Client, { fleet, taker }: Growth): Promise<void> {
  const { rowCount } = await client.query("select from pg_subscription where subname = $1", [forward(taker)]);
  if (rowCount !== 0) return;
  await client.query("set session_replication_role = replica");
  for (const name of relationsOf(fleet)) if (await has(client, `exists (select from ${name})`)) await client.query(`truncate ${name}`);
  await client.query("set session_replication_role = origin");
}

/** The shard that others are merged into hides what is about to come: its tables show their own rows only. */
export async function hide({ fleet, shape, taker, giver }: Growth): Promise<Outcome> {
  if (shape.kind === "grow") return "done";
  await onServer(taker, (client) =>
    inTransaction(client, async () => {
      await lockAll(
        client,
        relationsOf(fleet).map((name) => `only ${name}`),
      );
      for (const table of fleet.tables) {
        await hideClass(client, table, giver.class);
        await requireClass(client, table, taker.class, giver.class);
      }
    }),
  );
  return "done";
}

export const bareNew = (work: Growth): Promise<Outcome> =>
  work.shape.kind === "grow" ? bare({ ...work, fleet: work.alone }) : Promise.resolve("done");

export const indexNew = (work: Growth): Promise<Outcome> =>
  work.shape.kind === "grow" ? makeIndexes({ ...work, fleet: work.alone }) : Promise.resolve("done");

/** Name of the publication and the slot on the giver, and of the subscription on the taker. */
export const between = ({ last }: Pick<Growth, "last">): string => forward(last);

export async function copy(work: Growth): Promise<Outcome> {
  const { gateway, fleet, step, giver, taker } = work;
  const name = between(work);
  return onServers([giver, taker], async ([from, to]) => {
    const states = await copyStates(to!, name);
    const [slot] = await readSlots(from!, [name]);
    if (!states || !slot || slot.lost) return begin(work, from!, to!);
    if (states.every(({ ready }) => ready)) return "done";
    const share = giver === work.kin ? 2 : 1;
    const sizes = await estimates(from!, relationsOf(fleet));
    let [rowsDone, rowsTotal] = [0, 0];
    for (const { table, rows, copied } of states) {
      const all = (sizes.get(table) ?? 0) / share;
      rowsTotal += all;
      rowsDone += copied ? all : Math.min(rows, all);
    }
    const left = rowsDone > 0 ? ((rowsTotal - rowsDone) * (step.age + 1)) / rowsDone : null;
    await remember(gateway, step, { detail: { rowsDone: Math.round(rowsDone), rowsTotal: Math.round(rowsTotal), left } });
    const count = await failures(to!, name);
    return {
      waits: count > 0 ? `${taker.database} (${count} failures: its log says why)` : `the copy from ${giver.database} to ${taker.database}`,
    };
  });
}

/** A new stream, when nothing of an earlier one is left. */
async function begin(work: Growth, from: pg.Client, to: pg.Client): Promise<Outcome> {
  const { fleet, shape, giver, end, passing } = work;
  const name = between(work);
  await endStream(from, to, name);
  if (shape.kind === "grow") await empty(to, work);
  else if (!(await discard(to, work, end))) return "again";
  const where = (table: (typeof fleet.tables)[number]) => (shape.kind === "grow" ? { where: classCondition(table, shape.class) } : {});
  await publish(
    from,
    name,
    fleet.tables.map((table) => ({ relation: qualified(table), ...where(table) })),
  );
  await passing("copy: published");
  await makeSlot(from, name);
  await passing("copy: slot made");
  await subscribe(to, name, { connection: connectionString(giver, fleet), copy: true });
  return { waits: `the copy from ${giver.database}` };
}

/** Deletes all hidden rows on a shard, as far as time allows. */
export async function discard(client: pg.Client, { fleet, kept }: Pick<Growth, "fleet" | "kept">, end: number): Promise<boolean> {
  const hidden = [];
  for (const table of fleet.tables) if (await hiddenClass(client, table)) hidden.push(table);
  if (hidden.length === 0) return true;
  const unseen = await prepareDeletion(client);
  if (!unseen && kept) throw new Error("got no right to pg_replication_origin_session_setup, want it, or the end of the way back");
  let done = true;
  for (const table of hidden) done &&= (await deleteHidden(client, table, end)).done;
  if (unseen) await endDeletion(client, done);
  return done;
}

/** New partitions come meanwhile too. */
export async function catchUp(work: Growth): Promise<Outcome> {
  await settlePartitions(work);
  const behind = await distance(work);
  return behind <= NEAR ? "done" : { waits: `${work.taker.database}, ${Math.ceil(behind / NEAR)} MB behind` };
}

/** Bytes by which the taker is behind. */
export async function distance(work: Growth): Promise<number> {
  const [slot] = await onServer(work.giver, (client) => readSlots(client, [between(work)]));
  if (!slot) throw new Error(`${work.giver.database}: got no replication slot ${between(work)}, want the one that was made`);
  return slot.behind;
}

/** Table by table: each is remembered when it was found equal. */
export async function verify(work: Growth): Promise<Outcome> {
  const { gateway, fleet, shape, step, giver, taker, end, passing } = work;
  const equal = new Set(step.detail.equal);
  let compared = step.detail.compared ?? 0;
  for (const table of fleet.tables.filter((one) => !equal.has(qualified(one)))) {
    if (performance.now() > end && equal.size > 0) return "again";
    const applied = (lsn: string) => arrived(giver, between(work), lsn);
    const { rows } = await verifyTable({
      source: { server: giver, class: shape.class },
      target: { server: taker, class: shape.kind === "grow" ? null : shape.class },
      ...{ table, buckets: fleet.buckets, applied },
    });
    compared += rows.reduce((sum, count) => sum + count, 0);
    equal.add(qualified(table));
    await remember(gateway, step, { detail: { equal: [...equal], compared, rowsDone: equal.size, rowsTotal: fleet.tables.length } });
    await passing(`verified ${qualified(table)}`);
  }
  return "done";
}

/** Waits until a subscriber has confirmed a place in a shard's log. @throws Error after 30 s */
export async function arrived(shard: Shard, name: string, lsn: string): Promise<void> {
  await onServer(shard, async (client) => {
    if (!(await confirmed(client, [name], lsn, 30_000))) throw new Error(`${name}: got nothing new within 30 s, want it at ${lsn}`);
  });
}

/** What is written on a new shard comes back as well. */
export const wayBack = (work: Growth): Promise<Outcome> =>
  work.kept && work.shape.kind === "grow" ? prepareWayBack({ ...work, fleet: work.alone }) : Promise.resolve("done");
