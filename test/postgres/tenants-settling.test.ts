/** How row security follows declarations, changes of the schema and the owner's own policies. Cannot prove: a managed server. */
import { describe, expect, test } from "vitest";
import { migrate } from "../support/migrations.ts";
import { Driver } from "./convert-driver.ts";
import { ALL, admin, app, as, failure, here, settle, UUID, VIOLATED } from "./tenants-bench.ts";

describe("new partitions and tables that take the name", () => {
  test("are guarded at once, under their own names too", async () => {
    await app.query("create table parts_2 partition of parts for values from ('2026-02-01') to ('2026-03-01')");
    await app.query(
      "create table parts_3 (like parts); alter table parts attach partition parts_3 for values from ('2026-03-01') to ('2026-04-01')",
    );
    await app.query("create table parts_4 partition of parts for values from ('2026-04-01') to ('2026-06-01') partition by range (day)");
    await app.query("create table parts_4a partition of parts_4 for values from ('2026-04-01') to ('2026-05-01')");
    for (const [table, day] of Object.entries({ parts_2: "02", parts_3: "03", parts_4: "04", parts_4a: "04" })) {
      const insert = `insert into ${table} values ('${UUID[1]}', '2026-${day}-01') returning 1`;
      expect([table, await failure(as(app, UUID[0], insert))]).toEqual([
        table,
        `new row violates row-level security policy "ladder_tenant" for table "${table}"`,
      ]);
      expect(await as(app, UUID[1], insert)).toEqual([1]);
    }
    await app.query(
      "begin; alter table notes rename to notes_old; create table notes_new (id bigint, tenant_id bigint); alter table notes_new rename to notes; commit",
    );
    expect(await failure(as(app, 1, "insert into notes values (1, 2)"))).toBe(VIOLATED);
    expect(await as(app, null, "select 1 from notes_old")).toEqual([]);
  });

  test("those that the upkeep makes are guarded with their first owner and their last", async () => {
    await admin.query("select ladder.create_monthly_partition('parts', '2026-07-01')");
    const { rows } = await admin.query("select max(relid::regclass::text) as name from pg_partition_tree('parts')");
    const { name } = rows[0];
    expect(name).not.toBe("parts_1");
    expect(await failure(as(app, UUID[0], `insert into ${name} values ('${UUID[1]}', '2026-07-02')`))).toBe(
      `new row violates row-level security policy "ladder_tenant" for table "${name}"`,
    );
    expect(await failure(as(app, UUID[0], `truncate ${name}`))).toBe(`permission denied for table ${name}`);
    expect(await settle(admin, ALL)).toEqual([]);
  });

  test("what was made where event triggers are silent is guarded by the next up", async () => {
    await admin.query("set session_replication_role = replica");
    await admin.query(
      "create table parts_2 partition of parts for values from ('2026-02-01') to ('2026-03-01'); alter table parts_2 owner to app",
    );
    await admin.query("reset session_replication_role");
    const read = "select count(*) from parts_2";
    await admin.query(`insert into parts values ('${UUID[0]}', '2026-02-02'), ('${UUID[1]}', '2026-02-02')`);
    expect(await as(app, UUID[0], read)).toEqual(["2"]);
    expect(await settle(admin, ALL)).toEqual(["parts: rows are kept apart by tenant_id"]);
    expect(await as(app, UUID[0], read)).toEqual(["1"]);
  });
});

describe("settling", () => {
  const policies = async (table: string) =>
    (
      await admin.query(
        `select polname as name, polpermissive as permissive, polroles::regrole[]::text as roles from pg_policy where polrelid = $1::regclass order by 1`,
        [table],
      )
    ).rows.map(({ name, permissive, roles }) => `${name} ${permissive ? "permissive" : "restrictive"} ${roles}`);

  const OURS = ["ladder_tenant restrictive {ladder_pooled}", "ladder_tenant_all permissive {ladder_all_tenants}"];
  const BASE = "ladder_tenant_base permissive {ladder_pooled}";

  test("twice changes nothing; what is no longer declared is as it was before", async () => {
    const image = async () =>
      (
        await admin.query(
          `select c.oid::regclass::text as name, c.relrowsecurity, c.relforcerowsecurity, c.relacl::text, array(select p.oid from pg_policy p where p.polrelid = c.oid order by 1)::text as policies
           from pg_class c where relkind in ('r', 'p') and relowner = 'app'::regrole order by 1`,
        )
      ).rows;
    const before = await image();
    expect(await settle(admin, ALL)).toEqual([]);
    expect(await image()).toEqual(before);
    expect(await settle(admin, {})).toEqual(
      ["named", "notes", "parts", "replies", "shop.orders"].map((name) => `${name}: rows are no longer kept apart`),
    );
    expect((await admin.query("select count(*)::int from pg_policy")).rows).toEqual([{ count: 0 }]);
    expect((await admin.query("select oid::regclass from pg_class where relrowsecurity or relforcerowsecurity")).rows).toEqual([]);
    await app.query("truncate notes, replies, parts");
    expect(await settle(admin, { parts: "tenant_id" })).toEqual(["parts: rows are kept apart by tenant_id"]);
  });

  test("policies of the application stay and narrow; ours is a wall around them", async () => {
    await app.query("create policy short on notes for select using (id < 5)");
    expect(await policies("notes")).toEqual([...OURS, "short permissive {-}"]);
    expect(await as(app, 1, "select id from notes order by 1")).toEqual(["2", "4"]);
    expect(await failure(as(app, 1, "insert into notes (tenant_id) values (1)"))).toBe(
      'new row violates row-level security policy for table "notes"',
    );
    await app.query("drop policy short on notes");
    expect(await policies("notes")).toEqual([...OURS, BASE]);
    await app.query("create policy short on notes as restrictive for select using (id < 5)");
    expect(await policies("notes")).toEqual([...OURS, BASE, "short restrictive {-}"]);
    expect(await as(app, 1, "select id from notes order by 1")).toEqual(["2", "4"]);
    await settle(admin, {});
    expect(await policies("notes")).toEqual(["short restrictive {-}"]);
  });

  test("row security that the application had enabled stays when ours goes", async () => {
    await app.query(
      "create table own (tenant_id int not null); alter table own enable row level security; create policy p on own using (tenant_id > 1)",
    );
    await settle(admin, { own: "tenant_id" });
    await settle(admin, {});
    const { rows } = await admin.query("select relrowsecurity, relforcerowsecurity from pg_class where oid = 'own'::regclass");
    expect(rows).toEqual([{ relrowsecurity: true, relforcerowsecurity: false }]);
  });

  test("another column, a renamed one, a column that is dropped", async () => {
    await app.query("alter table notes add owner_id bigint not null default 1");
    expect(await settle(admin, { ...ALL, notes: "owner_id" })).toEqual(["notes: rows are kept apart by owner_id"]);
    expect(await as(app, 1, "select count(*) from notes")).toEqual(["10"]);
    await app.query("alter table notes rename owner_id to holder_id");
    expect(await as(app, 2, "select count(*) from notes")).toEqual(["0"]);
    expect(await as(app, 1, "select count(*) from notes")).toEqual(["10"]);
    expect(await failure(app.query("alter table notes drop holder_id"))).toBe(
      "cannot drop column holder_id of table notes because other objects depend on it",
    );
    await app.query("alter table notes drop holder_id cascade");
    expect(await as(app, 1, "select count(*) from notes")).toEqual(["10"]);
  });

  test("names every declaration that cannot be kept, and changes nothing", async () => {
    await app.query("create materialized view sums as select tenant_id, count(*) from loose group by 1; create view seen as select 1 as x");
    const tenants = { loose: "tenant_id", nowhere: "t", seen: "x", notes: "owner", parts: "day" };
    expect(await failure(settle(admin, tenants))).toBe(
      [
        "tenants: 5 problems",
        '  tables.loose.tenant: got "materialized view sums, which reads loose", want none, or one owned by a role outside of ladder_pooled: policies do not hold for its rows, and app would refresh it to an empty one',
        '  tables.nowhere.tenant: got "no table nowhere", want a table that the migrations make',
        '  tables.seen.tenant: got "seen, which is no table", want a table',
        '  tables.notes.tenant: got "owner", want a column of notes',
        '  tables.parts.tenant: got "day, of type date", want a column of type smallint, integer, bigint, uuid, text or varchar, with a deterministic collation',
      ].join("\n"),
    );
    await app.query("drop materialized view sums");
    expect(await settle(admin, { ...ALL, loose: "tenant_id" })).toEqual([
      "loose: rows are kept apart by tenant_id",
      "tables.loose.tenant: tenant_id may be null; nobody sees such rows, make it not null",
    ]);
  });
});

describe("a conversion whose old table is kept", () => {
  test("holds up the declaration, unless the table was declared before; finished, it follows", async () => {
    await app.query(
      "create table big (id bigint primary key, at date not null, tenant_id bigint not null); insert into big values (1, '2026-01-01', 1)",
    );
    const driver = new Driver(here.db, { big: { partition: { by: "at", every: "year" } } });
    await driver.settle();
    const problem =
      "tables.big.tenant: got \"big, whose conversion is kept: the old table would no longer get every write\", want first: select ladder.finish_conversion('big')";
    expect(await failure(settle(admin, { ...ALL, big: "tenant_id" }))).toBe(`tenants: 1 problem\n  ${problem}`);
    await expect(admin.query("select ladder.declare_tenant_table('big', 'tenant_id')")).rejects.toMatchObject({
      message: "public.big: its conversion is kept, and the old table would no longer get every write",
      hint: "First: select ladder.finish_conversion('public.big')",
    });
    await admin.query("update big set tenant_id = 2");
    await admin.query("select ladder.undo_conversion('big')");
    expect((await admin.query("select tenant_id from big")).rows).toEqual([{ tenant_id: "2" }]);
    await admin.query("select ladder.resume_conversion('big')");
    await driver.settle();
    await admin.query("select ladder.finish_conversion('big')");
    expect(await settle(admin, { ...ALL, big: "tenant_id" })).toEqual(["big: rows are kept apart by tenant_id"]);
    driver.tables = { big: { plain: true } };
    await driver.settle();
    expect(await settle(admin, { ...ALL, big: "tenant_id" })).toEqual([]);
  });
});

describe("plans", () => {
  test("the policy uses the index and prunes nothing away from it", async () => {
    await admin.query("insert into notes (tenant_id) select n % 1000 from generate_series(1, 20000) n; analyze notes");
    const plan = await as(app, 7, "explain (costs off) select * from notes");
    expect(plan).toContain("        Index Cond: (tenant_id = (InitPlan 1).col1)");
    const both = await as(app, 7, "explain (costs off) select * from notes where id = 5 and tenant_id = 7");
    expect(both.join("\n")).toMatch(/Index Cond: .*id = /);
  });

  test("partitions by tenant are pruned when the tenant is known", async () => {
    await app.query("create table hashed (tenant_id bigint not null, x int) partition by hash (tenant_id)");
    for (let i = 0; i < 4; i++) await app.query(`create table hashed_${i} partition of hashed for values with (modulus 4, remainder ${i})`);
    await settle(admin, { ...ALL, hashed: "tenant_id" });
    const plan = await as(app, 7, "explain (analyze, costs off, timing off, summary off) select * from hashed");
    expect(plan.filter((line) => String(line).includes("never executed"))).toHaveLength(3);
  });
});

describe("migrations", () => {
  test("fail where policies would hide rows from them, and work tenant by tenant", async () => {
    const change = async (sql: string) => (await migrate(here.db, await here.folder({ "1.sql": sql }))).error;
    const hidden = 'query would be affected by row-level security policy for table "notes" (SQLSTATE 42501)';
    expect(await change("update notes set body = 'all'")).toContain(hidden);
    expect(
      await change("create table t (n bigint); insert into t values (999); alter table t add foreign key (n) references notes"),
    ).toContain(hidden);
    const one =
      "set row_security = on; select ladder.set_tenant(1); update notes set body = 'one'; alter table notes add check (body <> 'x')";
    expect(await change(one)).toBeUndefined();
    expect((await admin.query("select count(*)::int from notes where body = 'one'")).rows).toEqual([{ count: 5 }]);
  });
});
