/** What the tests of schema ladder's views share: a server with the platform, its administrator, and the monitor, who reads. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, beforeAll } from "vitest";
import { applyPlatform } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

export let server: TestServer;
export let db: TestDatabase;
export let admin: Client;
let monitor: Client;

/** Registers the hooks that start the server and end it. */
export function startViews(): void {
  beforeAll(async () => {
    server = await startPostgres();
    db = await server.createDatabase({ name: "app" });
    await applyPlatform(db);
    admin = await db.connect();
    monitor = await db.connect("ladder_monitor");
  });
  afterAll(() => server?.stop());
}

/** Asked as ladder_monitor unless another client is given. */
export const rowsOf = async <Row extends object>(sql: string, client = monitor): Promise<Row[]> => (await client.query<Row>(sql)).rows;

/** Calls `look` until it finds something, for at most five seconds. */
export async function soon<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 100; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(50);
  }
  throw new Error("got nothing within five seconds");
}

/** What ladder.health says about one check. */
export const check = async (name: string) =>
  rowsOf<{ level: string; value: string; object: string | null; fix: string | null }>(
    `select level, value, object, fix from health where "check" = '${name}'`,
  );

export const limit = (name: string, warning: number, critical: number) =>
  admin.query("update ladder.threshold set warning = $2, critical = $3 where name = $1", [name, warning, critical]);

/** "Standby status update": written, flushed and applied up to `position`. */
export function standbyStatus(position: bigint): Buffer {
  const message = Buffer.alloc(34);
  message.write("r");
  for (const offset of [1, 9, 17]) message.writeBigUInt64BE(position, offset);
  return message;
}
