/** The parts of a rehearsed climb on one real server: filling, comparing, the visitor, pgbench, speeds. test/mirror/stage4 climbs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkVisitor, compareApplication, fillApplication, readApplication, Visitor } from "../../rehearsal/climb/application.ts";
import { PGBENCH_SQL, Pgbench } from "../../rehearsal/climb/pgbench.ts";
import { measureSpeeds } from "../../rehearsal/climb/speed.ts";
import { applyPlatform, migrate } from "../support/migrations.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let admin: Client;
let writeUrl: string;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "rehearse-"));
  server = await startPostgres();
  const database = await server.createDatabase({ name: "app" });
  await applyPlatform(database);
  const { error } = await migrate(database, "sql/app");
  expect(error).toBeUndefined();
  admin = await database.connect();
  writeUrl = `postgresql://app@127.0.0.1:${server.port}/app`;
  await fillApplication(writeUrl, 2_000, () => undefined);
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true });
});

test("the fill is whole, and what changes it is named", async () => {
  const before = await readApplication(writeUrl);
  expect(Object.entries(before).map(([table, { rows }]) => [table, rows])).toEqual([
    ["messages", 2_000],
    ["users", 20],
    ["tenants", 20],
    ["bots", 20],
    ["posts", 20],
  ]);
  expect(await compareApplication(writeUrl, before)).toEqual([]);
  await admin.query("update messages set content = 'another' where content like '%message 7'; delete from bots where id = 3");
  expect(await compareApplication(writeUrl, before)).toEqual([
    expect.stringMatching(/^messages: got 2000 rows with sum (-?\d+), want 2000 rows with sum (?!\1)/),
    expect.stringMatching(/^bots: got 19 rows with sum -?\d+, want 20 rows/),
  ]);
});

test("a visitor's messages are looked for one by one, and change nothing of what was there before", async () => {
  const before = await readApplication(writeUrl);
  const visitor = new Visitor({ writeUrl, readUrl: writeUrl });
  await expect
    .poll(() => admin.query("select from messages where conversation_id = -1").then(({ rowCount }) => rowCount))
    .toBeGreaterThan(4);
  const { ids, failed, written, read } = await visitor.stop();
  expect(failed).toEqual([]);
  expect([ids.length, Math.abs(written - read) <= 1]).toEqual([written, true]);
  expect(await checkVisitor(writeUrl, ids)).toEqual([]);
  expect(await compareApplication(writeUrl, before)).toEqual([]);
  await admin.query("delete from messages where id = $1", [ids[0]!.id]);
  expect(await checkVisitor(writeUrl, ids)).toEqual(["messages written meanwhile: got 1 missing or doubled, want 0"]);
  expect(await checkVisitor(writeUrl, [ids[1]!, ids[1]!])).toEqual(["ids of messages written meanwhile: got 1 given twice, want 0"]);
});

test("pgbench fills tables that a migration made, and selects and inserts by script; an error is told", async () => {
  const app = await server.connect({ user: "app", database: "app" });
  await app.query(PGBENCH_SQL);
  const image = process.env.PGLADDER_TEST_IMAGE!;
  const bench = new Pgbench({ image, url: writeUrl, scale: 1, folder });
  await bench.fill();
  const runs = [...(await bench.quiet(1)), await bench.tpcB(1)];
  expect(runs.map(({ what, failed, error }) => [what, failed, error])).toEqual([
    ["select only", 0, undefined],
    ["insert", 0, undefined],
    ["TPC-B", 0, undefined],
  ]);
  expect(Math.min(...runs.map(({ perSecond }) => perSecond))).toBeGreaterThan(0);
  const { rows } = await admin.query("select count(*) > 0 as filled, count(distinct id) = count(*) as keyed from pgbench_history");
  expect(rows).toEqual([{ filled: true, keyed: true }]);
  await admin.query("drop table pgbench_accounts");
  expect((await bench.quiet(1))[0]!.error).toMatch(/error: no pgbench_accounts table found/);
});

test("speeds of both ways", async () => {
  const speeds = await measureSpeeds({ containers: [], writeUrl, readUrl: writeUrl, clients: 4, seconds: 1 });
  for (const { perSecond, p99, cpu } of [speeds.router, speeds.url]) expect(Math.min(perSecond, p99, cpu)).toBeGreaterThan(0);
});
