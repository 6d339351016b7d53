/** A growing or shrinking that is given up before its buckets were announced: everything as before. */
import { isDeepStrictEqual } from "node:util";
import type pg from "pg";
import { requireClass, showClass, validateClass } from "./cleanup.ts";
import { settleServers } from "./gateway/index.ts";
import { settleGlobals } from "./globals.ts";
import { nextShape } from "./grow-shape.ts";
import { between, discard } from "./grow-steps.ts";
import { type Growth, wantedClasses, withClasses } from "./grow-work.ts";
import { danger } from "./guard.ts";
import { lockAll } from "./locks.ts";
import { endStream } from "./replication.ts";
import { inTransaction, onServer, onServers } from "./session.ts";
import type { Run } from "./store.ts";
import { forgetWayBack } from "./wayback.ts";
import { type Outcome, relationsOf } from "./work.ts";

export interface Reason {
  reason: string;
  /** A server would have been in danger: not begun again for a while. */
  guarded: boolean;
}

/** Why a run has to be given up, while it still may be. */
export async function whyGiveUp(work: Growth): Promise<Reason | undefined> {
  const { run, shape, options, giver, alone } = work;
  if (run.steps.some(({ step, state }) => step === "announce" && state !== "waiting")) return undefined;
  const next = options.wanted.length > 0 ? nextShape(shape.before, wantedClasses(options)) : null;
  if (!isDeepStrictEqual(next, shape)) return { reason: "other shards are wanted", guarded: false };
  const reason = await onServer(giver, (client) => danger(client, alone, options.retained));
  return reason === undefined ? undefined : { reason, guarded: true };
}

export async function undo(work: Growth): Promise<Outcome> {
  const { gateway, fleet, shape, kept, giver, taker, alone, passing, end } = work;
  await onServers([giver, taker], ([from, to]) => endStream(from!, to!, between(work)));
  await passing("undo: stream ended");
  if (shape.kind === "grow") {
    if (kept) await forgetWayBack({ fleet: alone });
    await onServer(taker, (client) => endStream(gateway, client, `ladder_global_${taker.index}`));
    const before = withClasses(fleet, shape.before);
    await settleServers(gateway, before);
    await settleGlobals(before);
    return "done";
  }
  return onServer(taker, async (client) => {
    if (!(await discard(client, work, end))) return "again";
    await client.query("set session_replication_role = origin");
    await inTransaction(client, async () => {
      await lockAll(
        client,
        relationsOf(fleet).map((name) => `only ${name}`),
      );
      for (const table of fleet.tables) {
        await requireClass(client, table, taker.class);
        await showClass(client, table);
      }
    });
    for (const table of fleet.tables) await validateClass(client, table);
    return "done";
  });
}

/** The run before is the last one again; where a server was in danger it says since when. */
export async function forget(gateway: pg.Client, { kind, run }: Run, { reason, guarded }: Reason): Promise<void> {
  await gateway.query("delete from ladder.move where kind = $1 and run = $2", [kind, run]);
  await gateway.query(
    `insert into ladder.move (kind, run, position, step, state, started, finished, detail)
     select kind, run, position + 1, 'not grown ' || clock_timestamp(), 'done', clock_timestamp(), clock_timestamp(), $1
     from ladder.move where kind in ('3-4', '4-3', '4-4') order by id desc limit 1`,
    [JSON.stringify({ reason, guarded })],
  );
}
