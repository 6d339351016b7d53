/**
 * What sessions behind the gateway do to each other, and what a shard that fails does to them. Two shards on one machine. Cannot prove: what a
 * network does in between.
 */
import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SHARDS, warmSessions } from "../../agent/shards/gateway/index.ts";
import { definitionsOf } from "../../agent/shards/gateway/warm.ts";
import { ms } from "../../plan/types.ts";
import type { TestFleet } from "../support/shards.ts";
import { ask, attempt, fillTables, startGateway } from "./gateway-setup.ts";

let servers: TestFleet;
let admin: Client;
let app: Client;
let other: Client;

beforeAll(async () => {
  ({ test: servers, admin } = await startGateway(2));
  [app, other] = await Promise.all([servers.gateway.db.connect("app"), servers.gateway.db.connect("app")]);
});
afterAll(() => servers?.stop());
beforeEach(() => fillTables(app));

describe("sessions beside each other", () => {
  test("each transaction sees the shard as it was at its first statement there: 40001 on rows that another one changed meanwhile", async () => {
    await app.query("begin; update accounts set balance = balance + 1 where id = 1");
    const second = attempt(other, "update accounts set balance = balance + 1 where id = 1");
    await waiting();
    await app.query("commit");
    expect(await second).toBe("40001: could not serialize access due to concurrent update");
    expect(await ask(app, "select balance::int from accounts where id = 1")).toEqual([[101]]);
  });

  test("a deadlock over two shards ends by lock_timeout", async () => {
    const role = "select setconfig from pg_db_role_setting where setrole = 'ladder_gateway'::regrole";
    expect((await ask(admin, role)).flat(2)).toEqual([
      "lock_timeout=5s",
      "statement_timeout=13h",
      "idle_in_transaction_session_timeout=2h",
      "tcp_keepalives_idle=10s",
      "tcp_keepalives_interval=5s",
      "tcp_keepalives_count=3",
    ]);
    for (const { db } of servers.shards)
      await db.connect().then((client) => client.query("alter role ladder_gateway set lock_timeout = '200ms'"));
    const [one, two] = await Promise.all([servers.gateway.db.connect("app"), servers.gateway.db.connect("app")]);
    await one.query("begin; update accounts set balance = 0 where id = 1");
    await two.query("begin; update accounts set balance = 0 where id = 3");
    const ends = await Promise.all([
      attempt(one, "update accounts set balance = 0 where id = 3"),
      attempt(two, "update accounts set balance = 0 where id = 1"),
    ]);
    expect(ends).toContain("55P03: canceling statement due to lock timeout");
    await Promise.all([one.end(), two.end()]);
  });

  test("two shards are not seen as of one moment", async () => {
    await app.query("begin");
    expect(await ask(app, "select balance::int from accounts where id = 1")).toEqual([[100]]);
    await other.query(
      "begin; update accounts set balance = balance - 50 where id = 1; update accounts set balance = balance + 50 where id = 3; commit",
    );
    expect(await ask(app, "select id::int, balance::int from accounts where id in (1, 3) order by id")).toEqual([
      [1, 100],
      [3, 150],
    ]);
    await app.query("commit");
  });

  test("skip locked and nowait do not reach the shards: they wait as everybody does; a limit does not limit what is locked", async () => {
    const late = await servers.gateway.db.connect("app");
    await app.query("begin; select id from accounts where id = 1 for update");
    for (const wait of ["skip locked", "nowait"])
      expect(await attempt(late, `select id from accounts where id = 1 for update ${wait}`)).toBe(
        "55P03: canceling statement due to lock timeout",
      );
    await app.query("rollback; begin; select id from accounts order by id limit 1 for update");
    expect(await attempt(late, "update accounts set balance = 0 where id = 4")).toBe("55P03: canceling statement due to lock timeout");
    await app.query("commit");
    await late.end();
  });

  /** Until a session waits for a lock on a shard. */
  async function waiting(): Promise<void> {
    const watch = await servers.shards[0]!.db.connect();
    for (;;) {
      const { rowCount } = await watch.query("select from pg_locks where not granted");
      if (rowCount! > 0) break;
    }
    await watch.end();
  }
});

describe("a shard that fails", () => {
  test("between the commits of two shards leaves half of a transaction", async () => {
    await app.query("begin; update accounts set balance = 0");
    const shard = await servers.shards[1]!.db.connect();
    await shard.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ladder_gateway'");
    expect(await attempt(app, "commit")).toMatch(/^08006: FATAL: {2}terminating connection due to administrator command/);
    expect(await ask(app, "select id::int, balance::int from accounts order by id")).toEqual([
      [1, 0],
      [2, 0],
      [3, 100],
      [4, 100],
    ]);
    await shard.end();
  });

  test("is named, and the other one goes on, in the same session; then all is as before", async () => {
    await servers.shards[1]!.crash();
    const away = '08001: could not connect to server "shard_1"';
    expect(await attempt(app, "select * from accounts where id = 3")).toBe(away);
    expect(await attempt(app, "update accounts set balance = 7 where id = 1")).toBe("ok");
    expect(await attempt(app, "select count(*) from accounts")).toBe(away);
    expect(await attempt(app, "update accounts set balance = 8")).toBe(away);
    const detail = await app.query("select * from accounts where id = 3").catch((error: Error & { detail?: string }) => error.detail);
    expect(detail).toMatch(/^connection to server at "shard-1-1" \(.*\), port 5432 failed: /);
    await servers.shards[1]!.revive();
    expect(await ask(app, "select id::int, balance::int from accounts order by id")).toEqual([
      [1, 7],
      [2, 100],
      [3, 100],
      [4, 100],
    ]);
  });
});

test("sessions are connected to all shards before somebody waits for it, one connection each", async () => {
  const sessions = await Promise.all(Array.from({ length: 4 }, () => servers.gateway.db.connect("app")));
  const connections = async () => {
    const shard = await servers.shards[1]!.db.connect();
    const { rows } = await shard.query<{ count: number }>("select count(*)::int from pg_stat_activity where usename = 'ladder_gateway'");
    await shard.end();
    return rows[0]!.count;
  };
  for (const client of [admin, app, other]) await client.query("select count(*) from accounts");
  const before = await connections();
  // As a pooler does: six clients in turn over six sessions.
  const pool = [...sessions, app, other];
  let turn = 0;
  const query = (...args: [string, unknown[]]) => pool[turn++ % pool.length]!.query(...args);
  const pooled = async () => ({ query, end: async () => undefined }) as unknown as Client;
  expect(await warmSessions({ pooled, what: SHARDS, patience: ms(10_000) })).toEqual({ warm: 6, cold: 0 });
  const warm = await connections();
  expect(warm - before).toBe(4);
  for (const client of sessions) await client.query("select count(*) from accounts");
  expect(await connections()).toBe(warm);
  expect(await ask(other, "select ladder.warm_shards(false)")).toEqual([[2]]);
});

test("a shard's sessions read its tables' definitions, and as many are opened as are wanted", async () => {
  const { db } = servers.shards[0]!;
  const what = definitionsOf([{ schema: "public", table: "accounts" }]);
  const { warm } = await warmSessions({ pooled: () => db.connect("app"), what, patience: ms(10_000), least: 4 });
  expect(warm).toBe(4);
});
