/** Maintenance of declared tables: autovacuum settings, and rewriting a hot table with the real pg_repack. */
import { execFile } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { reorderNext } from "../../agent/maintenance/reorder.ts";
import { maintain } from "../../agent/maintenance/settle.ts";
import { noteIndexUse } from "../../agent/maintenance/upkeep.ts";
import { settleAutovacuum } from "../../agent/tables/autovacuum.ts";
import type { Desired } from "../../plan/desired.ts";
import { applyPlatform, folderOf, removeFolder } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let db: TestDatabase;
let admin: Client;
let folder: string;
let container: string;
const path = process.env.PATH;

beforeAll(async () => {
  server = await startPostgres();
  db = await server.createDatabase({ name: "app" });
  await applyPlatform(db);
  admin = await db.connect();
  // pg_repack of the server's own image stands where the agent's image has it.
  const { stdout } = await promisify(execFile)("docker", ["ps", "--quiet", "--filter", `publish=${server.port}`]);
  container = stdout.trim();
  folder = await folderOf({});
  const passed = ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGAPPNAME"].map((name) => `-e ${name}`).join(" ");
  await writeFile(
    join(folder, "pg_repack"),
    `#!/bin/sh\nexec docker exec ${passed} ${container} /usr/lib/postgresql/17/bin/pg_repack "$@"\n`,
  );
  await chmod(join(folder, "pg_repack"), 0o755);
  process.env.PATH = `${folder}${delimiter}${path}`;
});
afterAll(async () => {
  process.env.PATH = path;
  if (folder !== undefined) await removeFolder(folder);
  await server?.stop();
});
beforeEach(() => admin.query("delete from ladder.declared_table; delete from ladder.task"));

const inServer = (script: string) => promisify(execFile)("docker", ["exec", container, "sh", "-c", script]);

/** Calls `look` until it answers something, for at most five seconds. */
async function soon<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 50; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(100);
  }
  throw new Error("got nothing within five seconds");
}

const rowsOf = async <Row extends object>(sql: string): Promise<Row[]> => (await admin.query<Row>(sql)).rows;
const declare = (name: string, autovacuum: string | null) =>
  admin.query(
    "insert into ladder.declared_table (name, relation, autovacuum) values ($1, 'public.' || $1, $2) on conflict (name) do update set autovacuum = excluded.autovacuum",
    [name, autovacuum],
  );

async function settle(): Promise<string[]> {
  const log: string[] = [];
  await settleAutovacuum(admin, {} as Desired, (line) => log.push(line));
  return log;
}

const optionsOf = async (table: string) =>
  (await rowsOf<{ options: string[] | null }>(`select reloptions as options from pg_class where oid = '${table}'::regclass`))[0]!.options;

const HOT = ["autovacuum_analyze_scale_factor=0.005", "autovacuum_vacuum_cost_delay=2", "autovacuum_vacuum_scale_factor=0.01"];
const HOT_LINE = "autovacuum_analyze_scale_factor = 0.005, autovacuum_vacuum_cost_delay = 2, autovacuum_vacuum_scale_factor = 0.01";

describe("autovacuum", () => {
  beforeAll(() =>
    admin.query(`
      set role app;
      create table own (id int) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
      create table warm (id int);
      create table logs (id int, at date) partition by range (at);
      create table logs_1 partition of logs for values from ('2026-01-01') to ('2026-02-01');
      reset role`),
  );

  test("hot and warm are set, on partitions and on those that come later too; a second run changes nothing", async () => {
    await declare("logs", "hot");
    await declare("warm", "warm");
    await declare("nothing_yet", "hot");
    expect(await settle()).toEqual([
      `autovacuum: public.logs_1: ${HOT_LINE}`,
      "autovacuum: public.warm: autovacuum_analyze_scale_factor = 0.01, autovacuum_vacuum_scale_factor = 0.02",
    ]);
    expect(await settle()).toEqual([]);
    expect((await optionsOf("logs_1"))!.sort()).toEqual(HOT);
    await admin.query("create table logs_2 partition of logs for values from ('2026-02-01') to ('2026-03-01')");
    expect(await settle()).toEqual([`autovacuum: public.logs_2: ${HOT_LINE}`]);
    await admin.query("alter table warm reset (autovacuum_vacuum_scale_factor)");
    expect(await settle()).toEqual(["autovacuum: public.warm: autovacuum_vacuum_scale_factor = 0.02"]);
  });

  test("when the declaration goes, what was there before comes back, and what somebody else set stays", async () => {
    await declare("own", "hot");
    await settle();
    expect((await optionsOf("own"))!.sort()).toEqual([...HOT, "fillfactor=80"]);
    await declare("own", "warm");
    await settle();
    expect((await optionsOf("own"))!.sort()).toEqual([
      "autovacuum_analyze_scale_factor=0.01",
      "autovacuum_vacuum_scale_factor=0.02",
      "fillfactor=80",
    ]);
    await admin.query("alter table own set (autovacuum_analyze_scale_factor = 0.3)");
    await admin.query("delete from ladder.declared_table");
    await settle();
    expect((await optionsOf("own"))!.sort()).toEqual([
      "autovacuum_analyze_scale_factor=0.3",
      "autovacuum_vacuum_scale_factor=0.05",
      "fillfactor=80",
    ]);
    expect([await optionsOf("warm"), await optionsOf("logs_1"), await optionsOf("logs_2")]).toEqual([null, null, null]);
    expect(await rowsOf("select from ladder.table_option")).toEqual([]);
    expect(await settle()).toEqual([]);
  });

  test("a table whose lock is not to be had is reported, the others are done, and the next run does it", async () => {
    const busy = await db.connect();
    await busy.query("begin; lock table own in share update exclusive mode");
    await declare("own", "warm");
    await declare("warm", "hot");
    expect(await settle()).toEqual([`autovacuum: public.warm: ${HOT_LINE}`, "autovacuum: public.own: busy, tried again within the hour"]);
    await busy.query("rollback");
    expect(await settle()).toEqual([expect.stringMatching(/^autovacuum: public.own: /)]);
    await busy.end();
  });
});

describe("reordering", () => {
  const connection = { PGHOST: "/pgtest", PGPORT: "5432", PGDATABASE: "app", PGUSER: "ladder_admin" };
  const next = () => reorderNext(admin, connection);

  beforeAll(() =>
    admin.query(`
      set role app;
      create table shuffled (id int primary key, at int not null, x text);
      insert into shuffled select g, (g * 7919) % 60000, repeat('x', 150) from generate_series(1, 60000) g;
      create index shuffled_at on shuffled (at);
      alter table shuffled cluster on shuffled_at;
      create table sorted (id int primary key, x text);
      insert into sorted select g, repeat('x', 300) from generate_series(1, 30000) g;
      create table keyless (id int);
      reset role;
      analyze shuffled, sorted`),
  );

  const correlation = async () =>
    (
      await rowsOf<{ c: number }>(
        "select round(correlation::numeric, 2)::float as c from pg_stats where tablename = 'shuffled' and attname = 'at'",
      )
    )[0]!.c;

  test("tables that are hot or marked are asked for, unless their rows are in order; then by pg_repack, while others write", async () => {
    expect(await correlation()).toBeLessThan(0.5);
    await declare("sorted", "hot");
    await admin.query("select ladder.ask_reorder(), ladder.ask_reorder()");
    expect(await rowsOf("select kind, object, statement, state from ladder.task")).toEqual([
      { kind: "reorder", object: "public.shuffled", statement: "at", state: "waiting" },
    ]);
    const writer = await db.connect("app");
    let writing = true;
    const written = (async () => {
      let count = 0;
      while (writing) {
        await writer.query("insert into shuffled values ($1, $1, 'new')", [100_000 + count++]);
        await writer.query("update shuffled set x = 'changed' where id = $1", [count]);
      }
      return count;
    })();
    expect(await next()).toBe("public.shuffled is in order by at");
    writing = false;
    const count = await written;
    expect(count).toBeGreaterThan(0);
    expect(
      await rowsOf(
        "select count(*)::int as rows, count(*) filter (where x = 'new')::int as new, count(*) filter (where x = 'changed')::int as changed from shuffled",
      ),
    ).toEqual([{ rows: 60_000 + count, new: count, changed: count }]);
    await admin.query("analyze shuffled");
    expect(await correlation()).toBeGreaterThan(0.9);
    expect(await rowsOf("select state, finished > started as took from ladder.task")).toEqual([{ state: "done", took: true }]);
    expect(await next()).toBeUndefined();
    await writer.end();
  });

  test("one that is cut off: its trigger and log are removed, the task says why it failed", async () => {
    const reader = await db.connect("app");
    // pg_repack waits for transactions that are older than its trigger.
    await reader.query("begin isolation level repeatable read; select 1");
    expect(await maintain(admin, "reorder", "shuffled")).toEqual([
      "public.shuffled: asked for, by at",
      "the mover does it in the background",
    ]);
    const other = await db.connect();
    const cut = reorderNext(other, connection);
    const trigger = "select from pg_trigger where tgname = 'repack_trigger'";
    for (let tries = 0; (await rowsOf(trigger)).length === 0 && tries < 200; tries++) await sleep(50);
    expect((await rowsOf(trigger)).length).toBe(1);
    // Only one is at work at a time.
    expect(await next()).toBeUndefined();
    // Without a chance to clean up, as when the agent's container is killed.
    await inServer('for p in /proc/[0-9]*; do if [ "$(cat $p/comm 2>/dev/null)" = pg_repack ]; then kill -9 $(basename $p); fi; done');
    expect(await cut).toBe("public.shuffled is not in order: exit code 137");
    expect(await rowsOf("select state, message from ladder.task")).toEqual([
      { state: "failed", message: expect.stringMatching(/^pg_repack ended with exit code 137/) },
    ]);
    expect((await rowsOf(trigger)).length).toBe(1);
    await reader.query("rollback");
    const cleaned = await soon(next);
    expect(cleaned).toBe("public.shuffled: what a reordering left behind that was cut off is removed");
    expect(await rowsOf(trigger)).toEqual([]);
    expect(await rowsOf("select from pg_class where relnamespace = 'repack'::regnamespace and relkind = 'r'")).toEqual([]);
    await Promise.all([reader.end(), other.end()]);
  });

  test("a table that is being converted waits, with its partitions; others do not", async () => {
    await admin.query(`
      create table months (id int primary key) partition by range (id);
      create table months_1 partition of months for values from (0) to (100);
      insert into months select generate_series(1, 9);
      insert into ladder.conversion (direction, state, schema_name, table_name) values ('plain', 'copying', 'public', 'months')`);
    await maintain(admin, "reorder", "months");
    expect(await next()).toBeUndefined();
    await maintain(admin, "reorder", "sorted");
    expect(await next()).toBe("public.sorted is in order by id");
    await admin.query("update ladder.conversion set state = 'kept'");
    expect(await next()).toBe("public.months_1 is in order by id");
    await admin.query("delete from ladder.conversion; drop table months");
  });

  test("a table without a primary key cannot be put in order, a name that is none is refused", async () => {
    await expect(maintain(admin, "reorder", "keyless")).rejects.toThrow(
      "public.keyless: cannot be put in order: it has no primary key, or its indexes use functions that no superuser owns",
    );
    await expect(maintain(admin, "vacuum", "nothing; drop table sorted")).rejects.toThrow(
      'got "nothing; drop table sorted", want a table\'s name, with its schema unless that is public',
    );
    await expect(maintain(admin, "frobnicate", "sorted")).rejects.toThrow(
      'maintain: got "frobnicate", want one of vacuum, reorder, run, finish',
    );
  });

  test("a table whose indexes run the application's code is not put in order, for pg_repack would run it as administrator", async () => {
    const app = await db.connect("app");
    await app.query(`
      create table coded (id int primary key, x text);
      insert into coded select n, 'x' || n from generate_series(1, 9) n`);
    await maintain(admin, "reorder", "coded");
    // After it was asked for.
    await app.query(`
      create function shout(text) returns text language sql immutable as 'select upper($1)';
      create index coded_shout on coded (shout(x))`);
    expect(await next()).toBe("public.coded is not in order: ERROR: its indexes use function public.shout(text)");
    await expect(maintain(admin, "reorder", "coded")).rejects.toThrow("its indexes use functions that no superuser owns");
    await app.query("drop index coded_shout; create index coded_lower on coded (lower(x)) where length(x) > 2");
    await maintain(admin, "reorder", "coded");
    expect(await next()).toBe("public.coded is in order by id");
    await app.query("drop table coded; drop function shout");
    await app.end();
  });

  test("vacuum by hand says what it did", async () => {
    const said = await maintain(admin, "vacuum", "sorted");
    expect(said.join("\n")).toMatch(/finished vacuuming "app.public.sorted"[\s\S]*analyzing "public.sorted"/);
    expect(await rowsOf("select last_vacuum is not null as vacuumed from pg_stat_user_tables where relname = 'sorted'")).toEqual([
      { vacuumed: true },
    ]);
  });
});

test("what a replica knows about indexes comes to the primary, once", async () => {
  await admin.query("select from sorted where id = 7; select pg_stat_force_next_flush()");
  const replica = await db.connect("ladder_monitor");
  expect(await noteIndexUse(admin, replica, "main-2")).toBeGreaterThan(0);
  expect(
    await rowsOf("select node, last_scan is not null as used from ladder.index_use where index = 'public.sorted_pkey'::regclass"),
  ).toEqual([{ node: "main-2", used: true }]);
  await replica.end();
});
