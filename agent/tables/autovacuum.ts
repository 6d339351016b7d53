import { setTimeout as sleep } from "node:timers/promises";
import type { Settler } from "./index.ts";

const TRIES = 2;
const BETWEEN_TRIES = 500;

/**
 * Gives tables that are declared hot or warm their autovacuum settings, every partition too, and takes back what an earlier declaration
 * set. Stands behind `declareTables`. A table whose lock is not to be had is reported; the job ladder-settle and the next up try again.
 */
export const settleAutovacuum: Settler = async (client, _desired, log) => {
  for (let tries = 1; ; tries++) {
    const { rows } = await client.query<{ relation: string; outcome: string }>("select relation, outcome from ladder.settle_autovacuum()");
    const busy = rows.filter(({ outcome }) => outcome === "busy");
    for (const { relation, outcome } of rows) if (outcome !== "busy") log(`autovacuum: ${relation}: ${outcome}`);
    if (busy.length === 0) return;
    if (tries === TRIES) {
      log(`autovacuum: ${busy.map(({ relation }) => relation).join(", ")}: busy, tried again within the hour`);
      return;
    }
    await sleep(BETWEEN_TRIES);
  }
};
