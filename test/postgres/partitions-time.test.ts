/**
 * What happens to partitions with time: runs of the upkeep that were missed, rows in default partitions, age. Dates are moved by what the tables
 * hold. Cannot prove: that pg_cron calls it on a stack's primary after a fail-over.
 */
import type { Client } from "pg";
import { beforeEach, describe, expect, test } from "vitest";
import { bench } from "../support/migrations.ts";
import { declare, LOGS, month, named, partitionsOf, rowsIn } from "./partitions.ts";

const here = bench();
let admin: Client;

beforeEach(async () => {
  admin = await here.db.connect();
});

const upkeep = () => admin.query("call ladder.maintain_partitions()");
const events = async (what: string) =>
  (
    await admin.query<{ line: string }>(
      "select concat_ws(' ', relation, partition, moved_rows, case what when 'failed' then detail end) as line from ladder.partition_event where what = $1 order by id",
      [what],
    )
  ).rows.map((row) => row.line);
const problems = async () =>
  (
    await admin.query<{ line: string }>("select object || ' ' || level || ' ' || problem as line from ladder.partition_problems order by 1")
  ).rows.map((row) => row.line);

describe("missed runs", () => {
  test("months without a run: every row is kept, is moved to its month, and nothing is left in the default partition", async () => {
    await admin.query(LOGS);
    await declare(admin, { logs: { partition: { by: "at" } } });
    // The job stops: the partitions of the months since then were never made.
    for (const m of [0, 1, 2, 3]) await admin.query(`drop table ${named("logs", m)}`);
    const app = await here.db.connect("app");
    await app.query(
      `insert into logs (at, body) select $1::timestamptz + n * interval '4 hours', n::text from generate_series(0, 1499) n`,
      [month(-4)],
    );
    expect(await rowsIn(admin, "logs")).toEqual({ logs_default: 1500 });
    expect(await problems()).toEqual([
      "public.logs critical no partition for now: rows go into the default partition",
      "public.logs warning rows in its default partition: 1500",
    ]);
    const digest = "select md5(string_agg(l::text, '|' order by id)) as digest from logs l";
    const before = (await admin.query(digest)).rows;
    await upkeep();
    expect((await admin.query(digest)).rows).toEqual(before);
    expect((await admin.query("select count(*)::int as n from only logs_default")).rows).toEqual([{ n: 0 }]);
    const { rows: misplaced } = await admin.query(
      "select count(*)::int as n from logs where tableoid::regclass::text <> 'logs_p' || to_char(date_trunc('month', at, 'UTC') at time zone 'UTC', 'YYYYMMDD')",
    );
    expect(misplaced).toEqual([{ n: 0 }]);
    const drained = await events("drained");
    expect(drained.reduce((sum, line) => sum + Number(line.split(" ")[2]), 0)).toBe(1500);
    expect(await problems()).toEqual([]);
  });

  test("rows far ahead and long ago get their months; rows without a time stay and are seen", async () => {
    await admin.query("create table n (at timestamptz, body text) partition by range (at)");
    await declare(admin, { n: { partition: { by: "at" } } });
    await admin.query("insert into n values ('2040-05-31 23:59:59.999999+00'), ('1999-12-31'), ('infinity'), (null)");
    await upkeep();
    expect(await rowsIn(admin, "n")).toEqual({ n_default: 2, n_p19991201: 1, n_p20400501: 1 });
    expect(await problems()).toEqual(["public.n warning rows in its default partition: 2"]);
  });

  test("a move fires no trigger and deletes nothing that refers to the rows", async () => {
    await admin.query(`${LOGS}
      create table notes (log bigint, at timestamptz, foreign key (log, at) references logs on delete cascade);
      create table fired (what text);
      create function fire() returns trigger language plpgsql as $$ begin insert into fired values (tg_op); return null; end $$;
      create trigger t after insert or delete on logs for each row execute function fire()`);
    await declare(admin, { logs: { partition: { by: "at" } } });
    await admin.query("insert into logs (at) values ('2030-01-05'); insert into notes select id, at from logs; truncate fired");
    await upkeep();
    expect(await rowsIn(admin, "logs")).toEqual({ logs_p20300101: 1 });
    expect(
      (await admin.query("select (select count(*)::int from notes) as notes, (select count(*)::int from fired) as fired")).rows,
    ).toEqual([{ notes: 1, fired: 0 }]);
    await admin.query("delete from logs");
    expect(
      (await admin.query("select (select count(*)::int from notes) as notes, (select count(*)::int from fired) as fired")).rows,
    ).toEqual([{ notes: 0, fired: 1 }]);
  });

  test("expressions of the application run without the platform's rights, also under forced row security", async () => {
    await admin.query(`${LOGS}
      set role app;
      create function seen(text) returns boolean language plpgsql as $$
      begin
        if exists (select from pg_roles where rolname = current_user and rolsuper) then raise exception 'runs as %', current_user; end if;
        begin execute 'reset role'; execute 'set role ladder_admin'; exception when others then return true; end;
        raise exception 'became %', current_user;
      end $$;
      alter table logs enable row level security, force row level security;
      reset role`);
    await declare(admin, { logs: { partition: { by: "at" } } });
    await admin.query(
      "insert into logs (at, body) values ('2030-01-05', 'x'); alter table logs add constraint watched check (seen(body)) not valid",
    );
    await upkeep();
    expect(await events("failed")).toEqual([]);
    expect(await rowsIn(admin, "logs")).toEqual({ logs_p20300101: 1 });
  });

  test("one table's error is seen and does not stop the others", async () => {
    await admin.query(`${LOGS.replaceAll("logs", "c_logs")} ${LOGS.replaceAll("logs", "b_logs")} create table b_logs_p20300101 (x int)`);
    await declare(admin, { c_logs: { partition: { by: "at" } }, b_logs: { partition: { by: "at" } } });
    await admin.query("insert into c_logs (at) values ('2030-02-05'); insert into b_logs (at) values ('2030-01-05')");
    await upkeep();
    const taken =
      "public.b_logs_p20300101: got a relation of this name that is no partition of public.b_logs for these values, want the name free";
    expect(await rowsIn(admin, "c_logs")).toEqual({ c_logs_p20300201: 1 });
    expect(await rowsIn(admin, "b_logs")).toEqual({ b_logs_default: 1 });
    expect(await events("failed")).toEqual([`public.b_logs ${taken}`]);
    expect((await problems()).map((line) => line.replace(/since [-0-9: +]*:/, "since …:"))).toEqual([
      "public.b_logs warning rows in its default partition: 1",
      `public.b_logs warning upkeep fails since …: ${taken}`,
    ]);
    await admin.query("drop table b_logs_p20300101");
    await upkeep();
    expect(await rowsIn(admin, "b_logs")).toEqual({ b_logs_p20300101: 1 });
    expect(await problems()).toEqual([]);
  });

  test("writers of the month that is drained wait, and none of them fails", async () => {
    await admin.query(LOGS);
    await declare(admin, { logs: { partition: { by: "at" } } });
    await admin.query(`drop table ${named("logs", 0)}; insert into logs (at) select now() from generate_series(1, 20000)`);
    let stop = false;
    const writers = [1, 2, 3, 4].map(async () => {
      const app = await here.db.connect("app");
      let written = 0;
      for (; !stop; written++) await app.query("insert into logs (at) values (now())");
      return written;
    });
    for (let run = 0; run < 20 && (await rowsIn(admin, "logs")).logs_default !== undefined; run++) await upkeep();
    stop = true;
    const written = (await Promise.all(writers)).reduce((a, b) => a + b);
    expect(await rowsIn(admin, "logs")).toEqual({ [named("logs", 0)]: 20_000 + written });
    expect(await events("created")).toHaveLength(6);
  });

  test("a busy table is tried again and keeps its rows; a second run ends at once", async () => {
    await admin.query(LOGS);
    await declare(admin, { logs: { partition: { by: "at" } } });
    const app = await here.db.connect("app");
    await app.query("begin; insert into logs (at) values ('2030-01-05')");
    const running = upkeep();
    const other = await here.db.connect();
    await other.query("select pg_sleep(0.3)");
    await app.query("insert into logs (at) values ('2030-01-06'); commit");
    await running;
    await upkeep();
    expect(await rowsIn(admin, "logs")).toEqual({ logs_p20300101: 2 });
    await other.query("begin; select pg_advisory_xact_lock(1818322020, 20)");
    const notices: string[] = [];
    admin.on("notice", (notice) => notices.push(notice.message ?? ""));
    await upkeep();
    expect(notices).toEqual(["upkeep of partitions: another run is at work"]);
  });
});

describe("age", () => {
  test("old partitions are detached when their last row is old enough, and dropped after the grace", async () => {
    await admin.query(`${LOGS}
      create table ancient partition of logs for values from ('2001-01-01') to ('2002-01-01');
      create table wide partition of logs for values from ('2003-01-01') to ('${month(-5).toISOString()}');`);
    await admin.query("insert into logs (at) values ('2001-06-01'), ('2003-06-01')");
    await declare(admin, { logs: { partition: { by: "at", keep: "10 months" } } });
    await upkeep();
    expect(await partitionsOf(admin, "logs")).not.toContain("ancient");
    expect(await partitionsOf(admin, "logs")).toContain("wide");
    expect(await events("detached")).toEqual(["public.logs public.ancient"]);
    const { rows } = await admin.query<{ partition: string; was: string }>("select partition, was from ladder.detached_partition");
    expect(rows).toEqual([{ partition: expect.stringMatching(/^public\.ancient_detached_\d{14}$/), was: "public.ancient" }]);
    expect((await admin.query(`select count(*)::int as n from ${rows[0]?.partition}`)).rows).toEqual([{ n: 1 }]);
    await admin.query(
      "update ladder.declared_table set detached_for = null; update ladder.detached_partition set detached_at = now() - interval '1 year'",
    );
    await upkeep();
    expect(await events("dropped")).toEqual([]);
    await admin.query("update ladder.declared_table set detached_for = '7 days'");
    await declare(admin, { logs: { partition: { by: "at", keep: "10 months" } } });
    await upkeep();
    expect(await events("dropped")).toEqual(["public.logs public.ancient"]);
    expect((await admin.query("select to_regclass($1) as left", [rows[0]?.partition])).rows).toEqual([{ left: null }]);
    expect((await admin.query("select count(*)::int as n from ladder.detached_partition")).rows).toEqual([{ n: 0 }]);
  });

  test("late rows of a detached month come again into a partition, and go the same way", async () => {
    await admin.query(`${LOGS} create table logs_p20010101 partition of logs for values from ('2001-01-01Z') to ('2001-02-01Z')`);
    await declare(admin, { logs: { partition: { by: "at", keep: "10 months" } } });
    await upkeep();
    await admin.query("insert into logs (at) values ('2001-01-15')");
    await admin.query("select pg_sleep(1)");
    await upkeep();
    expect(await events("detached")).toEqual(["public.logs public.logs_p20010101", "public.logs public.logs_p20010101"]);
    expect((await admin.query("select count(*)::int as n from ladder.detached_partition")).rows).toEqual([{ n: 2 }]);
  });
});
