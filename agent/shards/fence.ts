/** The fence around a shard's tables: nobody but replication writes there, or nobody but the gateway. See sql/platform/0081. */
import type pg from "pg";
import { inTransaction } from "./session.ts";
import { qualified } from "./sql.ts";
import type { GlobalTable } from "./types.ts";

/** Who writes past the fence; in the order of sql/platform/0081. */
const LETS = ["nobody", "gateway", "everybody"] as const;
export type Lets = (typeof LETS)[number];

/** Puts the fence around the tables and their partitions; new partitions need it again. In the caller's transaction. */
export async function closeFence(client: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  for (const table of tables) await client.query("select ladder.close_fence($1::regclass)", [qualified(table)]);
}

/** Whom the fence lets through from now on: at once, and whatever becomes of the transaction. Only who holds the tables' locks may shut somebody out. */
export async function setFence(client: pg.Client, lets: Lets): Promise<void> {
  await client.query("select setval('ladder.shard_fence', $1)", [LETS.indexOf(lets)]);
}

/** Takes the fence away, a table at a time: the locks are short. @throws 55P03 when a table is in use. */
export async function dropFence(client: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  for (const table of tables) await inTransaction(client, () => client.query("select ladder.drop_fence($1::regclass)", [qualified(table)]));
}

/** TRUNCATE is not replicated to the way back. */
export async function refuseTruncate(client: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  for (const table of tables)
    await client.query(
      "select ladder.guard_statements($1::regclass, 'ladder_no_truncate', 'truncate', 'ladder.refuse_truncate'::regproc)",
      [qualified(table)],
    );
}

export async function allowTruncate(client: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  for (const table of tables)
    await inTransaction(client, () =>
      client.query("select ladder.unguard_statements($1::regclass, 'ladder_no_truncate')", [qualified(table)]),
    );
}
