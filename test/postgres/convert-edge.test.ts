/** Changes of a table while it is converted that are rarer than a row written: each alone, with the table and its copy compared after it. */
import type { Client } from "pg";
import { beforeEach, expect, test } from "vitest";
import { settleTables } from "../../agent/tables/index.ts";
import type { Desired } from "../../plan/desired.ts";
import { bench } from "../support/migrations.ts";
import { Driver, declare, stateOf, type Tables } from "./convert-driver.ts";

const here = bench();
/** Few partitions: quick to make. */
const BY_YEAR: Tables = { big: { partition: { by: "at", every: "year", ahead: 1 } } };
const FILLED = `create table big (id bigint primary key, at timestamptz not null, x int);
  insert into big select n, '2026-01-01Z'::timestamptz + n * interval '1 hour', n from generate_series(1, 3000) n;`;
let app: Client;
let admin: Client;

beforeEach(async () => {
  app = await here.db.connect("app");
  admin = await here.db.connect();
});

const contents = async (table: string): Promise<string[]> =>
  (await admin.query<{ row: string }>(`select t::text as row from ${table} t order by 1`)).rows.map(({ row }) => row);

/** Of the last conversion, the table that is not in use. */
const hidden = async (): Promise<string> =>
  (
    await admin.query<{ name: string }>(
      "select (case when state = 'kept' then source else target end)::regclass::text as name from ladder.conversion order by id desc limit 1",
    )
  ).rows[0]!.name;

const equal = async (rows: number): Promise<void> => {
  const table = await contents("big");
  expect(table).toHaveLength(rows);
  expect(await contents(await hidden())).toEqual(table);
};

/** Rows of the copy so far. */
const copied = async (): Promise<number> => (await contents(await hidden())).length;

test("TRUNCATE in the middle of the copy, of the table and by way of another one; afterwards too", async () => {
  await app.query(`create table owners (id int primary key); insert into owners values (1); ${FILLED}
    alter table big add owner int default 1 references owners`);
  const driver = new Driver(here.db, BY_YEAR);
  await driver.until(admin, "big", "copying");
  await driver.advance({ slice: 0 as never });
  expect(await copied()).toBe(500);
  await app.query("truncate big");
  expect(await copied()).toBe(0);
  await app.query("insert into big select n, '2026-03-01Z', n from generate_series(1, 10) n");
  await app.query("truncate owners cascade");
  await app.query("insert into owners values (1); insert into big select n, '2026-03-01Z', n from generate_series(1, 20) n");
  await driver.settle();
  expect((await stateOf(admin, "big")).state).toBe("kept");
  await equal(20);
  await app.query("truncate owners cascade");
  await equal(0);
  await app.query("insert into owners values (1); insert into big values (1, now(), 1)");
  await equal(1);
});

test("a transaction that began before the copy keeps its snapshot, and is told when it would lose a change", async () => {
  await app.query(FILLED);
  const driver = new Driver(here.db, BY_YEAR);
  const older = await here.db.connect("app");
  await older.query("begin isolation level repeatable read");
  await older.query("select count(*) from pg_class");
  await driver.until(admin, "big", "copying");
  await driver.advance({ slice: 0 as never });
  // Not copied yet, and copied already: of the second, the transaction cannot see the copy.
  expect((await older.query("delete from big where id = 2999")).rowCount).toBe(1);
  await older.query("savepoint here");
  await expect(older.query("delete from big where id = 1")).rejects.toMatchObject({ code: "40001" });
  await older.query("rollback to here; update big set x = -1 where id = 2998; commit");
  await driver.settle();
  await equal(2999);
  expect((await app.query("select x from big where id in (1, 2998) order by id")).rows).toEqual([{ x: 1 }, { x: -1 }]);
});

test("a row that a long transaction holds does not stop the others, and is copied when it is free", async () => {
  await app.query(FILLED);
  const driver = new Driver(here.db, BY_YEAR);
  await driver.until(admin, "big", "copying");
  await app.query("begin; update big set x = -5, at = '2026-02-01Z' where id = 700");
  const other = await here.db.connect("app");
  for (let looks = 0; looks < 100 && !driver.shown.at(-1)?.endsWith(", waits for a lock"); looks++) await driver.advance();
  expect(driver.shown.at(-1)).toMatch(/^big: copying \d+ %.*, waits for a lock$/);
  expect((await other.query("update big set x = 0 where id < 700")).rowCount).toBe(699);
  await app.query("commit");
  await driver.settle();
  await equal(3000);
  expect((await app.query("select x from big where id = 700 and at = '2026-02-01Z'")).rows).toEqual([{ x: -5 }]);
});

test("keys that change across the point that the copy has reached, in both directions", async () => {
  await app.query(FILLED);
  const driver = new Driver(here.db, BY_YEAR);
  await driver.until(admin, "big", "copying");
  await driver.advance({ slice: 0 as never });
  expect(await copied()).toBe(500);
  await app.query("update big set id = id + 10000 where id <= 100");
  await app.query("update big set id = -id, at = at + interval '1 year' where id between 2900 and 3000");
  await app.query(
    "begin; delete from big where id in (101, 2000); insert into big values (101, '2027-01-01Z', 0), (2000, '2025-01-01Z', 0); commit",
  );
  await driver.settle();
  await equal(3000);
  await app.query("update big set id = -id where id < 0");
  await equal(3000);
});

test("transactions that lock rows against the order of the copy: none of them is what PostgreSQL cancels", async () => {
  await app.query(FILLED);
  const driver = new Driver(here.db, BY_YEAR);
  await driver.until(admin, "big", "copying");
  const failed: string[] = [];
  let stopped = false;
  const write = async (id: number) => {
    const client = await here.db.connect("app");
    for (let turn = 0; !stopped; turn++) {
      // Four rows of its own, the later ones first.
      const rows = [0, 1, 2, 3].map((step) => 3000 - ((turn * 40 + step * 700) % 2990) - (id % 10)).sort((a, b) => b - a);
      await client.query("begin");
      for (const row of rows)
        await client.query("update big set x = x + 1 where id = $1", [row]).catch((error) => failed.push(String(error)));
      await client.query("commit");
    }
    await client.end();
  };
  const clients = [0, 1, 2].map(write);
  await driver.settle();
  stopped = true;
  await Promise.all(clients);
  expect(failed).toEqual([]);
  expect((await stateOf(admin, "big")).state).toBe("kept");
  await equal(3000);
});

test("another definition: the copy begins again; another name or column: refused", async () => {
  await app.query(FILLED);
  const driver = new Driver(here.db, BY_YEAR);
  await driver.until(admin, "big", "verifying");
  await expect(app.query("alter table big add y int")).rejects.toThrow(
    'public.big: got a change of its columns or its name while its conversion is "verifying"',
  );
  await expect(app.query("alter table big rename to bigger")).rejects.toThrow("a change of its columns or its name");
  await app.query("create index later on big (x)");
  await driver.settle();
  expect(driver.log).toContain("big: begins again: public.big: its definition has changed since the copy was begun");
  expect((await admin.query("select state from ladder.conversion order by id")).rows).toEqual([{ state: "undone" }, { state: "kept" }]);
  expect((await admin.query("select indexdef from pg_indexes where indexname = 'later' and schemaname = 'public'")).rows[0].indexdef).toBe(
    "CREATE INDEX later ON ONLY public.big USING btree (x)",
  );
  await equal(3000);
  await expect(app.query("alter table big drop column x")).rejects.toMatchObject({
    hint: "First: select ladder.finish_conversion('public.big')",
  });
});

test("paused, it stays where it is and changes still reach the copy; no longer declared, nothing is left of it", async () => {
  await app.query(FILLED);
  const driver = new Driver(here.db, BY_YEAR);
  await driver.until(admin, "big", "copying");
  await driver.advance({ slice: 0 as never });
  expect((await admin.query("select ladder.pause_conversion('big') as said")).rows).toEqual([
    { said: "public.big: copying is paused; changes of the table still reach its copy" },
  ]);
  expect(await driver.advance()).toBeUndefined();
  await app.query("update big set x = 0 where id = 1");
  expect(await copied()).toBe(500);
  expect(await contents(await hidden())).toContain('(1,"2026-01-01 01:00:00+00",0)');
  driver.tables = {};
  await driver.settle();
  expect((await stateOf(admin, "big")).state).toBe("undone");
  expect((await admin.query("select count(*)::int as n from pg_class where relname like 'big\\_%' and relkind = 'r'")).rows).toEqual([
    { n: 0 },
  ]);
  expect((await admin.query("select count(*)::int as n from pg_namespace where nspname ~ '^ladder_(convert|kept)_'")).rows).toEqual([
    { n: 0 },
  ]);
  driver.tables = BY_YEAR;
  await driver.settle();
  await equal(3000);
});

test("the upkeep of partitions goes on while the old table is kept: rows that it moves are not lost on the way back", async () => {
  await app.query(`${FILLED} insert into big values (0, 'infinity', 0)`);
  const tables: Tables = { big: { partition: { by: "at", keep: "1 month" } } };
  const settle = () => settleTables(admin, { tables: declare(tables) } as unknown as Desired, () => undefined);
  await settle();
  const driver = new Driver(here.db, tables);
  await driver.settle();
  expect((await admin.query("select count(*)::int as n from partman.part_config where parent_table = 'public.big'")).rows).toEqual([
    { n: 1 },
  ]);
  await app.query("insert into big values (4000, '2031-01-01Z', 1), (4001, '2031-02-01Z', 2)");
  expect((await app.query("select count(*)::int as n from big_default")).rows).toEqual([{ n: 3 }]);
  await admin.query("call ladder.maintain_partitions('big')");
  expect((await app.query("select id::int from big_default")).rows).toEqual([{ id: 0 }]);
  expect((await contents(await hidden())).length).toBe(3003);
  const young = (await contents("big")).length;
  expect(young).toBeLessThan(3003);
  await admin.query("select ladder.undo_conversion('big')");
  expect((await contents("big")).length).toBe(3003);
  await driver.settle();
  expect((await admin.query("select count(*)::int as n from partman.part_config where parent_table = 'public.big'")).rows).toEqual([
    { n: 0 },
  ]);
});

test("the application's code runs with the rights of the table's owner, never with those of the administrator", async () => {
  await app.query(`create table ran (who name, super text); grant insert on ran to public;
    create function note(x int) returns boolean language plpgsql as $$ begin
      insert into public.ran values (current_user, current_setting('is_superuser')); return true; end $$;
    ${FILLED} alter table big add check (note(x)); truncate ran`);
  const driver = new Driver(here.db, BY_YEAR);
  await driver.until(admin, "big", "copying");
  await admin.query("insert into big values (5000, now(), 1)");
  await app.query("truncate ran");
  await driver.settle();
  const who = async () => (await app.query("select distinct who from ran")).rows;
  expect(await who()).toEqual([{ who: "app" }]);
  await equal(3001);
  await app.query("truncate ran; update big set x = 1 where id = 1");
  expect(await who()).toEqual([{ who: "app" }]);
  await admin.query("select ladder.undo_conversion('big')");
  expect(await who()).toEqual([{ who: "app" }]);
});

test("tenants: rows of all of them are copied and kept equal, and stay apart", async () => {
  await app.query(`create table big (id bigint primary key, at timestamptz not null, tenant bigint not null, x int);
    insert into big select n, '2026-01-01Z'::timestamptz + n * interval '1 hour', 1 + n % 2, n from generate_series(1, 2000) n`);
  const tables: Tables = { big: { partition: { by: "at", every: "year" }, tenant: "tenant" } };
  await settleTables(admin, { tables: declare(tables) } as unknown as Desired, () => undefined);
  const as = async (tenant: number, sql: string) => {
    await app.query("begin");
    await app.query("select ladder.set_tenant($1::bigint)", [tenant]);
    const { rows } = await app.query(sql);
    await app.query("commit");
    return rows;
  };
  const count = "select count(*)::int as n from big";
  const driver = new Driver(here.db, tables);
  await driver.until(admin, "big", "copying");
  await as(1, "update big set x = -1");
  await as(2, "delete from big where id <= 11");
  await driver.settle();
  expect((await stateOf(admin, "big")).state).toBe("kept");
  await equal(1994);
  expect([await as(1, count), await as(2, count)]).toEqual([[{ n: 1000 }], [{ n: 994 }]]);
  await as(2, "insert into big values (9000, now(), 2, 0)");
  await admin.query("update big set x = 7 where id in (12, 13)");
  await equal(1995);
  expect(await as(1, "select tableoid::regclass from big_p20260101 where tenant = 2")).toEqual([]);
  await admin.query("select ladder.undo_conversion('big')");
  expect([await as(1, count), await as(2, count)]).toEqual([[{ n: 1000 }], [{ n: 995 }]]);
  await expect(as(1, "insert into big values (9001, now(), 2, 0)")).rejects.toThrow("row-level security");
  await app.query("rollback");
});

test("an INSERT that relies on the shorter key is seen before it fails", async () => {
  await app.query(FILLED);
  await admin.query("select ladder.pg_stat_statements_reset()");
  await app.query("insert into big values (1, now(), 1) on conflict ( ID ) do nothing");
  const driver = new Driver(here.db, BY_YEAR);
  await driver.settle();
  const { state, problems } = await stateOf(admin, "big");
  expect([state, ...problems.filter(({ level }) => level === "blocks").map(({ why, fix }) => `${why}; ${fix}`)]).toEqual([
    "blocked",
    "the application inserts with on conflict ( ID ), which the longer primary key breaks; create unique index concurrently on public.big " +
      '("id", "at"); let the application say ON CONFLICT ("id", "at"); then select ladder.pg_stat_statements_reset()',
  ]);
  await app.query('create unique index concurrently on big ("id", "at")');
  await admin.query("select ladder.pg_stat_statements_reset()");
  const insert = () => app.query("insert into big values (1, '2026-01-01 01:00Z', 7) on conflict (id, at) do update set x = excluded.x");
  await insert();
  await driver.settle({ recheck: 0 });
  await insert();
  await equal(3000);
  expect((await app.query("select x from big where id = 1")).rows).toEqual([{ x: 7 }]);
});
