/** Steps of growing and shrinking after the flip. */
import type pg from "pg";
import { showClass, validateClass } from "./cleanup.ts";
import { dropFence } from "./fence.ts";
import { settleServers } from "./gateway/index.ts";
import { settleGlobals } from "./globals.ts";
import { settleMap } from "./grow-flip.ts";
import { arrived, between, discard } from "./grow-steps.ts";
import type { Growth } from "./grow-work.ts";
import { endStream, mark, subscribe } from "./replication.ts";
import { inTransaction, onServer, onServers } from "./session.ts";
import { connectionString } from "./sql.ts";
import { endWayBack } from "./wayback.ts";
import { backward, type Outcome } from "./work.ts";

/** Name of the slot and the subscription by which a shard has global tables. */
const globalOf = (index: number): string => `ladder_global_${index}`;

/** What only the move needed goes; the way back follows the shard that has the rows now. */
export async function open(work: Growth): Promise<Outcome> {
  const { gateway, fleet, after, alone, shape, kept, giver, taker, passing } = work;
  if (kept && shape.kind === "grow") {
    // What was written on the old shard must be there before what the new one has made of it.
    await arrived(giver, backward(giver), await onServer(giver, mark));
    await subscribe(gateway, backward(taker), { connection: connectionString(taker, fleet), copy: false });
    await passing("open: way back follows");
  }
  await onServers([giver, taker], ([from, to]) => endStream(from!, to!, between(work)));
  await passing("open: stream ended");
  if (shape.kind === "grow") await onServer(taker, (client) => dropFence(client, fleet.tables));
  else {
    if (kept) await endWayBack({ gateway, fleet: alone, passing });
    await onServer(giver, (client) => endStream(gateway, client, globalOf(giver.index)));
    await settleServers(gateway, after);
  }
  await settleGlobals(after);
  if (!(await onServer(taker, replicasFollow))) return { waits: `the replicas of ${taker.database}` };
  await settleMap(work);
  return "done";
}

/** Whether a server's stand-bys have what it had committed when this was asked. */
async function replicasFollow(client: pg.Client): Promise<boolean> {
  const lsn = await mark(client);
  for (let tries = 0; tries < 20; tries++) {
    const { rows } = await client.query<{ all: boolean }>(
      `select coalesce(bool_and(replay_lsn >= $1), true) as all from pg_stat_replication r
        where state = 'streaming' and not exists (select from pg_replication_slots s where s.active_pid = r.pid and slot_type = 'logical')`,
      [lsn],
    );
    if (rows[0]!.all) return true;
    await client.query("select pg_sleep(0.05)");
  }
  return false;
}

/** Rows that have left are deleted; then the CHECK is looked through, and row security is as it was. */
export async function clean(work: Growth): Promise<Outcome> {
  const { fleet, shape, kin, end } = work;
  return onServer(kin, async (client) => {
    if (shape.kind === "grow" && !(await discard(client, work, end))) return "again";
    await client.query("set session_replication_role = origin");
    for (const table of fleet.tables) {
      if (!(await validateClass(client, table, end))) return "again";
      if (shape.kind === "grow") await inTransaction(client, () => showClass(client, table));
    }
    return "done";
  });
}
