/** Statements that take longer than a run of the agent may: the server goes on with them by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Server } from "./types.ts";

/**
 * Runs a statement on a session of its own and waits for it up to `patience` ms. Where the mover ends before it, the server finishes it; who asks
 * meanwhile learns that it is under way.
 *
 * @param name of the work, at most 50 characters: the same never runs twice at a time on a server
 * @returns whether it is done.
 */
export async function detached(server: Server, name: string, sql: string, patience: number): Promise<boolean> {
  const client = await server.connect();
  const label = `ladder: ${name}`;
  let running: Promise<unknown> = Promise.resolve();
  try {
    const { rowCount } = await client.query(
      "select from pg_stat_activity where application_name = $1 and state = 'active' and datname = current_database() and pid <> pg_backend_pid()",
      [label],
    );
    if (rowCount !== 0) return false;
    await client.query(
      `set application_name = '${label.replaceAll("'", "''")}'; set statement_timeout = 0; set lock_timeout = 0; set client_connection_check_interval = 0`,
    );
    let over = false;
    running = client.query(sql).finally(() => {
      over = true;
    });
    await Promise.race([running, sleep(patience, undefined, { ref: false })]);
    return over;
  } finally {
    running.catch(() => undefined).finally(() => client.end().catch(() => undefined));
  }
}
