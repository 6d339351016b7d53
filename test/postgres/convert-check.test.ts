/** What is not converted, and why: each reason alone, with its exact words. Cannot prove: what only a managed server forbids. */
import type { Client } from "pg";
import { beforeEach, describe, expect, test } from "vitest";
import { bench } from "../support/migrations.ts";
import { Driver, stateOf } from "./convert-driver.ts";

const here = bench();
let app: Client;
let admin: Client;

beforeEach(async () => {
  app = await here.db.connect("app");
  admin = await here.db.connect();
});

const BY_TIME = { big: { partition: { by: "at" } } };
const TABLE = "create table big (id bigint, at timestamptz not null, x int, primary key (id, at));";

/** A table that stays as it is holds up nobody: the mover is done with it at its first look. */
const blocks = async (tables: ConstructorParameters<typeof Driver>[1] = BY_TIME): Promise<string[]> => {
  const driver = new Driver(here.db, tables);
  await driver.settle();
  const { state, problems } = await stateOf(admin, "big");
  expect(driver.shown.length === 0).toBe(problems.some(({ level }) => level === "blocks"));
  expect(state).toBe(problems.some(({ level }) => level === "blocks") ? "blocked" : "kept");
  return problems.filter(({ level }) => level === "blocks").map(({ object, why, fix }) => `${object}: ${why}; ${fix}`);
};

describe("blocked", () => {
  test.each<[string, string, string]>([
    [
      "no key",
      "create table big (id bigint, at timestamptz not null)",
      "public.big: it has no primary key; alter table public.big add primary key (…)",
    ],
    [
      "a deferrable key",
      "create table big (id bigint, at timestamptz not null, primary key (id, at) deferrable)",
      "public.big, big_pkey: the primary key is deferrable; make one that is not: ON CONFLICT cannot use a deferrable one",
    ],
    [
      "no column",
      "create table big (id bigint primary key, x int)",
      'public.big."at": there is no such column; one of id, x in the declaration',
    ],
    [
      "a column of another type",
      "create table big (id bigint, at bigint not null, primary key (id, at))",
      'public.big."at": its type is bigint; a column of type date, timestamp or timestamptz in the declaration',
    ],
    [
      "a generated column",
      "create table big (id bigint primary key, day date not null, at date not null generated always as (day + 1) stored)",
      'public.big."at": it is a generated column; a column that is stored as it is written in the declaration',
    ],
    [
      "a column that accepts NULL",
      "create table big (id bigint primary key, at timestamptz)",
      'public.big."at": it accepts NULL, and a partition column is part of the primary key; alter table public.big add constraint ladder_not_null ' +
        'check ("at" is not null) not valid; alter table public.big validate constraint ladder_not_null; alter table public.big alter "at" set not null; ' +
        "alter table public.big drop constraint ladder_not_null",
    ],
    [
      "a unique constraint without the column",
      `${TABLE} alter table big add constraint big_x unique (x)`,
      'public.big, big_x: unique over all partitions without "at" in it; alter table public.big drop constraint "big_x"; or a table of its own for what has to be unique',
    ],
    [
      "a unique index without the column",
      `${TABLE} create unique index "bigX" on big (x)`,
      'public.big, bigX: unique over all partitions without "at" in it; drop index concurrently "public"."bigX"; or a table of its own for what has to be unique',
    ],
    [
      "a deferrable unique constraint",
      `${TABLE} alter table big add constraint big_x unique (x, at) deferrable`,
      'public.big, big_x: a deferrable unique constraint; alter table public.big drop constraint "big_x"',
    ],
    [
      "an exclusion constraint",
      `${TABLE} alter table big add constraint big_x exclude using btree (x with =)`,
      'public.big, big_x: an exclusion constraint; alter table public.big drop constraint "big_x"',
    ],
    [
      "a constraint that is not validated",
      `${TABLE} alter table big add constraint big_x check (x > 0) not valid`,
      'public.big, big_x: the constraint is not validated; alter table public.big validate constraint "big_x"',
    ],
    [
      "a check without inheritance",
      `${TABLE} alter table big add constraint big_x check (x > 0) no inherit`,
      'public.big, big_x: the check is not inherited; make it without NO INHERIT: alter table public.big drop constraint "big_x"',
    ],
    [
      "an unlogged table",
      `${TABLE} alter table big set unlogged`,
      "public.big: it is unlogged: its rows are on no replica; alter table public.big set logged",
    ],
    [
      "a replica identity by index",
      `${TABLE} alter table big replica identity using index big_pkey`,
      "public.big: its replica identity is an index; alter table public.big replica identity default",
    ],
    [
      "a foreign key to what is no longer unique",
      "create table big (id bigint primary key, at timestamptz not null); create table small (id bigint constraint to_big references big)",
      'public.small, to_big: a foreign key to public.big ("id"), which is no longer unique without "at"; alter table public.small drop constraint "to_big"; or make it point at "at" as well',
    ],
    [
      "a foreign key to itself",
      `${TABLE} alter table big add last timestamptz, add constraint to_big foreign key (id, last) references big`,
      'public.big, to_big: a foreign key from the table to itself; alter table public.big drop constraint "to_big"; make it again when the conversion is finished',
    ],
    [
      "a foreign key of a partitioned table",
      `${TABLE} create table small (id bigint, at timestamptz, constraint to_big foreign key (id, at) references big) partition by hash (id)`,
      'public.small, to_big: a foreign key of a partitioned table: it cannot be made without a long lock; alter table public.small drop constraint "to_big"; make it again afterwards',
    ],
    [
      "a view of whole rows",
      `${TABLE} create view rows as select big from big`,
      "view public.rows: it depends on public.big by its identity; drop it, and make it again afterwards",
    ],
    [
      "a materialized view",
      `${TABLE} create materialized view copied as select * from big`,
      "materialized view public.copied: it reads public.big by its identity; drop materialized view public.copied; make it again afterwards",
    ],
    [
      "a view that relies on the key",
      "create table big (id bigint primary key, at timestamptz not null, x int); create view grouped as select id, x from big group by id",
      "view public.grouped: its GROUP BY relies on the primary key, which changes; name all columns in GROUP BY",
    ],
    [
      "a rule",
      `${TABLE} create rule quiet as on delete to big do instead nothing`,
      "table public.big: it has a rule; drop rule quiet on public.big; make it again afterwards",
    ],
    [
      "a function that returns its rows",
      `${TABLE} create function rows() returns setof big language sql as 'select * from big'`,
      "function public.rows(): it depends on public.big by its identity; drop it, and make it again afterwards",
    ],
    [
      "another table's policy",
      `${TABLE} create table small (id bigint); create policy known on small using (exists (select from big where big.id = small.id))`,
      "policy known on table public.small: it depends on public.big by its identity; drop it, and make it again afterwards",
    ],
    [
      "inheritance",
      `${TABLE} create table child () inherits (big)`,
      "public.big: public.child inherit from it; alter table public.child no inherit public.big",
    ],
    [
      "a parent",
      "create table parent (id bigint, at timestamptz); create table big (primary key (id, at)) inherits (parent)",
      "public.big: it inherits from public.parent; alter table public.big no inherit public.parent",
    ],
    [
      "a row trigger with a transition table",
      `${TABLE} create function f() returns trigger language plpgsql as 'begin return null; end';
       create trigger t after update on big referencing new table as changed for each row execute function f()`,
      "public.big, t: a row trigger with a transition table; make it FOR EACH STATEMENT",
    ],
  ])("%s", async (_, ddl, message) => {
    await app.query(ddl);
    expect(await blocks()).toEqual([message]);
  });

  test.each([
    ["create publication p for table big", 'alter publication "p" drop table public.big'],
    ["create publication p for tables in schema public", 'alter publication "p" drop tables in schema "public"'],
    ["create publication p for all tables", 'drop publication "p"'],
  ])("%s", async (publication, fix) => {
    await app.query(TABLE);
    await admin.query(publication);
    expect(await blocks()).toEqual([`publication p: it publishes the table, and would publish its copy or nothing; ${fix}`]);
  });

  test("a partition of another table", async () => {
    await app.query("create table parent (id bigint, at timestamptz, primary key (id, at)) partition by range (at)");
    await app.query("create table big partition of parent default");
    expect(await blocks()).toEqual(["public.big: it is a partition of public.parent; declare the parent"]);
  });

  test("everything at once, in the log once; converted when it is put right", async () => {
    await app.query(`create table big (id bigint primary key, at timestamptz, x int unique)`);
    const driver = new Driver(here.db, BY_TIME);
    await driver.advance();
    await driver.advance({ recheck: 0 });
    expect(driver.log.filter((line) => line.includes("not converted")).map((line) => line.split(";")[0])).toEqual([
      'big: not converted: public.big."at": it accepts NULL, and a partition column is part of the primary key',
      'big: not converted: public.big, big_x_key: unique over all partitions without "at" in it',
    ]);
    await app.query("alter table big alter at set not null");
    await app.query("alter table big drop constraint big_x_key");
    expect(await driver.advance()).toBeUndefined();
    expect((await stateOf(admin, "big")).state).toBe("blocked");
    await driver.settle({ recheck: 0 });
    expect((await stateOf(admin, "big")).state).toBe("kept");
  });

  test("another table is converted all the same", async () => {
    await app.query("create table big (id bigint primary key, at timestamptz)");
    await app.query("create table other (id bigint, at timestamptz, primary key (id, at))");
    const driver = new Driver(here.db, { ...BY_TIME, other: { partition: { by: "at" } } });
    await driver.settle();
    expect((await stateOf(admin, "big")).state).toBe("blocked");
    expect((await stateOf(admin, "other")).state).toBe("kept");
  });
});

test("what a conversion costs is said", async () => {
  await app.query(`create table kinds (id int primary key);
    create table big (id bigint primary key, at timestamptz not null, x int constraint kind references kinds); create view seen as select * from big`);
  expect(await blocks()).toEqual([]);
  const { problems } = await stateOf(admin, "big");
  expect(problems.map(({ object, level, why }) => `${object} ${level} ${why}`)).toEqual([
    'public.big, big_pkey costs the primary key becomes ("id", "at"): ("id") alone is no longer unique by itself',
    "public.big, kind costs the table that it points at is referenced by the copy as well: TRUNCATE of both tables without CASCADE fails until the conversion is finished",
    "view public.seen costs the view is made again in the swap",
    "public.big costs both tables are there until the conversion is finished",
  ]);
});

test("too many partitions", async () => {
  await app.query(`${TABLE} insert into big values (1, '0044-03-15 BC'), (2, 'infinity'), (3, '2026-01-01Z')`);
  const driver = new Driver(here.db, BY_TIME);
  await driver.settle();
  expect((await stateOf(admin, "big")).error).toBe(
    "got rows from 0044-03-15 00:00:00+00 BC to 2026-01-01 00:00:00+00 in at, want at most 2000 partitions by month: a longer period, or other dates in rows that are far away",
  );
});

test("ladder.conversions and ladder.health say how far it is, and what is to be done", async () => {
  await app.query(`${TABLE} insert into big select n, '2026-01-01Z', n from generate_series(1, 3000) n`);
  const monitor = await here.db.connect("ladder_monitor");
  const shown = async () =>
    (await monitor.query('select "table", becomes, state, paused, done_percent::int, problem, fix from ladder.conversions')).rows;
  const health = async () =>
    (await monitor.query("select level, value, object, fix from ladder.health where \"check\" = 'conversions'")).rows;
  const driver = new Driver(here.db, BY_TIME);
  const base = { table: "public.big", becomes: "partitioned", paused: false, problem: null };

  await driver.until(admin, "big", "copying");
  await driver.advance({ slice: 0 as never });
  expect(await shown()).toEqual([{ ...base, state: "copying", done_percent: 16, fix: "select ladder.pause_conversion('public.big')" }]);
  expect(await health()).toEqual([{ level: "ok", value: null, object: null, fix: null }]);

  await driver.settle();
  const kept = "select ladder.finish_conversion('public.big'), or ladder.undo_conversion('public.big')";
  expect(await shown()).toEqual([{ ...base, state: "kept", done_percent: null, fix: kept }]);
  await admin.query("update ladder.conversion set swapped = '2026-01-01Z'");
  expect(await health()).toEqual([
    { level: "warning", value: "kept: every write is made twice since 2026-01-01 00:00:00+00", object: "public.big", fix: kept },
  ]);

  await app.query("create table other (id bigint primary key, at timestamptz)");
  driver.tables = { other: { partition: { by: "at" } } };
  await driver.settle();
  const { problem, fix } = (await shown()).find(({ state }) => state === "blocked");
  expect([problem, fix.split(";")[0]]).toEqual([
    'public.other."at": it accepts NULL, and a partition column is part of the primary key',
    'alter table public.other add constraint ladder_not_null check ("at" is not null) not valid',
  ]);
  expect(await health()).toContainEqual({ level: "warning", value: `blocked: ${problem}`, object: "public.other", fix });
});
