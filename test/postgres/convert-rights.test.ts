/**
 * Conversions by an administrator who is no superuser, as on managed servers: member of the tables' owner, owner of the database. Cannot
 * prove: what a managed server forbids beyond that.
 */
import { expect, test } from "vitest";
import { bench } from "../support/migrations.ts";
import { Driver, stateOf } from "./convert-driver.ts";

const here = bench();

const TABLES = (name: string) => `
  create table ${name}_owner (id int primary key);
  insert into ${name}_owner values (1), (2);
  create table ${name} (id bigint generated always as identity primary key, at timestamptz not null, owner int references ${name}_owner, x int);
  create function ${name}_touch() returns trigger language plpgsql as $$ begin new.x := coalesce(new.x, 0) + 1; return new; end $$;
  create trigger touch before insert on ${name} for each row execute function ${name}_touch();
  insert into ${name} (at, owner) select '2026-01-01Z'::timestamptz + n * interval '3 hours', 1 + n % 2 from generate_series(1, 1000) n;`;

test("without a superuser: with, and without, the right to set session_replication_role", async () => {
  const app = await here.db.connect("app");
  const root = await here.server.connect({ user: "postgres", database: here.db.name });
  for (const name of ["first", "second", "third"]) await app.query(TABLES(name));
  await app.query("alter table third enable row level security, force row level security");
  await root.query("alter role ladder_upkeep nobypassrls; grant ladder_upkeep to ladder_admin with inherit false, set true");
  await root.query("alter role ladder_admin nosuperuser createdb createrole; grant app, pg_monitor to ladder_admin");
  const admin = await here.db.connect();
  const driver = new Driver(here.db, { first: { partition: { by: "at" } } });
  const turn = async (name: string) => {
    driver.tables = { [name]: { partition: { by: "at" } } };
    await driver.settle();
    expect(await stateOf(admin, name)).toMatchObject({ state: "kept", error: null });
    expect((await app.query(`insert into ${name} (at, owner) values (now(), 1) returning x`)).rows).toEqual([{ x: 1 }]);
    await app.query(`delete from ${name}_owner where id = 3; update ${name} set x = 5 where id <= 10`);
    await admin.query("select ladder.undo_conversion($1::regclass)", [name]);
    await driver.settle();
    expect((await app.query(`select count(*)::int as rows, sum(x)::int as x from ${name}`)).rows).toEqual([{ rows: 1001, x: 991 + 50 }]);
    await admin.query("select ladder.resume_conversion($1::regclass)", [name]);
    await driver.settle();
    await admin.query("select ladder.finish_conversion($1::regclass)", [name]);
    expect((await app.query(`select count(*)::int as rows, sum(x)::int as x from ${name}`)).rows).toEqual([{ rows: 1001, x: 991 + 50 }]);
  };
  await turn("first");
  await root.query("grant set on parameter session_replication_role to ladder_admin");
  await turn("second");

  driver.tables = { third: { partition: { by: "at" } } };
  await driver.settle();
  const { state, problems } = await stateOf(admin, "third");
  expect([state, ...problems.filter(({ level }) => level === "blocks").map(({ why }) => why)]).toEqual([
    "blocked",
    "its row-level policies would hide rows from ladder_upkeep",
  ]);
});
