/** Rows move onto shards and back while clients write. Cannot prove: fail-over of a server meanwhile, the pooler, real volumes. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { finishShards, moveUnderWay } from "../../agent/shards/index.ts";
import { folderOf, removeFolder } from "../support/migrations.ts";
import { startShards, type TestFleet } from "../support/shards.ts";
import { Driver, FILES, GLOBALS, install, type Killed, killsPage, Load, leftovers, lookAfter, TABLES } from "./shards-move.ts";

/** Points at which a process is killed. */
const THERE = ["copy: running", "flip: the shards are told"];
const BACK = ["return: the shards have committed"];

let here: TestFleet;
let folder: string;
let driver: Driver;
let load: Load;
let admins: Client[];

beforeAll(async () => {
  [here, folder] = await Promise.all([startShards({ shards: 2, tables: TABLES, globals: GLOBALS }), folderOf(FILES)]);
  await install(here, folder);
  driver = new Driver(here.fleet, folder);
  load = new Load(() => here.gateway.db.connect("app"));
  admins = await Promise.all([here.gateway, ...here.shards].map(({ db }) => db.connect()));
}, 120_000);

afterAll(async () => {
  await here?.stop();
  if (folder) await removeFolder(folder);
});

afterEach(() => load.stop());

test("onto two shards under load: nothing lost, doubled or failed", async () => {
  await load.fill(3_000);
  await load.start(4);
  await driver.settle();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await load.stop();
  expect([load.failed, load.refused]).toEqual([[], 0]);
  expect(await load.differences(admins.slice(1))).toEqual([]);
  expect(await load.differences(admins.slice(0, 1))).toEqual([]);
  expect(await moveUnderWay(admins[0]!)).toBe("the way back of the move onto shards is kept until ladder finish");
  const app = await here.gateway.db.connect("app");
  await expect(app.query("truncate accounts")).rejects.toMatchObject({ code: "55000" });
  await app.end();
}, 120_000);

test("the way back has followed, and leads back under load, at the URL and on a shard itself", async () => {
  const [gateway, shard] = await Promise.all([here.gateway, here.shards[0]!].map(({ db }) => db.connect("app")));
  const other = "insert into tokens (owner, body) select 'other-' || n, '' from generate_series(1, 50) n";
  await expect(shard!.query(other)).rejects.toMatchObject({ code: "23514", constraint: "ladder_bucket" });
  const { rows: mine } = await shard!.query<{ id: string; hits: number; body: string }>(
    "select id::text, hits, body from accounts order by id limit 1",
  );
  const direct = { ...mine[0]!, moved: false };
  load.record[0]!.delete(direct.id);
  const old = await here.shards[0]!.db.connect("app");
  await old.query("begin isolation level repeatable read; select 1");
  await load.start(4);
  await admins[0]!.query("create materialized view hits as select sum(hits) from accounts");
  driver.wanted = false;
  expect(await driver.advance()).toMatch(/waits for materialized view public\.hits, which hangs on "public"\."accounts" as it is now/);
  await admins[0]!.query("drop materialized view hits");
  const settled = driver.settle();
  let going = true;
  const writing = (async () => {
    while (going) {
      const text = "update accounts set hits = hits + 1 where id = $1";
      const { rowCount } = await (direct.moved ? gateway! : shard!).query(text, [direct.id]).catch((error: { code?: string }) => {
        if (error.code !== "LB001") throw error;
        direct.moved = true;
        return { rowCount: 0 };
      });
      direct.hits += rowCount ?? 0;
    }
  })();
  await settled;
  await new Promise((resolve) => setTimeout(resolve, 300));
  going = false;
  await writing;
  await expect(old.query("update accounts set hits = hits + 1 where id = $1", [direct.id])).rejects.toMatchObject({ code: "LB001" });
  await load.stop();
  await Promise.all([gateway!, shard!, old].map((client) => client.end()));
  load.record[0]!.set(direct.id, direct);
  expect(direct.moved).toBe(true);
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(0, 1))).toEqual([]);
}, 120_000);

test("cut off at every point, there and back: the same end", async () => {
  const rows: Killed[] = [];
  const app = await here.gateway.db.connect("app");
  const look = async (point: string) => void rows.push({ point, ...(await lookAfter(admins[0]!, app)) });
  await load.start(3);
  driver.wanted = true;
  await driver.settleKilled(look);
  driver.wanted = false;
  await driver.settleKilled(look);
  await load.stop();
  await app.end();
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(0, 1))).toEqual([]);
  expect(await leftovers(admins)).toEqual([]);
  const path = join(import.meta.dirname, "../../docs/sharding-kills.md");
  if (process.env.PGLADDER_WRITE_DOCS) writeFileSync(path, killsPage(rows));
  expect(killsPage(rows)).toBe(readFileSync(path, "utf8"));
}, 240_000);

test("told where rows will go, routers may write there as soon as they are there", async () => {
  driver.wanted = true;
  await driver.until("flip: begins");
  const map = "select databases, (select array_agg(distinct s) from unnest(shards) s) as used from ladder.shard_map";
  expect((await admins[0]!.query(map)).rows).toEqual([{ databases: ["app", "app_shard_0", "app_shard_1"], used: [0] }]);
  await driver.until("open: begins");
  for (const admin of admins.slice(1))
    expect((await admin.query("select last_value::int as lets from ladder.shard_fence")).rows).toEqual([{ lets: 2 }]);
  driver.wanted = false;
  await driver.settle();
}, 120_000);

test("given up before the flip, cut off at every point of that: nothing is left of it", async () => {
  await load.start(2);
  driver.wanted = true;
  await driver.until("announce: begins");
  expect(await moveUnderWay(admins[0]!)).toBe("the move onto shards is under way");
  driver.wanted = false;
  expect(await driver.settleKilled(async () => undefined)).toEqual(["undo: begins", "undo: a stream has ended", "undo: done"]);
  await load.stop();
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(0, 1))).toEqual([]);
  expect(await leftovers(admins)).toEqual([]);
  expect(await moveUnderWay(admins[0]!)).toBeUndefined();
}, 120_000);

test("the primary keeps too much log for a copy: given up, and not begun again before its time", async () => {
  driver.wanted = true;
  driver.more = { retained: 1 };
  await driver.settle();
  expect(driver.log.at(-1)).toMatch(
    /^shards: given up: got \d+ MiB of log kept back for (ladder_shard_\d|pg_\d+_sync_\d+_\d+), want at most 0 MiB: the primary's disk comes first$/,
  );
  expect(await leftovers(admins)).toEqual([]);
  driver.more = {};
  expect(await driver.advance()).toBeUndefined();
  driver.more = { retry: 0 };
  expect(await driver.advance()).toMatch(/^moving onto shards: /);
}, 120_000);

test("a blocker is shown, and looked for again", async () => {
  driver.wanted = false;
  await driver.settle();
  driver.wanted = true;
  const blocker = { object: "accounts", why: "no reason", fix: "None" };
  driver.more = { check: async () => [blocker], recheck: 0 };
  expect(await driver.advance()).toBe("moving onto shards: check (1 of 15), waits for accounts: no reason. None");
  const { rows } = await admins[0]!.query("select kind, step, problem, steps_done, steps_total from ladder.shard_move");
  expect(rows).toEqual([{ kind: "3-4", step: "check", problem: "accounts: no reason. None", steps_done: 0, steps_total: 16 }]);
  const health = await admins[0]!.query("select level, value, object from ladder.health where \"check\" = 'shards'");
  expect(health.rows).toEqual([{ level: "warning", value: "check: accounts: no reason. None", object: "shards" }]);
  driver.more = {};
  driver.wanted = false;
  await driver.settle();
}, 120_000);

test("processes that are killed, there and back", async () => {
  driver.wanted = true;
  const ports = [here.gateway, ...here.shards].map(({ server }) => server.port);
  await load.start(2);
  for (const point of THERE) expect(await driver.inProcess(ports, point)).toBe(point);
  await driver.settle();
  driver.wanted = false;
  for (const point of BACK) expect(await driver.inProcess(ports, point)).toBe(point);
  await driver.settle();
  await load.stop();
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(0, 1))).toEqual([]);
  expect(await leftovers(admins)).toEqual([]);
}, 240_000);

test("finished, cut off at every point: the shards have the rows, and nothing is left of the way back", async () => {
  driver.wanted = true;
  await driver.settle();
  await load.start(2);
  expect(await finishShards(admins[0]!)).toBe("shards: the way back ends: the old tables on the gateway are dropped");
  expect(await driver.settleKilled(async () => undefined)).toEqual(["kept: a way back has ended", "kept: no way back any more"]);
  await load.stop();
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(1))).toEqual([]);
  expect(await leftovers(admins)).toEqual(["accounts", "events", "tokens"].map((table) => `gateway: table ladder_read.${table}`));
  expect(await moveUnderWay(admins[0]!)).toBeUndefined();
  expect(await finishShards(admins[0]!)).toBeUndefined();
  const app = await here.gateway.db.connect("app");
  await app.query("truncate tokens");
  expect((await app.query("select count(*)::int as count from tokens")).rows).toEqual([{ count: 0 }]);
  await app.end();
}, 120_000);
