/** Connections of the mover between servers: their settings, and the lock that lets one process at a time move. */
import type pg from "pg";
import { codeOf } from "../convert/session.ts";
import type { Server } from "./types.ts";

export { inTransaction } from "../convert/session.ts";

/** Advisory lock of a move: "ladd" in ASCII, 4. Taken in the application's database on the gateway. */
const MOVE_LOCK = [0x6c616464, 4] as const;

/** Locks that others may wait behind are given up after this time, ms: below deadlock_timeout, so that the application is never what PostgreSQL cancels. */
export const LOCK_WAIT = 500;

/** Sets up a session: nothing that it waits for holds up the application for long, and what it leaves open ends by itself. */
export async function prepare(client: pg.Client): Promise<pg.Client> {
  await client.query(`
    set search_path = pg_catalog; set timezone = 'UTC'; set datestyle = 'ISO'; set lock_timeout = ${LOCK_WAIT}; set statement_timeout = 0;
    set idle_in_transaction_session_timeout = '5s'; set client_connection_check_interval = 1000; set client_min_messages = warning;
    set row_security = off; set application_name = 'ladder shards'`);
  // Ours finds a deadlock first, and autovacuum gives way at once; where the right is missing, autovacuum has to be waited for.
  await client.query("set deadlock_timeout = '20ms'").catch((error: unknown) => {
    if (codeOf(error) !== "42501") throw error;
  });
  return client;
}

/** Opens a prepared session to each server, calls `use` and closes them. */
export async function onServers<T>(servers: readonly Server[], use: (clients: pg.Client[]) => Promise<T>): Promise<T> {
  const opened = await Promise.allSettled(servers.map(async ({ connect }) => prepare(await connect())));
  const clients = opened.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  try {
    const failed = opened.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
    return await use(clients);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }
}

/** Opens a prepared session, calls `use` and closes it. */
export const onServer = <T>(server: Server, use: (client: pg.Client) => Promise<T>): Promise<T> =>
  onServers([server], ([client]) => use(client!));

/** Whether this session is now the one that moves. */
export async function alone(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ got: boolean }>("select pg_try_advisory_lock($1::int, $2::int) as got", [...MOVE_LOCK]);
  return rows[0]!.got;
}

/** Somebody else held a lock: the same again is what helps. 57014 is our own statement_timeout. */
export const isBusy = (error: unknown): boolean => ["55P03", "40P01", "57014", "55006"].includes(codeOf(error) ?? "");
