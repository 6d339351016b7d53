/** The copy of the primary's rows onto shards: a few shards at a time, without their secondary indexes, watched so that the primary is never in danger. */
import { copyStates, estimates, failures } from "./copy.ts";
import { detached } from "./detached.ts";
import { dropIndexes, missingIndexes, secondaryIndexes } from "./indexes.ts";
import { endStream, makeSlot, publish, readSlots, subscribe } from "./replication.ts";
import { onServer } from "./session.ts";
import { classCondition, connectionString, qualified } from "./sql.ts";
import { remember } from "./store.ts";
import type { Shard } from "./types.ts";
import { forward, named, type Outcome, relationsOf, type Work } from "./work.ts";

const COPIES = 2;

/** Secondary indexes are remembered, then dropped, while the tables are empty. */
export async function bare({ gateway, fleet, step, passing }: Work): Promise<Outcome> {
  for (const shard of fleet.shards)
    await onServer(shard, async (client) => {
      const known = step.detail.indexes?.[shard.index] ?? [];
      const there = await secondaryIndexes(client, fleet.tables);
      const added = there.filter(({ schema, name }) => !known.some((index) => index.schema === schema && index.name === name));
      if (added.length > 0)
        await remember(gateway, step, { detail: { indexes: { ...step.detail.indexes, [shard.index]: [...known, ...added] } } });
      await passing("indexes of a shard are remembered");
      await dropIndexes(client, there);
    }).catch((error: Error) => Promise.reject(named(shard, error)));
  return "done";
}

/** Begins copies, as many at a time as may be, and ends when the last table of the last shard is copied. */
export async function copy(work: Work): Promise<Outcome> {
  const { gateway, fleet, step, options, passing } = work;
  const tables = relationsOf(fleet);
  const sizes = await estimates(gateway, tables);
  const slots = await readSlots(gateway, fleet.shards.map(forward));
  let [underWay, rowsDone, complete] = [0, 0, 0];
  const failing: string[] = [];
  for (const shard of fleet.shards) {
    const share = (table: string) => (sizes.get(table) ?? 0) / shard.class.modulus;
    const states = await onServer(shard, async (client) => {
      const found = await copyStates(client, forward(shard));
      const count = found ? await failures(client, forward(shard)) : 0;
      if (count > 0) failing.push(`${shard.database} (${count} failures: its log says why)`);
      return found;
    }).catch((error: Error) => Promise.reject(named(shard, error)));
    const slot = slots.find(({ name }) => name === forward(shard));
    if (states && slot && !slot.lost) {
      for (const { table, copied, rows } of states) rowsDone += copied ? share(table) : Math.min(rows, share(table));
      if (states.every(({ ready }) => ready)) complete += 1;
      else underWay += 1;
    } else if (underWay < (options.copies ?? COPIES)) {
      if (states) options.log(`${shard.database}: its replication slot is gone, so its copy begins again`);
      await begin(work, shard);
      await passing("a copy has begun");
      underWay += 1;
    }
  }
  if (complete === fleet.shards.length) return "done";
  const rowsTotal = [...sizes.values()].reduce((sum, count) => sum + count, 0);
  const rate = rowsDone / Math.max(1, step.age);
  const left = rowsDone > 0 && rowsTotal > rowsDone ? (rowsTotal - rowsDone) / rate : null;
  await remember(gateway, step, { detail: { rowsDone: Math.round(rowsDone), rowsTotal: Math.round(rowsTotal), left } });
  return { waits: failing.length > 0 ? failing.join(", ") : `${underWay} of ${fleet.shards.length} shards` };
}

/** A new stream into empty tables. */
async function begin({ gateway, fleet, passing }: Work, shard: Shard): Promise<void> {
  const name = forward(shard);
  await onServer(shard, async (client) => {
    await endStream(gateway, client, name);
    await client.query("set session_replication_role = replica");
    for (const table of relationsOf(fleet)) await client.query(`truncate ${table}`);
    const published = fleet.tables.map((table) => ({
      relation: qualified(table),
      ...(shard.class.modulus > 1 ? { where: classCondition(table, shard.class) } : {}),
    }));
    await publish(gateway, name, published);
    await passing("a publication is made");
    await makeSlot(gateway, name);
    await passing("a slot is made");
    await subscribe(client, name, { connection: connectionString(fleet.gateway, fleet), copy: true });
  });
}

/** Secondary indexes again, one at a time on each shard; then statistics. */
export async function index({ fleet, run, end }: Work): Promise<Outcome> {
  const remembered = run.steps.find(({ step }) => step === "bare")?.detail.indexes ?? {};
  const left = () => Math.max(0, end - performance.now());
  const counts = await Promise.all(
    fleet.shards.map(async (shard) => {
      for (;;) {
        const missing = await onServer(shard, (client) => missingIndexes(client, remembered[shard.index] ?? []));
        const [next] = missing;
        if (!next) break;
        if (!(await detached(shard, `index ${next.name}`.slice(0, 50), next.definition, left()))) return missing.length;
      }
      return (await detached(shard, "analyze", `analyze ${relationsOf(fleet).join(", ")}`, left())) ? 0 : 1;
    }),
  );
  const waiting = counts.reduce((sum, count) => sum + count, 0);
  return waiting === 0 ? "done" : { waits: `${waiting} indexes` };
}
