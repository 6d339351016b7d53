/**
 * Expand and contract: constraints in steps, and backfills in batches, under writers, kills and a replica that falls behind, on real PostgreSQL 17.
 * Cannot prove: how long a step takes on a large table.
 */
import type { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bench, migrate } from "../support/migrations.ts";
import { startStandby } from "../support/standby.ts";

const here = bench(async (db) => {
  const admin = await db.connect();
  await admin.query(`
    set role app;
    create table users (id bigint primary key, email text not null, email_lower text);
    create table pairs (day timestamptz not null default '2026-01-01', region text not null, n int not null, twice int, primary key (region, n, day))
      partition by list (region);
    create table pairs_eu partition of pairs for values in ('eu');
    create table pairs_us partition of pairs for values in ('us');
    insert into users select n, 'User' || n from generate_series(1, 1000) n;
    insert into pairs (region, n) select case n % 2 when 0 then 'eu' else 'us' end, n from generate_series(1, 100) n;
    analyze users, pairs`);
  await admin.end();
});

let app: Client;
let admin: Client;
const clients: Client[] = [];
async function login(role: string): Promise<Client> {
  const client = await here.db.connect(role);
  clients.push(client);
  return client;
}
beforeEach(async () => {
  app = await login("app");
  admin = await login("ladder_admin");
});
afterEach(() => Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined))));

const failure = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "no error",
    (error: Error) => error.message,
  );

async function until(sql: string): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await admin.query(sql)).rowCount) {
    if (Date.now() > end) throw new Error(`not within 20 s: ${sql}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("constraints", () => {
  const constraints = async (table: string) =>
    (
      await admin.query(
        "select conname as name, convalidated as valid from pg_constraint where conrelid = $1::regclass and contype <> 'p' order by 1",
        [table],
      )
    ).rows;

  test("add_check validates after a commit, and goes on where it stopped", async () => {
    await app.query("call ladder.add_check('users', 'users_short', 'char_length(email) < 100')");
    expect(await constraints("users")).toEqual([{ name: "users_short", valid: true }]);
    await app.query("call ladder.add_check('users', 'users_short', 'char_length(email) < 100')");
    expect(await failure(app.query("call ladder.add_check('users', 'users_low', 'email_lower is not null')"))).toBe(
      'check constraint "users_low" of relation "users" is violated by some row',
    );
    expect(await constraints("users")).toEqual([
      { name: "users_low", valid: false },
      { name: "users_short", valid: true },
    ]);
    await app.query("update users set email_lower = lower(email)");
    await app.query("call ladder.add_check('users', 'users_low', 'email_lower is not null')");
    expect((await constraints("users"))[0]).toEqual({ name: "users_low", valid: true });
  });

  test("add_not_null leaves no check behind; add_foreign_key refuses what does not fit", async () => {
    expect(await failure(app.query("call ladder.add_not_null('users', 'nothing')"))).toBe("column: got nothing, want a column of users");
    expect(await failure(app.query("call ladder.add_not_null('users', 'email_lower')"))).toContain("is violated by some row");
    await app.query("update users set email_lower = lower(email)");
    await app.query("call ladder.add_not_null('users', 'email_lower')");
    await app.query("call ladder.add_not_null('users', 'email_lower')");
    expect(await constraints("users")).toEqual([]);
    expect(await failure(app.query("insert into users values (0, 'x')"))).toContain('null value in column "email_lower"');
    await app.query("create table orders (user_id bigint); insert into orders values (1), (5000)");
    const add = "call ladder.add_foreign_key('orders', 'orders_user', '(user_id) references users (id)')";
    expect(await failure(app.query(add))).toContain('violates foreign key constraint "orders_user"');
    await app.query("delete from orders where user_id = 5000");
    await app.query(add);
    expect(await constraints("orders")).toEqual([{ name: "orders_user", valid: true }]);
  });

  test("the lock is waited for in short tries, so that others get through", async () => {
    const holder = await login("app");
    await holder.query("begin; select 1 from users");
    const adding = app.query("call ladder.add_check('users', 'users_short', 'char_length(email) < 100')");
    await until("select 1 from pg_stat_activity where usename = 'app' and wait_event = 'relation'");
    await until("select 1 from pg_stat_activity where usename = 'app' and wait_event = 'PgSleep'");
    const other = await login("app");
    await other.query("set lock_timeout = '1500ms'; insert into users values (2000, 'through')");
    await holder.query("commit");
    await adding;
    expect(await constraints("users")).toEqual([{ name: "users_short", valid: true }]);
  });

  test("from a migration without a transaction; in one it says what it wants", async () => {
    const text = "call ladder.add_check('users', 'users_short', 'char_length(email) < 100')";
    const good = await migrate(here.db, await here.folder({ "1.sql": `-- ladder: no transaction\n${text};` }));
    expect(good.error).toBeUndefined();
    const bad = await migrate(
      here.db,
      await here.folder({ "1.sql": `-- ladder: no transaction\n${text};`, "2.sql": `${text.replace("short", "x")};` }),
    );
    expect(bad.error).toContain("want: -- ladder: no transaction in the file's first line");
  });
});

const FILL = "call ladder.backfill('users', 'email_lower = lower(email)', 'email_lower is null', 100)";
const progress = async () =>
  (
    await admin.query(
      "select relation, looked_at::int, changed::int, estimated::int, state, run, last_key, error from ladder.backfill_progress",
    )
  ).rows;
const DONE = {
  relation: "public.users",
  looked_at: 1000,
  changed: 1000,
  estimated: 1000,
  state: "done",
  run: 1,
  last_key: { id: "1000" },
  error: null,
};

describe("ladder.backfill", () => {
  test("fills in the order of the key, commits per batch, and leaves alone what is done", async () => {
    await app.query("update users set email_lower = 'mine' where id % 100 = 0");
    await app.query(FILL);
    expect(await progress()).toEqual([{ ...DONE, changed: 990 }]);
    const { rows } = await admin.query(
      "select count(*) filter (where email_lower = lower(email))::int as filled, count(*) filter (where email_lower = 'mine')::int as kept, count(distinct xmin::text)::int as transactions from users",
    );
    expect(rows).toEqual([{ filled: 990, kept: 10, transactions: 11 }]);
    await app.query(FILL);
    expect(await progress()).toEqual([{ ...DONE, changed: 0, run: 2 }]);
  });

  test("keys of several columns, a partitioned table, the caller's own search path", async () => {
    await app.query(
      "create schema lib; create function lib.double(int) returns int language sql as 'select $1 * 2'; set search_path = lib, public",
    );
    await app.query("call ladder.backfill('pairs', 'twice = double(n)', 'twice is null', 7)");
    expect((await admin.query("select count(*)::int from pairs where twice = n * 2")).rows).toEqual([{ count: 100 }]);
    expect((await progress())[0]).toMatchObject({ looked_at: 100, changed: 100, last_key: { region: "us", n: "99" } });
  });

  test("a killed run is taken up where it stopped", async () => {
    await app.query(
      "create function slow(text) returns text language plpgsql as $$ begin if $1 = 'User450' then perform pg_sleep(60); end if; return lower($1); end $$",
    );
    const killed = await login("app");
    const fill = FILL.replace("lower(email)", "slow(email)");
    const ending = failure(killed.query(fill));
    await until("select 1 from pg_stat_activity where wait_event = 'PgSleep'");
    expect(await failure(app.query(fill))).toBe("backfill of public.users: got a second call, want one at a time");
    await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'");
    expect(await ending).toContain("terminating connection");
    await until("select 1 where not exists (select from pg_stat_activity where wait_event = 'PgSleep')");
    expect(await progress()).toMatchObject([{ looked_at: 400, changed: 400, state: "running", last_key: { id: "400" } }]);
    await admin.query("create or replace function slow(text) returns text language sql as 'select lower($1)'");
    await app.query(fill);
    expect(await progress()).toMatchObject([{ looked_at: 1000, changed: 1000, state: "done", run: 2 }]);
  });

  test("a failed one says why, and is taken up too", async () => {
    await app.query("alter table users add check (id <> 777 or email_lower is null)");
    expect(await failure(app.query(FILL))).toBe('new row for relation "users" violates check constraint "users_check"');
    expect(await progress()).toMatchObject([
      { looked_at: 700, state: "failed", error: 'new row for relation "users" violates check constraint "users_check"' },
    ]);
    await app.query("alter table users drop constraint users_check");
    await app.query(FILL);
    expect(await progress()).toEqual([{ ...DONE, run: 2 }]);
    await app.query("set statement_timeout = '50ms'");
    expect(await failure(app.query(FILL.replace("100)", "100, '1 s')").replace("is null", "is not null")))).toBe(
      "canceling statement due to statement timeout",
    );
  });

  test("under writers nothing is lost: what they wrote stands, what they added is filled", async () => {
    const writers = await Promise.all([1, 2, 3].map(() => login("app")));
    let filled = false;
    const written = writers.map(async (writer, w) => {
      const ids: number[] = [];
      for (let n = 0; !filled || n < 20; n++) {
        const id = ((n * 37 + w * 331) % 1000) + 1;
        await writer.query("update users set email = 'New' || id, email_lower = 'new' || id where id = $1", [id]);
        await writer.query("insert into users values ($1, 'Late', null)", [2000 + w * 100_000 + n]);
        ids.push(id);
      }
      return ids;
    });
    await app.query(FILL.replace("100)", "13)"));
    filled = true;
    const ids = (await Promise.all(written)).flat();
    const { rows } = await admin.query("select count(*)::int from users where id = any($1) and email_lower = 'new' || id", [ids]);
    expect(rows).toEqual([{ count: new Set(ids).size }]);
    expect((await admin.query("select count(*)::int from users where id <= 1000 and email_lower <> lower(email)")).rows).toEqual([
      { count: 0 },
    ]);
    await app.query(FILL);
    expect((await admin.query("select count(*)::int from users where email_lower is distinct from lower(email)")).rows).toEqual([
      { count: 0 },
    ]);
  });

  test("refuses what cannot be done", async () => {
    await app.query("create table keyless (x int)");
    expect(await failure(app.query("call ladder.backfill('keyless', 'x = 1', 'true')"))).toBe(
      "table: got public.keyless, want a table with a primary key",
    );
    expect(await failure(app.query("call ladder.backfill('users', 'email = 1', 'true', 0)"))).toBe(
      "batch: got 0, want a number of rows from 1 to 100000",
    );
    await admin.query("select ladder.declare_tenant_table('users', 'id')");
    expect(await failure(app.query(FILL))).toBe(
      "table: got public.users, whose rows are kept apart by policies, want a role that sees all of them",
    );
    await admin.query("set role ladder_all_tenants");
    await admin.query(FILL.replace("'users'", "'public.users'"));
    await admin.query("reset role");
    expect(await progress()).toContainEqual(DONE);
  });

  test("waits for a replica that has fallen behind", async () => {
    const standby = await startStandby(here.server);
    await standby("ladder_admin", "postgres", "select pg_wal_replay_pause()");
    await until("select 1 from pg_stat_replication where state = 'streaming'");
    const filling = app.query(FILL.replace("100)", "100, '0', 1000)"));
    await until("select 1 from ladder.backfill_progress where state = 'waiting for replicas'");
    expect(await progress()).toMatchObject([{ looked_at: 100, state: "waiting for replicas" }]);
    expect(await failure((await login("app")).query(FILL))).toMatch(
      /^backfill of public\.users: got a second call, want one at a time; session \d+ runs it$/,
    );
    await standby("ladder_admin", "postgres", "select pg_wal_replay_resume()");
    await filling;
    expect(await progress()).toEqual([DONE]);
  });
});

test("a foreign key on tables that are kept apart is checked over all rows, or not at all", async () => {
  await app.query("create table a (id bigint primary key, t int not null); create table b (a_id bigint, t int not null)");
  await app.query("insert into a values (1, 1); insert into b values (1, 2), (99, 1)");
  await admin.query("select ladder.declare_tenant_table('a', 't'), ladder.declare_tenant_table('b', 't')");
  const add = "call ladder.add_foreign_key('b', 'b_a', '(a_id) references a (id)')";
  expect(await failure(app.query(add))).toBe("constraint b_a: got app to validate it, want a role that sees all rows of both tables");
  expect(await failure(admin.query(add))).toContain('violates foreign key constraint "b_a"');
  await admin.query("delete from b where a_id = 99");
  await admin.query(add);
  expect((await admin.query("select convalidated from pg_constraint where conname = 'b_a'")).rows).toEqual([{ convalidated: true }]);
});

test("nobody may run what runs as its owner, unless it was given to them", async () => {
  const { rows } = await admin.query(
    `select p.oid::regprocedure::text as function from pg_proc p where p.pronamespace = 'ladder'::regnamespace and p.prosecdef
       and has_function_privilege('public', p.oid, 'execute')
       and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')`,
  );
  expect(rows).toEqual([]);
});
