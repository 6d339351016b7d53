/** Server connections that PgBouncer is opening, which PAUSE, RECONNECT and RELOAD must not meet. */
import type pg from "pg";

/** PgBouncer could not be held up: a transaction of the application, or a connection that is opened, took longer than the stall we allow. */
export class StillBusy extends Error {}

const RELOAD_PATIENCE = 3_000;

/**
 * Waits until PgBouncer opens no server connection, and lets it open no other until `limits` or RELOAD bring the file's limits back; the pooler's
 * watchdog does that when this process dies. PAUSE and RECONNECT break off a connection that is being opened, and so does every look at a paused
 * database that has fewer than `min_pool_size`: PgBouncer then opens none for a second, and fails clients that come meanwhile
 * with "server login has been failing" (PgBouncer 1.24: per_loop_pause, check_pool_size and check_fast_fail). With one connection allowed to
 * each user the ones that are there do all work for that moment.
 *
 * @param databases whose connections are waited for. @default all
 * @throws StillBusy after `patience` ms.
 */
export async function noMoreLogins(client: pg.Client, patience: number, databases?: readonly string[]): Promise<void> {
  await client.query("SET min_pool_size = 0");
  await client.query("SET max_user_connections = 1");
  const end = performance.now() + patience;
  for (;;) {
    const { rows } = await client.query<{ database: string; sv_login: number | string }>("SHOW POOLS");
    if (!rows.some(({ database, sv_login }) => Number(sv_login) > 0 && (databases?.includes(database) ?? true))) return;
    if (performance.now() > end) throw new StillBusy(`server connections still being opened after ${patience} ms`);
  }
}

/**
 * Has PgBouncer read its file. RELOAD frees the TLS settings that connections being opened still look at, which can end the process (PgBouncer 1.24 and
 * 1.25, sbuf_tls_setup): so none is being opened meanwhile. Where servers do not answer at all none gets as far as TLS.
 */
export async function reload(client: pg.Client): Promise<void> {
  try {
    await noMoreLogins(client, RELOAD_PATIENCE);
  } catch (error) {
    if (!(error instanceof StillBusy)) throw error;
  } finally {
    await client.query("RELOAD");
  }
}
