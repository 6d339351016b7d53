/** Constraints of the table that is out of sight: they fail no statement that is right on the table itself, and nobody loosens them one-sidedly. */
import type { Client } from "pg";
import { beforeEach, describe, expect, test } from "vitest";
import { settleTables } from "../../agent/tables/index.ts";
import type { Desired } from "../../plan/desired.ts";
import { bench } from "../support/migrations.ts";
import { Driver, declare, stateOf, type Tables } from "./convert-driver.ts";

const here = bench();
const BY_YEAR: Tables = { big: { partition: { by: "at", every: "year", ahead: 1 } } };
const FILLED = (onDelete: string) => `create table owners (id int primary key); insert into owners select generate_series(1, 9);
  create table big (id bigint, at timestamptz not null, owner int constraint big_owner references owners ${onDelete}, x int, primary key (id, at));
  insert into big select n, '2026-01-01Z'::timestamptz + n * interval '1 hour', 1 + n % 9, n from generate_series(1, 900) n;`;
let app: Client;
let admin: Client;
let driver: Driver;

beforeEach(async () => {
  app = await here.db.connect("app");
  admin = await here.db.connect();
  driver = new Driver(here.db, BY_YEAR);
});

const count = async (table: string): Promise<number> =>
  (await admin.query<{ n: number }>(`select count(*)::int as n from ${table}`)).rows[0]!.n;

/** Of the table and of the one that is out of sight, which have the same rows. */
const rows = async (): Promise<number> => {
  const { rows: found } = await admin.query<{ name: string }>(
    "select (case when state = 'kept' then source else target end)::regclass::text as name from ladder.conversion order by id desc limit 1",
  );
  const differ = `select count(*)::int as n from big full join ${found[0]!.name} o using (id, at) where big is distinct from o`;
  expect((await admin.query(differ)).rows).toEqual([{ n: 0 }]);
  return count("big");
};

const definition = async (): Promise<string> =>
  (
    await admin.query(
      "select pg_get_constraintdef(oid) as key from pg_constraint where conrelid = 'big'::regclass and conname = 'big_owner'",
    )
  ).rows[0].key;

describe("foreign keys", () => {
  const both = (id: number) => `with gone as (delete from big where owner = ${id}) delete from owners where id = ${id}`;

  test("rows and what they point at go in one statement, before the swap and after it", async () => {
    await app.query(FILLED(""));
    await driver.until(admin, "big", "verifying");
    await app.query(both(1));
    expect(await rows()).toBe(800);
    await driver.settle();
    await app.query(both(2));
    expect(await rows()).toBe(700);
    await expect(app.query("delete from owners where id = 3")).rejects.toMatchObject({ code: "23503", table: "big" });
    expect(await definition()).toBe("FOREIGN KEY (owner) REFERENCES owners(id)");
    await admin.query("select ladder.undo_conversion('big')");
    expect(await definition()).toBe("FOREIGN KEY (owner) REFERENCES owners(id)");
    // The other one is no longer kept equal, and is dropped by the mover only.
    await app.query(both(3));
    await driver.settle();
    await expect(app.query("begin; insert into big values (1000, now(), 3, 1); commit")).rejects.toMatchObject({ code: "23503" });
    await app.query("rollback");
    expect(await count("big")).toBe(600);
  });

  test("a cascade in a transaction of REPEATABLE READ", async () => {
    await app.query(FILLED("on delete cascade"));
    await driver.settle();
    await app.query("begin isolation level repeatable read; delete from owners where id = 1; commit");
    expect(await rows()).toBe(800);
    expect(await definition()).toBe("FOREIGN KEY (owner) REFERENCES owners(id) ON DELETE CASCADE");
  });

  test("TRUNCATE in the transaction that has written, before the swap and after it", async () => {
    await app.query(FILLED(""));
    await driver.until(admin, "big", "verifying");
    const refill =
      "begin; insert into big values (1000, now(), 1, 1); truncate big; insert into big values (1, '2026-05-05Z', 2, 2); commit";
    await app.query(refill);
    expect(await rows()).toBe(1);
    await driver.settle();
    await app.query(refill);
    expect(await rows()).toBe(1);
    await app.query("begin isolation level repeatable read; truncate owners cascade; commit");
    expect(await rows()).toBe(0);
  });

  test("the upkeep of partitions moves rows while foreign keys are yet to be checked", async () => {
    await app.query(FILLED(""));
    const tables: Tables = { big: { partition: { by: "at" } } };
    await settleTables(admin, { tables: declare(tables) } as unknown as Desired, () => undefined);
    driver.tables = tables;
    await driver.settle();
    await app.query("insert into big values (1000, '2031-01-01Z', 1, 1), (1001, '2031-02-01Z', 2, 2)");
    await admin.query("call ladder.maintain_partitions('big')");
    expect(await count("big_default")).toBe(0);
    expect(await rows()).toBe(902);
  });

  test("one that is made while the old table is kept does not stand in the way back", async () => {
    await app.query(FILLED(""));
    await driver.settle();
    await app.query("update big set x = 9; alter table big add constraint later foreign key (x) references owners");
    await admin.query("select ladder.undo_conversion('big')");
    await driver.settle();
    expect((await stateOf(admin, "big")).state).toBe("undone");
    expect(await definition()).toBe("FOREIGN KEY (owner) REFERENCES owners(id)");
  });
});

describe("a constraint that is loosened", () => {
  const LIMITED = `${FILLED("")} alter table big add y int not null default 1, add constraint few check (x < 1000), add constraint once unique (y, x, at);
    create unique index part on big (x, at) where x > 0;`;
  const refused = async (sql: string, without: string) =>
    expect([
      sql,
      await app.query(sql).then(
        () => "no error",
        ({ message, hint }) => `${message}; ${hint}`,
      ),
    ]).toEqual([sql, `public.big: got a table without ${without}`]);
  const kept = "while its conversion is \"kept\"; First: select ladder.finish_conversion('public.big')";
  const copying = 'while its conversion is "copying"; Wait until it is kept, then finish it; or take the declaration back.';

  test("is refused from the triggers on, until the conversion is finished", async () => {
    await app.query(LIMITED);
    await driver.until(admin, "big", "copying");
    await refused("alter table big drop constraint few", `CHECK ((x < 1000)) ${copying}`);
    await driver.settle();
    await refused("alter table big drop constraint few, add constraint few check (x < 2000)", `CHECK ((x < 1000)) ${kept}`);
    await refused("alter table big alter y drop not null", `NOT NULL of y ${kept}`);
    await refused("alter table big drop constraint once", `UNIQUE (y, x, at) ${kept}`);
    await refused("drop index part", `UNIQUE (x, at) WHERE (x > 0) ${kept}`);
    await refused("alter table big drop constraint big_owner", `FOREIGN KEY (owner) REFERENCES public.owners(id) ${kept}`);
    await refused("alter table big drop constraint big_pkey", `PRIMARY KEY ${kept}`);
    await app.query("alter table big add constraint more check (x > 0)");
    await app.query("insert into big values (1000, now(), 1, 999)");
    expect(await rows()).toBe(901);
    await admin.query("select ladder.finish_conversion('big')");
    await app.query("alter table big drop constraint few; insert into big values (1001, now(), 1, 5000)");
  });

  test("a table that is dropped while the old one is kept stands in nobody's way", async () => {
    await app.query(LIMITED);
    await driver.settle();
    await app.query("drop table big; alter table owners add name text; alter table owners drop constraint owners_pkey cascade");
    await admin.query("select ladder.finish_conversion(source::regclass) from ladder.conversion");
  });

  test("before there are triggers, the copy begins again without a write that fails", async () => {
    await app.query(LIMITED);
    await driver.until(admin, "big", "building");
    await driver.advance({ slice: 0 as never });
    await app.query("alter table big drop constraint few");
    await driver.until(admin, "big", "syncing");
    await app.query("alter table big drop constraint once; alter table owners add name text");
    await driver.until(admin, "big", "undone");
    expect(driver.log).toContain("big: begins again: public.big: its definition has changed since the copy was begun");
    await app.query("insert into big values (1000, now(), 1, 5000)");
    await driver.settle();
    await app.query("insert into big values (1001, now(), 1, 6000)");
    expect(await rows()).toBe(902);
    expect((await admin.query("select state from ladder.conversion order by id")).rows).toEqual([{ state: "undone" }, { state: "kept" }]);
  });
});

describe("on the way to shards", () => {
  const TWO = `create table early (at timestamptz primary key); insert into early values ('2026-01-01Z');
    create table late (at timestamptz primary key); insert into late values ('2026-01-01Z');`;
  const by = { partition: { by: "at", every: "year" } } as const;
  const ENDED = `select table_name as name, state, exists (select from pg_class where pg_class.oid = source) as "oldIsThere" from ladder.conversion order by id`;

  test("what is swapped then is finished at once; what was swapped before waits for the operator", async () => {
    await app.query(TWO);
    driver.tables = { early: by };
    await driver.settle();
    driver.tables = { early: by, late: by };
    await driver.settle({ onward: true });
    expect((await admin.query(ENDED)).rows).toEqual([
      { name: "early", state: "kept", oldIsThere: true },
      { name: "late", state: "done", oldIsThere: false },
    ]);
    expect(driver.log.slice(-2)).toEqual([
      expect.stringMatching(/^late: partitioned, swapped in /),
      "public.late: the old table is dropped",
    ]);
    expect(await count("late")).toBe(1);
  });
});
