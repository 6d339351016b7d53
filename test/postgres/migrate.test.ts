/** The migrator on a real PostgreSQL 17. Cannot prove: a fail-over in the middle of a run. */
import { spawn } from "node:child_process";
import { describe, expect, test } from "vitest";
import { ms } from "../../plan/types.ts";
import { addFiles, applyPlatform, bench, migrate } from "../support/migrations.ts";

const here = bench();
const TWO = { "001_a.sql": "create table a (x int);\n", "002_b.sql": "create table b (x int);\ninsert into b values (1);\n" };

describe("what is applied", () => {
  test("once, in order, owned by the role, with a ledger row each; a second run changes nothing", async () => {
    const path = await here.folder(TWO);
    const first = await migrate(here.db, path);
    expect(first.result).toEqual({ applied: ["001_a.sql", "002_b.sql"], already: 0 });
    expect(first.log).toEqual([
      "sql: 0 applied before, 2 to apply",
      "sql/001_a.sql: applied, 1 statement",
      "sql/002_b.sql: applied, 2 statements",
    ]);
    const rows = await here.query("select * from ladder.migration order by set, file");
    const second = await migrate(here.db, path);
    expect(second.result).toEqual({ applied: [], already: 2 });
    expect(second.log).toEqual(["sql: 2 applied before, 0 to apply"]);
    expect(await here.query("select * from ladder.migration order by set, file")).toEqual(rows);
    expect(await here.query("select tableowner, (select count(*)::int from b) as rows from pg_tables where tablename = 'b'")).toEqual([
      { tableowner: "app", rows: 1 },
    ]);
    expect(
      await here.query("select file, state, by, duration > '0 s' as took from ladder.migration where set = 'app' order by file"),
    ).toEqual([
      { file: "001_a.sql", state: "applied", by: "ladder_admin", took: true },
      { file: "002_b.sql", state: "applied", by: "ladder_admin", took: true },
    ]);
  });

  test("the platform's own folder a second time: nothing", async () => {
    expect((await applyPlatform(here.db)).applied).toEqual([]);
  });

  test("five runs at once: one applies, the others wait and find nothing to do", async () => {
    const path = await here.folder({ ...TWO, "003_slow.sql": "select pg_sleep(0.5);\ncreate index concurrently a_x on a (x);\n" });
    const runs = await Promise.all([1, 2, 3, 4, 5].map(() => migrate(here.db, path)));
    expect(runs.map((run) => run.error)).toEqual(Array(5).fill(undefined));
    expect(runs.map((run) => run.result?.applied.length).sort()).toEqual([0, 0, 0, 0, 3]);
    expect(await here.query("select count(*)::int from b")).toEqual([{ count: 1 }]);
  });

  test("a run gives up when another holds the lock too long, and says who", async () => {
    const path = await here.folder(TWO);
    const holder = await here.db.connect();
    await holder.query("set application_name = 'the other'; select pg_advisory_lock(1818322020, 1)");
    const run = await migrate(here.db, path, { wait: ms(300) });
    await holder.end();
    expect(run.error).toMatch(
      /^migrations: 1 problem\n {2}lock: got "held for 300 ms by pid \d+, the other, since [^"]+", want one run at a time$/,
    );
  });

  test("an empty folder is fine and says so", async () => {
    const run = await migrate(here.db, await here.folder({ "README.md": "no SQL here" }));
    expect(run).toEqual({
      result: { applied: [], already: 0 },
      error: undefined,
      log: ["sql: no .sql files", "sql: 0 applied before, 0 to apply"],
    });
  });

  test("the application's files need the platform's ledger", async () => {
    here.db = await here.server.createDatabase();
    const run = await migrate(here.db, await here.folder(TWO));
    expect(run.error).toBe('migrations: 1 problem\n  ladder.migration: got "no such table", want the platform\'s migrations applied first');
  });

  test("settings of one file do not reach the next", async () => {
    const run = await migrate(
      here.db,
      await here.folder({
        "1.sql": "set search_path = '';\nset local lock_timeout = 1;\nset client_encoding = 'LATIN1';\ncreate table public.a (x int);\n",
        "2.sql": "create table b (x text);\ninsert into b values (current_setting('lock_timeout')), ('é');\n",
      }),
    );
    expect(run.error).toBeUndefined();
    expect(await here.query("select x from public.b")).toEqual([{ x: "2s" }, { x: "é" }]);
  });
});

test("a run that is killed in the middle: nothing is changed, and the next run takes over", async () => {
  const path = await here.folder({ "001_a.sql": "create table a (x int);\n", "002_b.sql": "select pg_sleep(600);\n" });
  const client = await here.db.connect();
  const { host, port, database } = client;
  const options = JSON.stringify({ host, port, database, user: "ladder_admin", application_name: "killed" });
  const script = `
    import { Client } from "pg";
    import { applyMigrations } from "./agent/migrate/index.ts";
    const connect = async () => { const client = new Client(${options}); await client.connect(); return client; };
    await applyMigrations({ connect, folder: ${JSON.stringify(path)}, set: "app", role: "app", lockTimeout: 2000, log: () => undefined });`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], { stdio: "inherit" });
  const asleep = "select 1 from pg_stat_activity where application_name = 'killed' and query like 'select pg_sleep%' and state = 'active'";
  while ((await client.query(asleep)).rowCount === 0) expect(child.exitCode).toBeNull();
  child.kill("SIGKILL");
  expect(await here.state()).toEqual({ tables: [], ledger: [] });
  await addFiles(path, { "002_b.sql": "create table b (x int);\n" });
  const run = await migrate(here.db, path);
  expect(run.result?.applied).toEqual(["001_a.sql", "002_b.sql"]);
  expect(run.log.filter((line) => line.includes("waiting"))).toEqual([
    expect.stringMatching(/^another run is migrating this database \(pid \d+, killed, since .*\): waiting$/),
  ]);
});

describe("a broken migration changes nothing", () => {
  const before = { tables: [], ledger: [] };

  test("syntax error: file, line, column, PostgreSQL's message, before anything ran", async () => {
    const run = await migrate(
      here.db,
      await here.folder({ ...TWO, "003_c.sql": "-- é\ncreate table c (\n  x int,\n  y itn\n  z int\n);\n" }),
    );
    expect(run.error).toBe(
      [
        'sql/003_c.sql:5:3: syntax error at or near "z" (SQLSTATE 42601)',
        "  5 |   z int",
        "        ^",
        "nothing was changed: every pending file is read before the first one runs",
      ].join("\n"),
    );
    expect(await here.state()).toEqual(before);
  });

  test("an error PostgreSQL finds: position inside the statement, hint", async () => {
    const run = await migrate(
      here.db,
      await here.folder({
        ...TWO,
        "003_c.sql": "create table c (x int);\n\n/* ü */ insert into c\n  select é.nme from (select 1 as name) é;\n",
      }),
    );
    expect(run.error).toBe(
      [
        "sql/003_c.sql:4:10: column é.nme does not exist (SQLSTATE 42703)",
        "  4 |   select é.nme from (select 1 as name) é;",
        "               ^",
        'hint: Perhaps you meant to reference the column "é.name".',
      ].join("\n"),
    );
    expect(await here.state()).toEqual(before);
  });

  test("an error without a position names the statement's first line; detail and context are shown", async () => {
    const run = await migrate(
      here.db,
      await here.folder({
        "1.sql": "create table a (x int primary key);\ninsert into a values (1);\n\n  insert into a values (1);\n",
      }),
    );
    expect(run.error).toBe(
      [
        'sql/1.sql:4:3: duplicate key value violates unique constraint "a_pkey" (SQLSTATE 23505)',
        "  4 |   insert into a values (1);",
        "        ^",
        "detail: Key (x)=(1) already exists.",
      ].join("\n"),
    );
    const inside = await migrate(
      here.db,
      await here.folder({ "1.sql": "do $$\nbegin\n  raise exception 'no %', 'way' using hint = 'go back';\nend $$;\n" }),
    );
    expect(inside.error).toBe(
      [
        "sql/1.sql:1:1: no way (SQLSTATE P0001)",
        "  1 | do $$",
        "      ^",
        "hint: go back",
        "context: PL/pgSQL function inline_code_block line 3 at RAISE",
      ].join("\n"),
    );
    expect(await here.state()).toEqual(before);
  });

  test("a deferred constraint is checked at the end of its own file", async () => {
    const run = await migrate(
      here.db,
      await here.folder({
        "1.sql":
          "create table p (x int primary key);\ncreate table c (x int references p deferrable initially deferred);\ninsert into c values (7);\n",
        "2.sql": "alter table c add y int;\n",
      }),
    );
    expect(run.error).toBe(
      [
        'sql/1.sql:3:1: insert or update on table "c" violates foreign key constraint "c_x_fkey" (SQLSTATE 23503)',
        "  3 | insert into c values (7);",
        "      ^",
        'detail: Key (x)=(7) is not present in table "p".',
      ].join("\n"),
    );
    expect(await here.state()).toEqual(before);
  });

  test("what the role may not do says so", async () => {
    const run = await migrate(here.db, await here.folder({ "1.sql": "create extension file_fdw;\n" }));
    expect(run.error).toBe(
      [
        'sql/1.sql:1:1: permission denied to create extension "file_fdw" (SQLSTATE 42501)',
        "  1 | create extension file_fdw;",
        "      ^",
        "hint: Must be superuser to create this extension.",
        "the file runs as app; extensions that need a superuser come with sql/platform",
      ].join("\n"),
    );
  });

  test("the connection lost in the middle: named, nothing changed, the next run applies all", async () => {
    const path = await here.folder({ ...TWO, "003_c.sql": "select pg_terminate_backend(pg_backend_pid());\n" });
    const run = await migrate(here.db, path, { role: "ladder_admin" });
    expect(run.error).toContain("sql/003_c.sql:1:1: terminating connection due to administrator command (SQLSTATE 57P01)");
    expect(await here.state()).toEqual(before);
    await addFiles(path, { "003_c.sql": "select 1;\n" });
    expect((await migrate(here.db, path)).result?.applied).toEqual(["001_a.sql", "002_b.sql", "003_c.sql"]);
  });
});
