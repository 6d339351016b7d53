/** The pooler host before a real primary and a real replica: roles found, lag, fail-over, new passwords, several processes, leaving. */
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bench, passwordOf, startBench } from "../support/rds.ts";

let bench: Bench;
const open: pg.Client[] = [];
const connect = async (user: string, database: string, port?: number) => {
  const client = await bench.connect(user, database, port);
  open.push(client);
  return client;
};
const one = async (user: string, database: string, text: string): Promise<unknown> => {
  const client = await bench.connect(user, database);
  try {
    const { rows } = await client.query({ text, rowMode: "array" });
    return rows[0]?.[0];
  } finally {
    await client.end();
  }
};
/** Building the image for the first time takes minutes where packages come slowly, in ms. */
const FIRST_BUILD = 600_000;
const POLL = { timeout: 15_000, interval: 100 };
const answers = (path: string) => expect.poll(() => bench.ask(path), POLL);
const reads = () => expect.poll(() => one("app_ro", "app_read", "select pg_is_in_recovery()").catch(String), POLL);
const REPLICA = "/replica/main-2?lag=16777216&age=30";

beforeAll(async () => {
  bench = await startBench();
}, FIRST_BUILD);
afterAll(async () => {
  await Promise.all(open.map((client) => client.end().catch(() => undefined)));
  await bench?.end();
});

test("the endpoint tells who is what, and a host without news of a server does not guess", async () => {
  for (const path of ["/healthy", "/primary/main-1", REPLICA]) await answers(path).toBe(200);
  const asked = ["/primary/main-2", "/replica/main-1", "/primary/main-3", "/replica/main-3?lag=1", "/nothing"];
  expect(await Promise.all(asked.map(bench.ask))).toEqual([503, 503, 503, 503, 404]);
});

test("one address: writes reach the primary, reads the replica and nothing but read", async () => {
  expect(await one("app", "app", "insert into notes values (1) returning pg_is_in_recovery()")).toBe(false);
  await reads().toBe(true);
  await expect(one("app_ro", "app_read", "insert into notes values (2)")).rejects.toThrow("read-only transaction");
  await expect(one("ladder_monitor", "nothing", "select 1")).rejects.toThrow("no such database");
});

describe("two processes on one port", () => {
  test("each has an admin port of its own, for the agent only", async () => {
    const ids = await Promise.all(
      [6500, 6501].map(async (port) => {
        const { rows } = await (await connect("ladder_agent", "pgbouncer", port)).query<{ key: string; value: string }>("SHOW CONFIG");
        return rows.filter(({ key }) => ["peer_id", "max_client_conn", "so_reuseport"].includes(key)).map(({ key, value }) => [key, value]);
      }),
    );
    expect(ids.map((each) => Object.fromEntries(each))).toEqual([
      { peer_id: "1", max_client_conn: "1250", so_reuseport: "1" },
      { peer_id: "2", max_client_conn: "1250", so_reuseport: "1" },
    ]);
    await expect(connect("app", "pgbouncer", 6500)).rejects.toThrow("not allowed");
  });

  test("share the clients, and a cancel request finds its query whichever of them it reaches", async () => {
    const clients = await Promise.all(Array.from({ length: 12 }, () => connect("app", "app")));
    const admins = await Promise.all([6500, 6501].map((port) => connect("ladder_agent", "pgbouncer", port)));
    const counts = await Promise.all(
      admins.map(async (admin) => (await admin.query<{ user: string }>("SHOW CLIENTS")).rows.filter(({ user }) => user === "app").length),
    );
    expect(counts.reduce((a, b) => a + b)).toBe(12);
    expect(Math.min(...counts)).toBeGreaterThan(0);

    const ends = clients.map((client) =>
      client.query("select pg_sleep(60)").then(
        () => "slept",
        (error: Error) => error.message,
      ),
    );
    await expect.poll(() => bench.sql("db1", "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'"), POLL).toBe("12");
    await Promise.all(clients.map((client) => cancel(client)));
    expect(new Set(await Promise.all(ends))).toEqual(new Set(["canceling statement due to user request"]));
    await Promise.all(clients.map((client) => client.end()));
  });
});

/** Sends a cancel request on a connection of its own, as every driver does. */
async function cancel(client: pg.Client): Promise<void> {
  const { processID, secretKey } = client as pg.Client & { processID: number; secretKey: number };
  const { connect: dial } = await import("node:net");
  await new Promise<void>((resolve, reject) => {
    const socket = dial(client.port, client.host, () => {
      const request = Buffer.alloc(16);
      [16, 80_877_102, processID, secretKey].forEach((value, i) => {
        request.writeInt32BE(value, 4 * i);
      });
      socket.end(request);
    });
    socket.on("close", () => resolve());
    socket.on("error", reject);
    socket.resume();
  });
}

test("a replica that falls behind loses its reads to the primary, by bytes and by the heartbeat's age, and gets them back", async () => {
  await bench.sql("db2", "select pg_wal_replay_pause()");
  await bench.sql("db1", "create table public.filler as select repeat(md5(i::text), 30) as t from generate_series(1, 3000) i", "app");
  await answers("/replica/main-2?lag=1000000").toBe(503);
  expect(await bench.ask(REPLICA)).toBe(200);
  await bench.sql("db1", "update ladder.heartbeat set beat = clock_timestamp() + interval '1 minute'", "app");
  await answers(REPLICA).toBe(503);
  expect(await bench.ask("/replica/main-2?lag=16777216")).toBe(200);
  await reads().toBe(false);
  await bench.sql("db2", "select pg_wal_replay_resume()");
  await answers(REPLICA).toBe(200);
  await reads().toBe(true);
});

test("a new password is taken up while clients stay", async () => {
  const old = await connect("app", "app");
  await old.query("select 1");
  const given = Object.fromEntries(["app_ro", "ladder_agent", "ladder_monitor"].map((role) => [role, passwordOf(role)]));
  await bench.sql("db1", "alter role app password 'rotated'");
  bench.give({ ...given, app: "rotated" });
  await expect.poll(() => one("app", "app", "select 1").catch((error: Error) => error.message), POLL).toContain("authentication failed");
  expect((await old.query("select 1 as n")).rows).toEqual([{ n: 1 }]);
  await bench.sql("db1", `alter role app password '${passwordOf("app")}'`);
  bench.give({ ...given, app: passwordOf("app") });
  await expect.poll(() => one("app", "app", "select 1").catch((error: Error) => error.message), POLL).toBe(1);
});

test("a shard comes and goes; what is under way on the other cluster does not notice", async () => {
  const passwords = Object.fromEntries(["app", "app_ro", "ladder_agent", "ladder_monitor"].map((role) => [role, passwordOf(role)]));
  const staying = await connect("app", "app");
  await staying.query("begin");
  const asked = (user: string, database: string) =>
    one(user, database, "select pg_is_in_recovery()").catch((error: Error) => error.message);
  bench.give(passwords, bench.sharded);
  await expect.poll(() => asked("app", "app_shard_0"), POLL).toBe(false);
  // Without a replica its reads go to its own primary, and the other cluster's stay where they were.
  await expect.poll(() => asked("app_ro", "app_shard_0_read"), POLL).toBe(false);
  expect(await asked("app_ro", "app_read")).toBe(true);
  expect(await Promise.all(["/primary/shard-0-1", "/primary/main-1", REPLICA].map(bench.ask))).toEqual([200, 200, 200]);
  bench.give(passwords);
  await expect.poll(() => asked("app", "app_shard_0"), POLL).toContain("no such database");
  await expect.poll(() => bench.ask("/primary/shard-0-1"), POLL).toBe(503);
  await staying.query("insert into notes values (2)");
  await staying.query("commit");
});

test("programs that die are started again, and clients come through as before", async () => {
  await bench.killPrograms();
  await answers("/healthy").toBe(503);
  await answers("/healthy").toBe(200);
  await reads().toBe(true);
  expect(await one("app", "app", "select pg_is_in_recovery()")).toBe(false);
});

test("a promoted replica gets the writes, and the primary that it came from never again, though it still takes them", async () => {
  await bench.sql("db2", "select pg_promote()");
  await answers("/primary/main-2").toBe(200);
  expect(await bench.ask("/primary/main-1")).toBe(503);
  expect(await bench.sql("db1", "select pg_is_in_recovery()")).toBe("f");
  const timeline = "select left(pg_walfile_name(pg_current_wal_lsn()), 8)";
  await expect.poll(() => one("app", "app", timeline).catch(String), POLL).toBe("00000002");
  await reads().toBe(false);
});

test("a host that leaves says so at once, lets a client finish, and ends well", async () => {
  const client = await connect("app", "app");
  await client.query("begin");
  const stopped = bench.stopHost(60);
  await answers("/healthy").toBe(503);
  await expect.poll(() => one("app", "app", "select 'in'").catch(String), POLL).not.toBe("in");
  await client.query("insert into notes values (3)");
  await client.query("commit");
  await Promise.all(open.map((each) => each.end()));
  await stopped;
  const { code, log } = await bench.hostEnd();
  expect(code).toBe("0");
  expect(log.trim().split("\n").at(-1)).toBe("left");
});
