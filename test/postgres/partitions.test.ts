/** Declared tables get their partitions: ranges, lists and hashes, rights and settings, by hand; real PostgreSQL 17 with pg_partman and pg_cron. */
import type { Client } from "pg";
import { beforeEach, describe, expect, test } from "vitest";
import { applyPlatform, bench } from "../support/migrations.ts";
import { declare, LOGS, month, named, partitionsOf, rowsIn } from "./partitions.ts";

const here = bench();
let admin: Client;

beforeEach(async () => {
  admin = await here.db.connect();
});

const upkeep = () => admin.query("call ladder.maintain_partitions()");
const problems = async () =>
  (
    await admin.query<{ line: string }>("select object || ' ' || level || ' ' || problem as line from ladder.partition_problems order by 1")
  ).rows.map((row) => row.line);

describe("declaring", () => {
  test("tables that are not there are one warning, and what is no longer declared is forgotten", async () => {
    await admin.query(LOGS);
    const first = await declare(admin, {
      logs: { partition: { by: "at", keep: "2 quarters" }, autovacuum: "hot" },
      gone: {},
      "x.lost": {},
    });
    expect(first).toEqual([
      "tables: gone, x.lost: got no such table, want what is declared under tables in the schema's folder",
      "tables: public.logs: 5 partitions made",
    ]);
    const { rows } = await admin.query(
      "select relation, kind, partition_column, every, ahead, keep::text, autovacuum from ladder.declared_table where name = 'logs'",
    );
    expect(rows).toEqual([
      { relation: "public.logs", kind: "range", partition_column: "at", every: "month", ahead: 3, keep: "6 mons", autovacuum: "hot" },
    ]);
    expect(await declare(admin, { gone: { shardBy: "id" } })).toEqual([
      "tables: gone: got no such table, want what is declared under tables in the schema's folder",
    ]);
    const left = await admin.query(
      "select (select count(*)::int from partman.part_config) as known, (select string_agg(name, ',') from ladder.declared_table) as names",
    );
    expect(left.rows).toEqual([{ known: 0, names: "gone" }]);
    expect(await partitionsOf(admin, "logs")).toHaveLength(5);
  });

  test("changes of ahead, every and keep take effect, twice is as once", async () => {
    await admin.query(LOGS);
    await declare(admin, { logs: { partition: { by: "at" } } });
    expect(await partitionsOf(admin, "logs")).toEqual(["logs_default", ...[0, 1, 2, 3].map((m) => named("logs", m))].sort());
    const config =
      "select control, partition_interval, premake, retention, retention_keep_table, infinite_time_partitions, automatic_maintenance from partman.part_config";
    expect((await admin.query(config)).rows).toEqual([
      {
        control: "at",
        partition_interval: "1 mon",
        premake: 3,
        retention: null,
        retention_keep_table: true,
        infinite_time_partitions: true,
        automatic_maintenance: "off",
      },
    ]);
    expect(await declare(admin, { logs: { partition: { by: "at" } } })).toEqual([]);
    expect(await declare(admin, { logs: { partition: { by: "at", ahead: 5, keep: "1 year" } } })).toEqual([
      "tables: public.logs: 2 partitions made",
    ]);
    expect((await admin.query("select premake, retention from partman.part_config")).rows).toEqual([{ premake: 5, retention: "1 year" }]);
    expect(await problems()).toEqual([]);
  });

  test("a table that is partitioned otherwise is not touched, and it is said", async () => {
    await admin.query(
      "create table logs (id bigint, at timestamptz) partition by range (id); create table n (at bigint) partition by range (at)",
    );
    expect(await declare(admin, { logs: { partition: { by: "at" } }, n: { partition: { by: "at" } } })).toEqual([
      "tables: public.logs is not kept: public.logs: got a table partitioned by RANGE (id), want RANGE (at)",
      "tables: public.n is not kept: public.n: got column at of type bigint, want date, timestamp or timestamptz",
    ]);
    expect(await problems()).toEqual([
      "public.logs warning public.logs: got a table partitioned by RANGE (id), want RANGE (at)",
      "public.n warning public.n: got column at of type bigint, want date, timestamp or timestamptz",
    ]);
  });
});

test("the job is there once, also after a second up, and keeps the schedule that it was given", async () => {
  const app = await here.server.createDatabase({ name: "app" });
  await applyPlatform(app);
  const client = await app.connect();
  await client.query(LOGS);
  await declare(client, { logs: { partition: { by: "at" } } });
  await client.query("insert into logs (at) values ('2030-01-05'), ('2030-02-05')");
  await client.query("select cron.alter_job(jobid, schedule => '1 seconds') from cron.job");
  await declare(client, { logs: { partition: { by: "at" } } });
  const { rows } = await client.query("select jobname, schedule, command, username, database from cron.job");
  const command = "call ladder.maintain_partitions()";
  expect(rows).toEqual([{ jobname: "ladder-partitions", schedule: "1 seconds", command, username: "ladder_admin", database: "app" }]);
  await expect
    .poll(async () => rowsIn(client, "logs"), { timeout: 30_000, interval: 200 })
    .toEqual({ logs_p20300101: 1, logs_p20300201: 1 });
});

describe("ahead", () => {
  test("partitions of any name and length are built around", async () => {
    const middle = new Date(month(1).getTime() + 9 * 86_400_000).toISOString();
    await admin.query(`${LOGS}
      create table old partition of logs for values from (minvalue) to ('${month(0).toISOString()}');
      create table odd partition of logs for values from ('${month(0).toISOString()}') to ('${middle}')`);
    await declare(admin, { logs: { partition: { by: "at", ahead: 2 } } });
    const rest = `logs_p${middle.slice(0, 10).replaceAll("-", "")}`;
    expect(await partitionsOf(admin, "logs")).toEqual(["old", "odd", "logs_default", rest, named("logs", 2)].sort());
    await admin.query("insert into logs (at) values ('2001-01-01'), ($1), ($2), ($3)", [month(0), middle, month(2)]);
    expect(await rowsIn(admin, "logs")).toEqual({ odd: 1, old: 1, [rest]: 1, [named("logs", 2)]: 1 });
    await upkeep();
    expect(await problems()).toEqual([]);
  });

  test.each(["day", "week", "quarter", "year"] as const)("a partition each %s, on date and timestamp", async (every) => {
    await admin.query("create table d (at date) partition by range (at); create table t (at timestamp) partition by range (at)");
    await declare(admin, { d: { partition: { by: "at", every } }, t: { partition: { by: "at", every } } });
    const { rows } = await admin.query(
      `select count(*)::int as n, min(lower(span)) = date_trunc($1, now(), 'UTC') as from_now, bool_and(upper(span) = lower(span) + ladder.period($1)) as whole
       from ladder.partition_spans('d') union all
       select count(*)::int, min(lower(span)) = date_trunc($1, now(), 'UTC'), bool_and(upper(span) = lower(span) + ladder.period($1))
       from ladder.partition_spans('t')`,
      [every],
    );
    expect(rows).toEqual(Array(2).fill({ n: 4, from_now: true, whole: true }));
  });

  test("new partitions are their owner's, granted, indexed and tuned like their siblings, and closed where the table is", async () => {
    await admin.query(`${LOGS}
      create table first partition of logs for values from ('2020-01-01') to ('2020-02-01')
        with (autovacuum_vacuum_scale_factor = 0.01, fillfactor = 80, toast.autovacuum_vacuum_threshold = 7);
      create role auditor login; grant select on logs to auditor with grant option;
      alter table logs enable row level security; alter table logs replica identity full`);
    await declare(admin, { logs: { partition: { by: "at", ahead: 1 } } });
    const { rows } = await admin.query(
      `select c.oid::regclass::text as name, relowner::regrole::text as owner, reloptions, relreplident, relrowsecurity,
         (select reloptions from pg_class t where t.oid = c.reltoastrelid) as toast,
         (select count(*)::int from pg_index where indrelid = c.oid) as indexes,
         has_table_privilege('app_ro', c.oid, 'select') as app_ro, has_table_privilege('app_rw', c.oid, 'insert, update, delete') as app_rw,
         has_table_privilege('app_ro', c.oid, 'insert') as app_ro_writes, has_table_privilege('auditor', c.oid, 'select with grant option') as auditor
       from pg_class c where c.oid in ($1::regclass, $2::regclass, 'logs_default'::regclass) order by 1`,
      [named("logs", 0), named("logs", 1)],
    );
    expect(rows).toEqual(
      ["logs_default", named("logs", 0), named("logs", 1)].map((name) => ({
        name,
        owner: "app",
        reloptions: ["autovacuum_vacuum_scale_factor=0.01", "fillfactor=80"],
        toast: ["autovacuum_vacuum_threshold=7"],
        relreplident: "f",
        relrowsecurity: true,
        indexes: 2,
        app_ro: true,
        app_rw: true,
        app_ro_writes: false,
        auditor: true,
      })),
    );
    const app = await here.db.connect("app");
    await app.query("insert into logs (at, body) values (now(), 'a')");
    expect((await app.query("select loud from logs")).rows).toEqual([{ loud: "A" }]);
    await app.query(`truncate ${named("logs", 1)}`);
  });
});

describe("by hand", () => {
  test("create_monthly_partition, of a table that nothing is declared about, with rows in its default partition", async () => {
    await admin.query(`${LOGS} create table rest partition of logs default;
      insert into logs (at) values ('2027-03-01 00:00:00Z'), ('2027-03-31 23:59:59Z'), ('2027-04-01 00:00:00Z')`);
    const make = "select ladder.create_monthly_partition('logs', '2027-03-17')::text as made";
    expect((await admin.query(make)).rows).toEqual([{ made: "logs_p20270301" }]);
    expect(await rowsIn(admin, "logs")).toEqual({ logs_p20270301: 2, rest: 1 });
    expect((await admin.query(make)).rows).toEqual([]);
    await expect(
      admin.query("create table whole (at date); select ladder.create_monthly_partition('whole', '2027-03-17')"),
    ).rejects.toThrow("whole: got a whole table, want a table partitioned by range of one date, timestamp or timestamptz");
  });

  test("the view names partitions, what they hold, how far the table reaches and when age takes them", async () => {
    await admin.query(LOGS);
    await declare(admin, { logs: { partition: { by: "at", ahead: 1, keep: "6 months" } } });
    await admin.query("insert into logs (at) values ('2030-01-01'); analyze logs");
    const monitor = await here.db.connect("ladder_monitor");
    const { rows } = await monitor.query(
      "select partition, rows_in_default::int, rows_estimated::int, is_default, ahead_until, detached_from, total_bytes > 0 as sized from ladder.partitions",
    );
    const common = { rows_in_default: null, rows_estimated: 0, is_default: false, ahead_until: month(2), sized: true };
    expect(rows).toEqual([
      { ...common, partition: `public.${named("logs", 0)}`, detached_from: month(7) },
      { ...common, partition: `public.${named("logs", 1)}`, detached_from: month(8) },
      { ...common, partition: "public.logs_default", rows_in_default: 1, rows_estimated: 1, is_default: true, detached_from: null },
    ]);
    expect((await monitor.query("select problem, level, fix from ladder.partition_problems")).rows).toEqual([
      { problem: "rows in its default partition: 1", level: "warning", fix: "call ladder.maintain_partitions('public.logs')" },
    ]);
  });
});

describe("lists and hashes", () => {
  test("declared lists are made, with a default partition, and take over their rows from it", async () => {
    await admin.query(
      "create table threads (id bigint, region text) partition by list (region); create table mine partition of threads for values in ('it''s', 'EU')",
    );
    const list = { us: ["US", "CA"], eu: ["EU"], asia: ["ASIA"] };
    await declare(admin, { threads: { partition: { by: "region", list } } });
    expect(await partitionsOf(admin, "threads")).toEqual(["mine", "threads_asia", "threads_default", "threads_us"]);
    await admin.query("insert into threads values (1, 'US'), (2, 'CA'), (3, 'ASIA'), (4, 'EU'), (5, 'MARS'), (6, null)");
    expect(await rowsIn(admin, "threads")).toEqual({ mine: 1, threads_asia: 1, threads_default: 2, threads_us: 2 });
    await declare(admin, { threads: { partition: { by: "region", list: { ...list, mars: ["MARS"] } } } });
    expect(await rowsIn(admin, "threads")).toEqual({ mine: 1, threads_asia: 1, threads_default: 1, threads_mars: 1, threads_us: 2 });
    await upkeep();
    expect(await problems()).toEqual([]);
  });

  test("declared hashes are made complete", async () => {
    await admin.query(
      "create table h (id bigint) partition by hash (id); create table one partition of h for values with (modulus 4, remainder 1)",
    );
    await declare(admin, { h: { partition: { by: "id", hash: 4 } } });
    expect(await partitionsOf(admin, "h")).toEqual(["h_0", "h_2", "h_3", "one"]);
    await admin.query("insert into h select generate_series(1, 1000)");
    expect(Object.values(await rowsIn(admin, "h")).reduce((a, b) => a + b)).toBe(1000);
    expect(await declare(admin, { h: { partition: { by: "id", hash: 4 } } })).toEqual([]);
  });
});
