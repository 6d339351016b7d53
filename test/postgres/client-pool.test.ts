/** C3 and P5: the pools' numbers, time-outs, checks and figures, on a real server behind a wire that can be broken. */
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type ConnectOptions, connect, type Database, PoolTimeout } from "../../client/index.ts";
import { ms } from "../../plan/types.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";
import { type Wire, wireTo } from "./client-servers.ts";

let server: TestServer;
let admin: Client;
let wire: Wire;
let open: Database[];

const database = (options: ConnectOptions = {}, env: Record<string, string> = {}): Database => {
  const made = connect({ writeUrl: wire.url, writeSize: 2, readSize: 2, min: 0, overflow: 0, env, ...options });
  open.push(made);
  return made;
};
const backends = async (name = "pgladder-client") =>
  (await admin.query<{ pid: number }>("select pid from pg_stat_activity where application_name = $1", [name])).rows.map(({ pid }) => pid);
const pid = async (db: Database) => (await db.write<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]!.pid;
/** Holds a connection until the function that it resolves to is called. */
const hold = (db: Database) =>
  new Promise<() => void>((resolve, reject) => {
    db.transaction(() => new Promise<void>((end) => resolve(end))).catch(reject);
  });

beforeAll(async () => {
  server = await startPostgres();
  admin = await server.connect();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  open = [];
  wire = await wireTo(`postgresql://ladder_admin@127.0.0.1:${server.port}/postgres`);
});
afterEach(async () => {
  await Promise.all(open.map((one) => one.close()));
  wire.close();
  await expect.poll(() => backends()).toEqual([]);
});

test("ready opens min connections of each pool, all with the application's name; close ends them", async () => {
  const db = database({ min: 2, applicationName: "shop" });
  await db.ready();
  expect(await backends("shop")).toHaveLength(4);
  expect(db.figures()).toMatchObject({ write: { open: 2, idle: 2, connects: 2 }, read: { open: 2, idle: 2, connects: 2 } });
  await db.close();
  open = [];
  await expect.poll(() => backends("shop")).toEqual([]);
});

test("size and overflow bound it; who waits longer than the checkout time-out is told; the figures show it", async () => {
  const db = database({ overflow: 1, checkoutTimeout: ms(150) });
  const ends = await Promise.all([hold(db), hold(db), hold(db)]);
  const fourth = db.write("select 1");
  await expect.poll(() => db.figures().write.waiting).toBe(1);
  await expect(fourth).rejects.toThrow(new PoolTimeout("write pool: no connection free within 0.15 s: 3 of 3 in use, 0 more waiting"));
  const patient = db.write("select 1");
  await sleep(50);
  ends.shift()!();
  await patient;
  for (const end of ends) end();
  const { write } = db.figures();
  expect(write).toMatchObject({ size: 2, max: 3, open: 3, waiting: 0, checkouts: 4, connects: 3, discarded: 0, errors: 1, timeouts: 1 });
  expect(write.waitP99).toBeGreaterThanOrEqual(50);
  expect(write.waitP99).toBeGreaterThanOrEqual(write.waitP50);
});

test("what the overflow took goes back to min after the idle time-out", async () => {
  const db = database({ min: 1, overflow: 2, idle: ms(100) });
  const ends = await Promise.all([hold(db), hold(db), hold(db), hold(db)]);
  expect(db.figures().write.open).toBe(4);
  for (const end of ends) end();
  await expect.poll(() => db.figures().write.open).toBe(1);
  await sleep(150);
  expect(await backends()).toHaveLength(1);
});

test("connections end at their lifetime when unused, and are not handed out beyond recycle", async () => {
  const short = database({ lifetime: ms(100) });
  await pid(short);
  await expect.poll(() => backends()).toEqual([]);

  const recycling = database({ lifetime: ms(0), recycle: ms(100) });
  const first = await pid(recycling);
  await sleep(150);
  expect(await backends(), "nothing closes it before it is asked for").toEqual([first]);
  expect(await pid(recycling)).not.toBe(first);
  expect(recycling.figures().write).toMatchObject({ connects: 2, discarded: 1 });
});

test("a connection that went dead silently is found before use", async () => {
  const db = database({ checkAfter: ms(20), connectTimeout: ms(300) });
  const first = await pid(db);
  wire.freeze();
  await sleep(30);
  const second = await pid(db);
  expect(second).not.toBe(first);
  expect(await pid(db)).toBe(second);
  expect(db.figures().write).toMatchObject({ discarded: 1, errors: 0 });
  await admin.query("select pg_terminate_backend($1)", [first]);
});

test("a server that does not answer is given up after the connect time-out", async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as { port: number };
  const writeUrl = `postgresql://nobody@127.0.0.1:${port}/none`;
  const db = database({ writeUrl, connectTimeout: ms(200), checkoutTimeout: ms(100_000) });
  await expect(db.write("select 1")).rejects.toThrow("timeout expired");
  expect(db.figures().write).toMatchObject({ errors: 1, timeouts: 0, open: 0 });
  silent.close();
});

test("an open transaction is rolled back on return", async () => {
  const db = database({ writeSize: 1 });
  await admin.query("create table left_open (id int)");
  const used = await pid(db);
  await db.write("begin");
  expect((await db.write("insert into left_open values (1)")).count).toBe(1);
  expect(await pid(db)).toBe(used);
  const { rows } = await admin.query("select state, (select count(*)::int from left_open) as n from pg_stat_activity where pid = $1", [
    used,
  ]);
  expect(rows).toEqual([{ state: "idle", n: 1 }]);
});

test("the numbers come from the environment", async () => {
  const db = connect({
    env: {
      PGLADDER_WRITE_URL: wire.url,
      PGLADDER_POOL_WRITE_SIZE: "3",
      PGLADDER_POOL_READ_SIZE: "4",
      PGLADDER_POOL_MIN: "1",
      PGLADDER_POOL_OVERFLOW: "2",
      PGLADDER_APPLICATION_NAME: "by-env",
    },
  });
  await db.ready();
  expect(await backends("by-env")).toHaveLength(2);
  expect(db.figures()).toMatchObject({ write: { size: 3, max: 5 }, read: { size: 4, max: 6 } });
  await db.close();
});
