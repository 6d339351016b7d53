/**
 * Row security of tables that are declared with a tenant: every way across that we know is tried on real PostgreSQL 17, on its replica too.
 * One connection that runs one transaction after the other stands for the pooler. Cannot prove: the pooler itself, a managed server.
 */
import { describe, expect, test } from "vitest";
import { setTenant, withTenant } from "../../client/tenant.ts";
import { startStandby } from "../support/standby.ts";
import { ALL, admin, app, as, failure, here, login, settle, UUID, VIOLATED } from "./tenants-bench.ts";

describe("reading across", () => {
  test("each role sees the rows of its transaction's tenant, through the parent and a partition's own name", async () => {
    await admin.query("grant usage on schema shop to app_ro, app_rw");
    for (const role of ["app", "app_ro", "service"]) {
      const client = await login(role);
      for (const [table, tenant, count] of [
        ["notes", 1, "5"],
        ["notes", 2, "5"],
        ["notes", 3, "0"],
        ["notes", null, "0"],
        ["replies", 1, "1"],
        ["parts", UUID[0], "1"],
        ["parts_1", UUID[0], "1"],
        ["parts_1", null, "0"],
        ["named", "a", "1"],
        ["named", "A", "0"],
        ["shop.orders", "b", "1"],
        ["shop.orders", null, "0"],
      ] as const)
        expect([role, table, tenant, await as(client, tenant, `select count(*) from ${table}`)]).toEqual([role, table, tenant, [count]]);
    }
  });

  test("a setting that this transaction did not make is worth nothing", async () => {
    await app.query("begin");
    await setTenant(app, 1);
    const { rows } = await app.query("select current_setting('ladder.tenant') as stamped");
    await app.query("rollback");
    const { stamped } = rows[0];
    expect(stamped).toMatch(/^\d+\.\d{6} 1$/);
    for (const left of ["1", stamped, "' 1", " 1", ""]) {
      await app.query("select set_config('ladder.tenant', $1, false)", [left]);
      expect([left, await as(app, null, "select count(*) from notes")]).toEqual([left, ["0"]]);
    }
    await app.query(`set ladder.tenant = '${stamped}'`);
    expect((await app.query("select count(*) from notes")).rows).toEqual([{ count: "0" }]);
    expect(await as(app, 2, "select distinct tenant_id from notes")).toEqual(["2"]);
  });

  test("a session-level copy of a transaction's own setting does not outlive it", async () => {
    await app.query("begin");
    await setTenant(app, 1);
    await app.query("select set_config('ladder.tenant', current_setting('ladder.tenant'), false)");
    expect((await app.query("select count(*) from notes")).rows).toEqual([{ count: "5" }]);
    await app.query("commit");
    expect((await app.query("select count(*) from notes")).rows).toEqual([{ count: "0" }]);
  });

  test("set_tenant outside of a transaction holds for nothing; savepoints take it back; an empty tenant is refused", async () => {
    await setTenant(app, 1);
    expect((await app.query("select count(*) from notes")).rows).toEqual([{ count: "0" }]);
    await app.query("begin");
    await setTenant(app, 1);
    await app.query("savepoint s");
    await setTenant(app, 2);
    await app.query("rollback to s");
    expect((await app.query("select distinct tenant_id from notes")).rows).toEqual([{ tenant_id: "1" }]);
    await app.query("select ladder.set_tenant(null::text)");
    expect((await app.query("select count(*) from notes")).rows).toEqual([{ count: "0" }]);
    await app.query("rollback");
    expect(await failure(as(app, "", "select 1"))).toBe("tenant: got an empty text, want the value of the tenant column, or null for none");
    expect(await as(app, null, "select ladder.set_tenant(7)")).toEqual([""]);
    expect(await as(app, null, `select ladder.set_tenant('${UUID[0]}'::uuid)`)).toEqual([""]);
  });

  test("prepared statements and their generic plans follow the transaction's tenant", async () => {
    await app.query("set plan_cache_mode = force_generic_plan; prepare mine as select min(tenant_id) from notes where id > $1");
    for (const tenant of [1, 2, 1, null, 2]) {
      const seen = await as(app, tenant, "execute mine (0)");
      expect(seen).toEqual([tenant === null ? null : String(tenant)]);
    }
  });

  test("views, functions, joins, COPY, RETURNING and EXPLAIN show one tenant", async () => {
    await app.query(`
      create view plain as select * from notes;
      create view invoker with (security_invoker) as select * from notes;
      create function definer() returns bigint language sql security definer as 'select count(*) from notes'`);
    expect(await as(app, 1, "select distinct tenant_id from plain")).toEqual(["1"]);
    const reader = await login("app_ro");
    expect(await as(reader, 2, "select distinct tenant_id from plain")).toEqual(["2"]);
    expect(await as(reader, 2, "select distinct tenant_id from invoker")).toEqual(["2"]);
    expect(await as(reader, null, "select definer()")).toEqual(["0"]);
    expect(await as(reader, 2, "select definer()")).toEqual(["5"]);
    expect(await as(app, 1, "select distinct n.tenant_id from replies r cross join notes n")).toEqual(["1"]);
    expect(await as(app, 1, "update notes set body = '' returning tenant_id")).toEqual(["1", "1", "1", "1", "1"]);
    expect(await as(app, 2, "delete from notes where tenant_id = 1 returning id")).toEqual([]);
    expect((await as(app, 1, "explain (analyze, costs off, timing off, summary off) select * from notes")).join("\n")).toContain("rows=5");
    await app.query("begin");
    await setTenant(app, 1);
    await app.query("create temporary table copied on commit drop as table notes");
    expect((await app.query("select count(*) from copied")).rows).toEqual([{ count: "5" }]);
    await app.query("commit");
    await admin.query("analyze notes");
    expect(await as(app, 1, "select tablename from pg_stats where tablename = 'notes'")).toEqual([]);
  });

  test("a function that says whether it was called is not called with rows of others", async () => {
    await app.query(`create function spy(text) returns boolean language plpgsql cost 0.0001 as $$ begin raise 'saw %', $1; end $$`);
    expect(await failure(as(app, 3, "select * from notes where spy(body)"))).toBe("no error: []");
    expect(await failure(as(app, 1, "select * from notes where tenant_id = 2 and spy(body)"))).toBe("no error: []");
  });

  test("parallel workers see the same tenant", async () => {
    await app.query("insert into loose select 1, n from generate_series(1, 10) n");
    await app.query("set debug_parallel_query = on");
    expect(await as(app, 1, "select count(*) from notes")).toEqual(["5"]);
    expect(await as(app, null, "select count(*) from notes")).toEqual(["0"]);
  });
});

describe("writing across", () => {
  test("as tenant 1", async () => {
    const tries: [sql: string, outcome: string][] = [
      ["insert into notes (tenant_id) values (2)", VIOLATED],
      ["insert into notes (id, tenant_id) values (2, 1) on conflict (id) do nothing returning id", "no error: []"],
      [
        "insert into notes (id, tenant_id) values (1, 1) on conflict (id) do update set body = 'mine'",
        'new row violates row-level security policy "ladder_tenant" (USING expression) for table "notes"',
      ],
      ["update notes set tenant_id = 2", VIOLATED],
      ["update notes set body = 'x' where tenant_id = 2 returning 1", "no error: []"],
      ["delete from notes where id = 1 returning 1", "no error: []"],
      ["merge into notes n using (values (1)) v (id) on n.id = v.id when matched then delete", "no error: []"],
      ["select id from notes where tenant_id = 2 for update", "no error: []"],
      ["copy notes (tenant_id) from stdin", "COPY FROM not supported with row-level security"],
      ["truncate notes cascade", "permission denied for table notes"],
      ["truncate parts", "permission denied for table parts"],
      ["truncate parts_1", "permission denied for table parts_1"],
      ["insert into parts_1 values ('00000000-0000-0000-0000-000000000002', '2026-01-05')", 'invalid input syntax for type uuid: "1"'],
      ["insert into notes (id, tenant_id) values (999, 1) returning tenant_id", 'no error: ["1"]'],
    ];
    for (const [sql, outcome] of tries) expect([sql, await failure(as(app, 1, sql))]).toEqual([sql, outcome]);
  });

  test("the tenant can be a column's default", async () => {
    await app.query("alter table notes alter tenant_id set default ladder.tenant()::bigint");
    expect(await as(app, 2, "insert into notes (body) values ('x') returning tenant_id")).toEqual(["2"]);
  });

  test("without a tenant nothing is written", async () => {
    expect(await failure(as(app, null, "insert into notes (tenant_id) values (1)"))).toBe(VIOLATED);
    expect(await as(app, null, "update notes set body = '' returning 1")).toEqual([]);
    expect(await as(app, null, "delete from notes returning 1")).toEqual([]);
  });

  test("foreign keys: a reference tells that another tenant's id is there, a key with the tenant in it does not", async () => {
    expect(await failure(as(app, 1, "insert into replies values (9, 1, 1)"))).toBe("no error: []");
    await app.query("alter table notes add unique (tenant_id, id)");
    await app.query(
      "create table strict (tenant_id bigint, note_id bigint, foreign key (tenant_id, note_id) references notes (tenant_id, id))",
    );
    await settle(admin, { ...ALL, strict: "tenant_id" });
    const probe = (id: number) => failure(as(app, 1, `insert into strict values (1, ${id})`));
    const refused = 'insert or update on table "strict" violates foreign key constraint "strict_tenant_id_note_id_fkey"';
    expect([await probe(1), await probe(987), await probe(2)]).toEqual([refused, refused, "no error: []"]);
  });

  test("the owner cannot take the wall away", async () => {
    for (const sql of [
      "alter table notes disable row level security",
      "alter table notes no force row level security",
      "drop policy ladder_tenant on notes",
      "alter policy ladder_tenant on notes using (true)",
      "alter policy ladder_tenant on notes to app_ro",
      "create policy mine on notes using (true) with check (true)",
      "set row_security = off",
    ]) {
      await app.query("begin");
      await app.query(sql);
      const seen = await failure(app.query("select count(*) from notes").then(({ rows }) => rows));
      await app.query("rollback");
      const want = sql === "set row_security = off" ? 'query would be affected by row-level security policy for table "notes"' : "";
      expect([sql, seen]).toEqual([sql, want || 'no error: [{"count":"0"}]']);
    }
  });
});

describe("ways for administration", () => {
  test("ladder_admin, and whoever takes the role ladder_all_tenants, see all; others outside of the pooler's group nothing", async () => {
    expect((await admin.query("select count(*)::int from notes")).rows).toEqual([{ count: 10 }]);
    const ops = await login("ops");
    expect(await failure(ops.query("select count(*) from public.notes"))).toBe("permission denied for schema public");
    await ops.query("begin; set local role ladder_all_tenants");
    expect((await ops.query("select count(*)::int from notes")).rows).toEqual([{ count: 10 }]);
    expect((await ops.query("update notes set body = 'seen' returning 1")).rowCount).toBe(10);
    await ops.query("rollback");
    expect(await failure(app.query("set role ladder_all_tenants"))).toBe('permission denied to set role "ladder_all_tenants"');
    await admin.query(`grant connect on database ${here.db.name} to outsider`);
    expect(await as(await login("outsider"), null, "select 1 from notes")).toEqual([]);
  });
});

describe("withTenant", () => {
  test("commits, rolls back, and gives the connection back without a tenant", async () => {
    const result = await withTenant(app, 1, async (client) => {
      await client.query("insert into notes (tenant_id, body) values (1, 'kept')");
      return (await client.query("select count(*)::int from notes")).rows[0].count;
    });
    expect(result).toBe(6);
    const thrown = withTenant(app, 1n, async (client) => {
      await client.query("delete from notes where id = 999 or body = 'kept'");
      throw new Error("changed my mind");
    });
    await expect(thrown).rejects.toThrow("changed my mind");
    await expect(withTenant(app, 1, (client) => client.query("select 1 / 0").catch(() => "swallowed"))).rejects.toThrow("rolled back");
    expect((await admin.query("select count(*)::int from notes where tenant_id = 1")).rows).toEqual([{ count: 6 }]);
    expect((await app.query("select count(*)::int from notes")).rows).toEqual([{ count: 0 }]);
  });
});

test("on a replica: the tenant is set in a transaction that only reads", async () => {
  const standby = await startStandby(here.server);
  const ask = (sql: string) => standby("app_ro", here.db.name, sql);
  expect(await ask("select pg_is_in_recovery(), count(*) from notes")).toBe("t|0");
  expect(await ask("begin; select ladder.set_tenant(2); select min(tenant_id), max(tenant_id), count(*) from notes; commit")).toBe("2|2|5");
  expect(await ask("set ladder.tenant = '2'; select count(*) from notes")).toBe("0");
});
