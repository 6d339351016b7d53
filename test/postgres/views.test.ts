/** Every view of schema ladder is there for the monitor, and the advice on indexes finds each case that was made for it. Cannot prove: replicas. */
import { beforeAll, describe, expect, test } from "vitest";
import { VIEWS, viewName } from "../../cli/commands/views.ts";
import { applyPlatform } from "../support/migrations.ts";
import { admin, check, limit, rowsOf, server, soon, startViews } from "./views.ts";

startViews();

describe("every view", () => {
  test("is a command, says the same in one line, and is for the monitor, not for the application", async () => {
    const found = await rowsOf<{ name: string; comment: string | null; owner: string; monitor: boolean; app: boolean }>(
      `select c.relname as name, obj_description(c.oid, 'pg_class') as comment, c.relowner::regrole::text as owner,
         has_table_privilege('ladder_monitor', c.oid, 'select') as monitor, has_table_privilege('app', c.oid, 'select') as app
       from pg_class c where c.relnamespace = 'ladder'::regnamespace and c.relname = any ($1) order by 1`.replace(
        "$1",
        `array[${Object.keys(VIEWS)
          .map((name) => `'${viewName(name)}'`)
          .join(",")}]`,
      ),
      admin,
    );
    expect(found).toEqual(
      Object.entries(VIEWS)
        .filter(([, { from }]) => from === undefined)
        .map(([name, { what }]) => ({ name: viewName(name), comment: what, owner: "ladder_admin", monitor: true, app: false }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    );
  });

  test("answers in a database without pg_cron, and no check of health fails to be made", async () => {
    const other = await server.createDatabase();
    await applyPlatform(other);
    const client = await other.connect("ladder_monitor");
    for (const [name, { from }] of Object.entries(VIEWS))
      if (from === undefined) await client.query(`select * from ladder.${viewName(name)}`);
    expect((await client.query("select * from job_runs")).rows).toEqual([]);
    expect((await client.query(`select level, value from health where "check" = 'jobs' or value like 'cannot be checked%'`)).rows).toEqual([
      { level: "ok", value: null },
    ]);
    await client.end();
  });
});

describe("index advice", () => {
  const advice = () =>
    rowsOf<{ advice: string; table: string; index: string | null; reason: string; fix: string }>(
      `select advice, "table", "index", reason, fix from index_advice where "table" like 'public.%' and "table" <> 'public.parts'`,
    );

  beforeAll(async () => {
    await admin.query(`
      set role app;
      create table things (id bigint generated always as identity primary key, a int, b int, c text, d text);
      insert into things (a, b, c, d) select g, g % 10, 'c' || g, repeat('x', 40) from generate_series(1, 20000) g;
      create index things_ab on things (a, b);
      create index things_a on things (a);
      create index things_c on things (c);
      create index things_c_again on things (c);
      create index things_c_desc on things (c desc);
      create index things_d on things (d) where b = 3;
      create unique index things_unique on things (a, id);
      create table parents (id bigint primary key);
      insert into parents select generate_series(1, 10);
      create table children (id bigint primary key, parent_id bigint references parents, other_id bigint references parents);
      insert into children select g, g % 10 + 1, g % 10 + 1 from generate_series(1, 20000) g;
      create index children_other on children (other_id);
      create table parts (id bigint, at date, x int) partition by range (at);
      create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-02-01');
      create table parts_2 partition of parts for values from ('2026-02-01') to ('2026-03-01');
      create index parts_x on parts (x);
      create index parts_x_again on parts (x);
      reset role`);
    await admin.query("analyze");
  });

  test("duplicate, redundant, and a foreign key without an index; nothing else", async () => {
    expect(await advice()).toEqual([
      {
        advice: "duplicate",
        table: "public.things",
        index: "public.things_c_again",
        reason: "the same as public.things_c",
        fix: "drop index concurrently public.things_c_again",
      },
      {
        advice: "redundant",
        table: "public.things",
        index: "public.things_a",
        reason: expect.stringMatching(/^public\.things_(ab|unique) begins with the same columns$/),
        fix: "drop index concurrently public.things_a",
      },
      {
        advice: "missing",
        table: "public.children",
        index: null,
        reason: "foreign key children_parent_id_fkey has no index: deleting a row of public.parents reads the whole table",
        fix: "create index concurrently on public.children (parent_id)",
      },
    ]);
  });

  test("unused: not scanned on any node for thirty days, on a partitioned table as a whole", async () => {
    await admin.query("select ladder.note_index_use('primary')");
    expect((await advice()).filter((row) => row.advice === "unused")).toEqual([]);
    await admin.query("update ladder.index_use set first_seen = now() - interval '31 days'");
    const unused = async () =>
      (await rowsOf<{ index: string; fix: string }>("select \"index\", fix from index_advice where advice = 'unused' order by 1")).map(
        ({ index, fix }) => [index, fix],
      );
    const all = [
      ["public.children_other", "drop index concurrently public.children_other"],
      ["public.parts_x", "drop index public.parts_x"],
      ["public.things_ab", "drop index concurrently public.things_ab"],
      ["public.things_c", "drop index concurrently public.things_c"],
      ["public.things_c_desc", "drop index concurrently public.things_c_desc"],
      ["public.things_d", "drop index concurrently public.things_d"],
    ];
    expect(await unused()).toEqual(all);
    // A replica has used one, a query on this node another one.
    const seen = [
      { index: (await rowsOf<{ oid: number }>("select 'public.things_d'::regclass::oid as oid", admin))[0]!.oid, last_scan: new Date() },
    ];
    await admin.query("select ladder.note_index_use('main-2', $1)", [JSON.stringify(seen)]);
    await admin.query("set enable_seqscan = off; select * from parts where x = 1; reset enable_seqscan; select pg_stat_force_next_flush()");
    await soon(async () => ((await unused()).some(([index]) => index === "public.parts_x") ? undefined : true));
    expect(await unused()).toEqual(all.filter(([index]) => index !== "public.parts_x" && index !== "public.things_d"));
    await admin.query("delete from ladder.index_use");
  });

  test("missing: a large table that is read from end to end, with the statement that does", async () => {
    await limit("seq_scans", 5, 5);
    for (let i = 0; i < 6; i++) await admin.query("select count(*) from things where d = 'nothing'");
    await admin.query("select pg_stat_force_next_flush()");
    const found = await soon(async () => (await advice()).find((row) => row.advice === "missing" && row.table === "public.things"));
    expect(found.fix).toBe("create index concurrently on public.things (…)");
    expect(found.reason).toMatch(/^\d+ sequential scans read \d{5} rows each; most time: select count\(\*\) from things where d = \$1$/);
  });

  test("bloated: measured, named with what a rebuild gives back; a table as well", async () => {
    await limit("index_bloat_bytes", 100_000, 100_000);
    await admin.query("delete from things where a % 20 <> 0");
    await admin.query("vacuum things");
    await admin.query("call ladder.measure_bloat(0)");
    const bloated = (await advice()).filter((row) => row.advice === "bloated");
    expect(bloated.map(({ index }) => index)).toContain("public.things_ab");
    expect(bloated.find(({ index }) => index === "public.things_ab")).toMatchObject({
      reason: expect.stringMatching(/^a rebuild gives back \d+ kB of \d+ kB \(9\d\.\d %\), measured \d{4}-\d\d-\d\d$/),
      fix: "reindex index concurrently public.things_ab",
    });
    const [table] = await rowsOf<object>("select kind, method, bloat_percent > 80 as much from bloat where relation = 'public.things'");
    expect(table).toEqual({ kind: "table", method: "pgstattuple_approx", much: true });
    await admin.query("reindex index concurrently things_ab");
    await admin.query("call ladder.measure_bloat(0)");
    expect((await advice()).filter((row) => row.advice === "bloated").map(({ index }) => index)).not.toContain("public.things_ab");
  });

  test("invalid: a build that failed, and what a rebuild left behind", async () => {
    await expect(admin.query("create unique index concurrently things_broken on things (b)")).rejects.toThrow(
      "could not create unique index",
    );
    await admin.query("update pg_index set indisvalid = false where indexrelid = 'things_c_again'::regclass");
    await admin.query("alter index things_c_again rename to things_c_ccnew");
    const invalid = (await advice()).filter((row) => row.advice === "invalid").map(({ index, fix }) => [index, fix]);
    expect(invalid.sort()).toEqual([
      ["public.things_broken", "reindex index concurrently public.things_broken"],
      ["public.things_c_ccnew", "drop index concurrently public.things_c_ccnew"],
    ]);
    expect((await check("invalid indexes")).map(({ level, object }) => [level, object]).sort()).toEqual([
      ["warning", "public.things_broken"],
      ["warning", "public.things_c_ccnew"],
    ]);
    await admin.query("drop index things_broken, things_c_ccnew");
  });
});
