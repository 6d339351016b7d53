/** A converted table is in everything else what it was: compared line by line in the catalogs, forth, back, and whole again. */
import type { Client } from "pg";
import { beforeEach, expect, test } from "vitest";
import { bench } from "../support/migrations.ts";
import { Driver, stateOf, type Tables } from "./convert-driver.ts";

const here = bench();
let app: Client;
let admin: Client;

beforeEach(async () => {
  app = await here.db.connect("app");
  admin = await here.db.connect();
});

/** Everything that PostgreSQL knows about a table, without what only a partitioned one has. */
async function anatomy(table: string): Promise<string[]> {
  const { rows } = await admin.query<{ line: string }>(
    `with t as (select * from pg_class where oid = $1::regclass)
     select concat_ws(' ', 'table', relowner::regrole, relacl, relrowsecurity, relforcerowsecurity, obj_description(oid, 'pg_class')) as line from t
     union all select concat_ws(' ', 'column', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage, attcompression,
       attstattarget, array(select o from unnest(attoptions) o where o like 'n\\_distinct%'), attacl, attcollation::regcollation, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
       from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum where attrelid = $1::regclass and attnum > 0 and not attisdropped
     union all select concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
       from pg_constraint where conrelid = $1::regclass and contype <> 't'
     union all select concat_ws(' ', 'index', replace(pg_get_indexdef(indexrelid), 'ONLY ', ''), obj_description(indexrelid, 'pg_class')) from pg_index where indrelid = $1::regclass
     union all select concat_ws(' ', 'trigger', tgenabled::text, pg_get_triggerdef(oid), obj_description(oid, 'pg_trigger')) from pg_trigger
       where tgrelid = $1::regclass and not tgisinternal and tgname not like 'ladder%'
     union all select concat_ws(' ', 'policy', polname, polcmd::text, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
       from pg_policy where polrelid = $1::regclass
     union all select concat_ws(' ', 'statistics', pg_get_statisticsobjdef(oid)) from pg_statistic_ext where stxrelid = $1::regclass
     union all select concat_ws(' ', 'sequence', s.oid::regclass, s.relacl, d.deptype::text, a.attname, q.seqincrement, q.seqcache, q.seqmax)
       from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S' join pg_sequence q on q.seqrelid = s.oid
       join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid where d.refobjid = $1::regclass
     union all select concat_ws(' ', 'view', v.oid::regclass, v.relowner::regrole, v.relacl, v.reloptions, pg_get_viewdef(v.oid)) from pg_class v
       where v.oid in (select ev_class from pg_depend join pg_rewrite r on r.oid = objid where refobjid = $1::regclass)
     order by 1`,
    [table],
  );
  return rows.map(({ line }) => line);
}

const kind = async (table: string): Promise<string> =>
  (await admin.query<{ kind: string }>("select relkind::text as kind from pg_class where oid = $1::regclass", [table])).rows[0]!.kind;

const contents = async (table: string): Promise<string[]> =>
  (await admin.query<{ row: string }>(`select t::text as row from ${table} t order by 1`)).rows.map(({ row }) => row);

/** Schemas and triggers of conversions that are over. */
const leftovers = async (): Promise<string[]> =>
  (
    await admin.query<{ name: string }>(
      `select nspname as name from pg_namespace where nspname like 'ladder\\_%'
       union all select tgname || ' on ' || tgrelid::regclass from pg_trigger where tgname like 'ladder\\_%'`,
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
create view cheap with (security_barrier, check_option = local) as select id, at, price from big where price < 10;
grant select on cheap to app_ro;
insert into big (at, tenant, price, label, body) select '2026-01-01Z'::timestamptz + n * interval '7 hours', 1 + n % 2, n, 'l' || n, repeat('x', n % 50) from generate_series(1, 700) n;
`;

test("everything of a table is kept: partitioned, undone, partitioned, finished, whole again", async () => {
  await app.query(EVERYTHING);
  const before = await anatomy("big");
  const rows = await contents("big");
  const seen = (await contents("seen")).length;
  const driver = new Driver(here.db, { big: { partition: { by: "at" } } });

  await driver.settle();
  expect(driver.log.filter((line) => line.includes("failed"))).toEqual([]);
  expect(await kind("big")).toBe("p");
  expect(await anatomy("big")).toEqual(before);
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
  await app.query("delete from tenants where id = 2");
  expect((await app.query("select count(*)::int as n from big")).rows).toEqual([{ n: 351 }]);
  expect((await app.query("select count(*)::int as n from cheap")).rows).toEqual([{ n: 6 }]);

  await admin.query("select ladder.undo_conversion('big')");
  expect(await kind("big")).toBe("r");
  expect(await anatomy("big")).toEqual(before);
  expect((await app.query("select count(*)::int as n from big")).rows).toEqual([{ n: 351 }]);
  await driver.settle();
  expect(await leftovers()).toEqual([]);
  await app.query("insert into big (tenant, price) values (1, 2)");
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
  expect(await anatomy("big")).toEqual(before);

  driver.tables = { big: { plain: true } };
  await driver.settle();
  await admin.query("select ladder.finish_conversion('big')");
  expect(await kind("big")).toBe("r");
  expect(await anatomy("big")).toEqual(before);
  expect(await contents("big")).toEqual(kept);
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

test("a schema that was not written here: one declaration, nothing else", async () => {
  await app.query(`
    create schema "crmData";
    create type "crmData"."EventKind" as enum ('pageView', 'signUp', 'order Placed');
    create domain "crmData"."Money" as numeric(12, 2) check (value >= 0);
    create table "crmData"."Account" ("accountId" uuid primary key default gen_random_uuid(), "displayName" varchar(100) not null);
    create table "crmData"."EventLog" (
      "eventId" integer generated by default as identity,
      "accountId" uuid not null references "crmData"."Account" ("accountId"),
      "occurredAt" timestamp without time zone not null default (now() at time zone 'utc'),
      "kind" "crmData"."EventKind" not null, "order" "crmData"."Money", "user Agent" varchar(255), "payload" jsonb not null default '{}',
      "tags" text[], constraint "PK_EventLog" primary key ("eventId"));
    create index "IX_EventLog_accountId_occurredAt" on "crmData"."EventLog" ("accountId", "occurredAt" desc) include ("kind");
    create index "IX_EventLog_payload" on "crmData"."EventLog" using gin ("payload");
    create index "IX_lower" on "crmData"."EventLog" (lower("user Agent") varchar_pattern_ops);
    create function "crmData"."setAgent"() returns trigger language plpgsql as $f$ begin new."user Agent" := coalesce(new."user Agent", 'unknown'); return new; end $f$;
    create trigger "TR_EventLog setAgent" before insert on "crmData"."EventLog" for each row execute function "crmData"."setAgent"();
    create view "crmData"."RecentOrders" as select e."eventId", a."displayName", e."order" from "crmData"."EventLog" e join "crmData"."Account" a using ("accountId")
      where e."kind" = 'order Placed';
    insert into "crmData"."Account" ("displayName") select 'Account ' || n from generate_series(1, 20) n;
    insert into "crmData"."EventLog" ("accountId", "occurredAt", "kind", "order", "payload", "tags")
      select (select "accountId" from "crmData"."Account" offset n % 20 limit 1), timestamp '2024-11-30 22:00' + n * interval '37 minutes',
        (array['pageView', 'signUp', 'order Placed'])[1 + n % 3]::"crmData"."EventKind", n / 7.0, jsonb_build_object('n', n), array['a', n::text]
      from generate_series(1, 20000) n`);
  const table = '"crmData"."EventLog"';
  const before = await anatomy(table);
  const rows = await contents(table);
  const driver = new Driver(here.db, { "crmData.EventLog": { partition: { by: "occurredAt" } } });
  await driver.settle();
  expect(await stateOf(admin, "EventLog")).toMatchObject({ state: "kept", error: null });
  expect(await kind(table)).toBe("p");
  expect(await contents(table)).toEqual(rows);
  const key = (text: string) => text.replace('("eventId")', '("eventId", "occurredAt")');
  expect(await anatomy(table)).toEqual(before.map((line) => (line.includes("PK_EventLog") ? key(line) : line)));
  const { rows: plan } = await app.query(
    `explain (format json) select count(*) from ${table} where "occurredAt" >= '2025-02-01' and "occurredAt" < '2025-03-01'`,
  );
  expect(JSON.stringify(plan).match(/EventLog_p\d+/g)).toEqual(["EventLog_p20250201"]);
  expect((await app.query('select count(*)::int as n from "crmData"."RecentOrders"')).rows).toEqual([{ n: 6666 }]);
});
