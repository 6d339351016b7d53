/** The end of the way back: the operator keeps the shards. */
import type pg from "pg";
import { qualified } from "./sql.ts";
import { lastRun, remember, standing } from "./store.ts";
import { endWayBack } from "./wayback.ts";
import { BACK, type Work } from "./work.ts";

/** Notes that the way back shall end; the mover does it with its next looks. @returns what was done, or undefined when nothing is kept */
export async function finishShards(client: pg.Client): Promise<string | undefined> {
  const run = await lastRun(client);
  if (!run || standing(run) !== "kept") return undefined;
  const kept = run.steps.find(({ step }) => step === "kept")!;
  await remember(client, kept, { detail: { finish: true } });
  return "shards: the way back ends: the old tables on the gateway are dropped";
}

/** Ends the way back, and drops the tables as they were. */
export async function endKept(work: Work): Promise<void> {
  const { gateway, fleet, step, options, passing } = work;
  await endWayBack(work);
  await passing("no way back any more");
  for (const table of fleet.tables) await gateway.query(`drop table if exists ${qualified(table, BACK)}`);
  await remember(gateway, step, { state: "done" });
  options.done("shards: the way back is over, the old tables are dropped");
}
