import type pg from "pg";
import type { Desired } from "../../plan/desired.ts";
import { settleAudit } from "../audit.ts";
import { settleJobs } from "../maintenance/settle.ts";
import { settleAutovacuum } from "./autovacuum.ts";
import { declareTables } from "./declare.ts";
import { settleTenants } from "./tenants.ts";

/** Makes one kind of declaration true, in the application's database, as the platform's administrator. Safe to run twice. */
export type Settler = (client: pg.Client, desired: Desired, log: (line: string) => void) => Promise<void>;

const SETTLERS: readonly Settler[] = [declareTables, settleTenants, settleAudit, settleAutovacuum, settleJobs];

/** What an `up` makes true about declared tables as soon as the application's migrations have run; the mover does what takes long. */
export async function settleTables(client: pg.Client, desired: Desired, log: (line: string) => void): Promise<void> {
  for (const settle of SETTLERS) await settle(client, desired, log);
}
