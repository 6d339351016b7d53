/** A converted table is in everything else what it was: compared line by line in the catalogs, forth, back, and whole again. */
import type { Client } from "pg";
import { beforeEach, expect, test } from "vitest";
import { bench } from "../support/migrations.ts";
import { anatomy } from "./convert-anatomy.ts";
import { Driver, type Tables } from "./convert-driver.ts";

const here = bench();
let app: Client;
let admin: Client;

beforeEach(async () => {
  app = await here.db.connect("app");
  admin = await here.db.connect();
});

const kind = async (table: string): Promise<string> =>
  (await admin.query<{ kind: string }>("select relkind::text as kind from pg_class where oid = $1::regclass", [table])).rows[0]!.kind;

const contents = async (table: string): Promise<string[]> =>
  (await admin.query<{ row: string }>(`select t::text as row from ${table} t order by 1`)).rows.map(({ row }) => row);

/** Schemas, triggers and rights of conversions that are over. */
const leftovers = async (): Promise<string[]> =>
  (
    await admin.query<{ name: string }>(
      `select nspname as name from pg_namespace where nspname ~ '^ladder_(convert|kept)_'
       union all select tgname || ' on ' || tgrelid::regclass from pg_trigger where tgname like 'ladder\\_%'
       union all select oid::regclass || ' ' || relacl::text from pg_class where relacl::text like '%ladder\\_upkeep=%' and relnamespace <> 'ladder'::regnamespace`,
    )
  ).rows.map(({ name }) => name);

const EVERYTHING = `
create table tenants (id bigint primary key);
insert into tenants values (1), (2);
create function touch() returns trigger language plpgsql as $$ begin new.touched := coalesce(new.touched, 0) + 1; return new; end $$;
create table seen (id bigint, what text);
create function note() returns trigger language plpgsql as $$ begin insert into seen values (coalesce(new.id, old.id), tg_op); return null; end $$;
create table big (
  gone text,
  id bigserial,
  at timestamptz not null default now(),
  serial_two bigint generated always as identity (increment by 5 cache 3),
  tenant bigint not null references tenants (id) on delete cascade,
  late bigint constraint late references tenants (id) deferrable,
  price numeric(10, 2) check (price >= 0),
  doubled numeric generated always as (price * 2) stored,
  label text collate "C" default 'none',
  body text compression lz4,
  touched int,
  constraint big_key primary key (id, at),
  constraint once unique (label, at)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
alter table big drop column gone;
alter table big alter body set storage external, alter price set statistics 321, alter label set (n_distinct = 7);
create index "by Price" on big (price desc nulls last) where price > 0;
create index big_body on big using gin (to_tsvector('english', body));
create index big_brin on big using brin (at) with (pages_per_range = 8);
create statistics big_stats (dependencies) on tenant, label from big;
create trigger a_touch before insert or update of price on big for each row execute function touch();
create trigger b_note after insert or delete on big for each row execute function note();
create trigger c_off after update on big for each row execute function note();
alter table big disable trigger c_off;
create constraint trigger d_late after insert on big deferrable initially deferred for each row when (new.id < 0) execute function note();
alter table big enable row level security;
create policy own on big to app_ro using (tenant = 1 and exists (select from big b where b.tenant = 1));
create policy all_of_it on big using (true) with check (price is null or price < 1000000);
grant select, insert on big to app_rw with grant option;
grant update (label) on big to app_ro;
grant usage on sequence big_id_seq to app_ro;
comment on table big is 'It''s \\ big';
comment on column big.at is 'When';
comment on constraint once on big is 'Only once';
comment on index big_brin is 'Small';
comment on trigger a_touch on big is 'Counts';
comment on constraint late on big is 'Checked late';
comment on constraint big_price_check on big is 'Never below';
comment on policy own on big is 'Theirs';
revoke truncate on big from app;
create table marks (id bigserial primary key, big_id bigint, big_at timestamptz, constraint of_big foreign key (big_id, big_at) references big on delete cascade on update cascade);
comment on constraint of_big on marks is 'Of big';
create function first_label() returns text language plpgsql as $$ declare r big%rowtype; begin select * into strict r from big order by id limit 1; return r.label; end $$;
create view cheap with (security_barrier, check_option = local) as select id, at, price from big where price < 10;
grant select on cheap to app_ro;
insert into big (at, tenant, price, label, body) select '2026-01-01Z'::timestamptz + n * interval '7 hours', 1 + n % 2, n, 'l' || n, repeat('x', n % 50) from generate_series(1, 700) n;
insert into marks (big_id, big_at) select id, at from big where id <= 20;
`;

test("everything of a table is kept: partitioned, undone, partitioned, finished, whole again", async () => {
  await app.query(EVERYTHING);
  const before = await anatomy(admin, "big");
  const rows = await contents("big");
  const seen = (await contents("seen")).length;
  const marks = async () => (await app.query("select count(*)::int as n from marks")).rows[0].n;
  // One session of a pool, with statements that it prepared before: nothing of the swaps may reach it.
  const held = await here.db.connect("app");
  const asked = async () => {
    const { rows: found } = await held.query({ name: "all of it", text: "select * from big where id = $1", values: [2] });
    const { rows: label } = await held.query({ name: "label", text: "select first_label() as label" });
    return [Object.keys(found[0]).length, found[0].label, label[0].label];
  };
  expect(await asked()).toEqual([10, "l2", "l1"]);
  const driver = new Driver(here.db, { big: { partition: { by: "at" } } });

  await driver.settle();
  expect(driver.log.filter((line) => line.includes("failed"))).toEqual([]);
  expect(await kind("big")).toBe("p");
  expect(await anatomy(admin, "big")).toEqual(before);
  expect(await contents("big")).toEqual(rows);
  const { rows: options } = await admin.query(
    "select distinct reloptions, relowner::regrole::text as owner, relrowsecurity as policies from pg_class where oid in (select inhrelid from pg_inherits where inhparent = 'big'::regclass)",
  );
  expect(options).toEqual([{ reloptions: ["fillfactor=80", "autovacuum_vacuum_scale_factor=0.02"], owner: "app", policies: true }]);

  // Triggers of the application fire once, sequences go on, and nothing is given twice.
  await app.query("insert into big (tenant, price) values (1, 1)");
  expect((await contents("seen")).length).toBe(seen + 1);
  const drawn = (await app.query("select id::int, serial_two::int, touched from big where price = 1 and label = 'none'")).rows[0];
  expect(drawn).toMatchObject({ id: 701, touched: 1 });
  expect(drawn.serial_two).toBeGreaterThan(700 * 5 - 4);
  expect(await asked()).toEqual([10, "l2", "l1"]);
  await app.query("delete from tenants where id = 2");
  expect((await app.query("select count(*)::int as n from big")).rows).toEqual([{ n: 351 }]);
  expect(await marks()).toBe(10);
  await app.query("update big set at = at + interval '90 days' where id = 2");
  expect(await marks()).toBe(10);
  await expect(app.query("insert into marks (big_id, big_at) values (2, now())")).rejects.toThrow("of_big");
  // A key that is checked late may come before its row: the old table, which is kept equal, waits too.
  await app.query(
    "begin; set constraints late deferred; insert into big (tenant, late) values (1, 3); insert into tenants values (3); commit",
  );
  await app.query("delete from big where late = 3");
  expect((await app.query("select count(*)::int as n from cheap")).rows).toEqual([{ n: 5 }]);

  await admin.query("select ladder.undo_conversion('big')");
  expect(await kind("big")).toBe("r");
  expect((await app.query("select count(*)::int as n from big")).rows).toEqual([{ n: 351 }]);
  expect(await asked()).toEqual([10, "l2", "l2"]);
  await driver.settle();
  expect(await anatomy(admin, "big")).toEqual(before);
  expect(await leftovers()).toEqual([]);
  // Another session: this one still has values of the old sequence in reserve, which nobody else is given.
  await held.query("insert into big (tenant, price) values (1, 2)");
  const later = (await app.query("select serial_two::int from big where price = 2 and label = 'none'")).rows[0];
  expect(later.serial_two).toBeGreaterThan(drawn.serial_two);

  await admin.query("select ladder.resume_conversion('big')");
  await driver.settle();
  const kept = await contents("big");
  expect(await admin.query("select ladder.finish_conversion('big') as said")).toMatchObject({
    rows: [{ said: "public.big: the old table is dropped" }],
  });
  expect(await admin.query("select ladder.finish_conversion('big') as said")).toMatchObject({
    rows: [{ said: "public.big: finished already" }],
  });
  expect(await leftovers()).toEqual([]);
  expect(await anatomy(admin, "big")).toEqual(before);
  expect(await asked()).toEqual([10, "l2", "l2"]);

  driver.tables = { big: { plain: true } };
  await driver.settle();
  await admin.query("select ladder.finish_conversion('big')");
  expect(await kind("big")).toBe("r");
  expect(await anatomy(admin, "big")).toEqual(before);
  expect(await contents("big")).toEqual(kept);
  expect(await asked()).toEqual([10, "l2", "l2"]);
  expect(await leftovers()).toEqual([]);
  expect((await admin.query("select reloptions from pg_class where oid = 'big'::regclass")).rows[0].reloptions).toEqual([
    "fillfactor=80",
    "autovacuum_vacuum_scale_factor=0.02",
  ]);
  expect((await admin.query("select count(*)::int as n from pg_class where relname like 'big\\_p2%'")).rows).toEqual([{ n: 0 }]);
});

const partitions = async (table: string): Promise<string[]> =>
  (
    await admin.query<{ line: string }>(
      `select c.oid::regclass || ' ' || pg_get_expr(c.relpartbound, c.oid) || ' ' || (select count(*) from pg_class k where false) as line
         from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = $1::regclass order by 1`,
      [table],
    )
  ).rows.map(({ line }) => line.replace(/ 0$/, ""));

test("by list and by hash", async () => {
  await app.query(`create table threads (id bigint primary key, region text not null); create table users (id uuid primary key default gen_random_uuid(), name text);
    insert into threads select n, (array['US', 'EU', 'D''E', 'elsewhere'])[1 + n % 4] from generate_series(1, 400) n;
    insert into users (name) select 'u' || n from generate_series(1, 400) n`);
  const before = [await contents("threads"), await contents("users")];
  const tables: Tables = {
    threads: { partition: { by: "region", list: { us: ["US"], europe: ["EU", "D'E"] } } },
    users: { partition: { by: "id", hash: 4 } },
  };
  await new Driver(here.db, tables).settle();
  expect(await partitions("threads")).toEqual([
    "threads_default DEFAULT",
    "threads_europe FOR VALUES IN ('EU', 'D''E')",
    "threads_us FOR VALUES IN ('US')",
  ]);
  expect(await partitions("users")).toEqual([0, 1, 2, 3].map((n) => `users_${n} FOR VALUES WITH (modulus 4, remainder ${n})`));
  expect([await contents("threads"), await contents("users")]).toEqual(before);
  expect((await app.query("select count(*)::int as n from threads_default")).rows).toEqual([{ n: 100 }]);
});

test("by day, week, quarter and year; of a date and of a timestamp; rows far ahead and without an end", async () => {
  await app.query(
    "create table days (on_day date not null, id int, primary key (id, on_day)); create table weeks (at timestamp not null, id int, primary key (id, at))",
  );
  await app.query("create table quarters (like weeks including all); create table years (like weeks including all)");
  await app.query("insert into days select current_date - 3, 1 union all select current_date + 9, 2 union all select 'infinity', 3");
  for (const table of ["weeks", "quarters", "years"])
    await app.query(`insert into ${table} values ('2025-12-31 23:59:59.999999', 1), ('2026-01-01', 2)`);
  const every = (by: string, period: "day" | "week" | "quarter" | "year") => ({ partition: { by, every: period, ahead: 2 } });
  await new Driver(here.db, {
    days: every("on_day", "day"),
    weeks: every("at", "week"),
    quarters: every("at", "quarter"),
    years: every("at", "year"),
  }).settle();
  // 13 days with rows at their ends, and the default partition.
  expect(await partitions("days")).toHaveLength(14);
  expect((await app.query("select id from days_default")).rows).toEqual([{ id: 3 }]);
  expect((await partitions("weeks")).slice(1, 3)).toEqual([
    "weeks_p20251229 FOR VALUES FROM ('2025-12-29 00:00:00') TO ('2026-01-05 00:00:00')",
    "weeks_p20260105 FOR VALUES FROM ('2026-01-05 00:00:00') TO ('2026-01-12 00:00:00')",
  ]);
  expect((await partitions("quarters")).slice(1, 3)).toEqual([
    "quarters_p20251001 FOR VALUES FROM ('2025-10-01 00:00:00') TO ('2026-01-01 00:00:00')",
    "quarters_p20260101 FOR VALUES FROM ('2026-01-01 00:00:00') TO ('2026-04-01 00:00:00')",
  ]);
  expect((await app.query("select tableoid::regclass::text as part, id from years order by 1")).rows).toEqual([
    { part: "years_p20250101", id: 1 },
    { part: "years_p20260101", id: 2 },
  ]);
});
