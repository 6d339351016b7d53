/** The tenant of a transaction, for tables that are declared with one (docs/guide/tenants.md). */
import type { ClientBase, Pool, QueryResult } from "pg";
import { TransactionRolledBack } from "./errors.ts";

/** The value of the tenant column: text and uuid as text, numbers as either. */
export type Tenant = string | number | bigint;

/**
 * Gives the transaction that is open on `client` its tenant, until it ends. Outside of a transaction it holds for nothing: the next statement
 * sees no rows. Calling it again changes the tenant.
 */
export async function setTenant(client: { query: (sql: string, values: string[]) => Promise<unknown> }, tenant: Tenant): Promise<void> {
  await client.query("select ladder.set_tenant($1::text)", [String(tenant)]);
}

/**
 * Runs `work` in a transaction that sees the rows of one tenant, on a connection of the pool, or on a client that has no open transaction.
 * Commits when it returns; rolls back when it throws, and throws the same.
 * @throws TransactionRolledBack when `work` went on after a statement that had failed.
 */
export async function withTenant<T>(db: Pool | ClientBase, tenant: Tenant, work: (client: ClientBase) => Promise<T>): Promise<T> {
  if (!("totalCount" in db)) return inTransaction(db, tenant, work, () => undefined);
  const client = await db.connect();
  let usable = true;
  const lost = () => {
    usable = false;
  };
  client.on("error", lost);
  try {
    return await inTransaction(client, tenant, work, lost);
  } finally {
    client.off("error", lost);
    client.release(!usable);
  }
}

async function inTransaction<T>(
  client: ClientBase,
  tenant: Tenant,
  work: (client: ClientBase) => Promise<T>,
  notRolledBack: () => void,
): Promise<T> {
  let ended: QueryResult;
  let result: T;
  try {
    await client.query("begin");
    await setTenant(client, tenant);
    result = await work(client);
    ended = await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(notRolledBack);
    throw error;
  }
  if (ended.command === "ROLLBACK") throw new TransactionRolledBack(undefined);
  return result;
}
