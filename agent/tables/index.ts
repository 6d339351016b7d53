import type pg from "pg";
import type { Desired } from "../../plan/desired.ts";

/** Makes one kind of declaration true, in the application's database, as the platform's administrator. Safe to run twice. */
export type Settler = (client: pg.Client, desired: Desired, log: (line: string) => void) => Promise<void>;

const SETTLERS: readonly Settler[] = [];

/** What an `up` makes true about declared tables as soon as the application's migrations have run; the mover does what takes long. */
export async function settleTables(client: pg.Client, desired: Desired, log: (line: string) => void): Promise<void> {
  for (const settle of SETTLERS) await settle(client, desired, log);
}
