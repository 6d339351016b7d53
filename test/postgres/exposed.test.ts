/**
 * All that applications can reach of the platform, as one exact list: whoever adds to schema ladder has to revoke it or name it here.
 * Cannot prove: what a managed server's own extensions hand out.
 */
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyPlatform } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

/** The application, its reader, a further service, and a role that has nothing to do with it. */
const ROLES = ["app", "app_ro", "service", "stranger"] as const;
type Role = (typeof ROLES)[number];

const TENANTS = ["set_tenant(bigint)", "set_tenant(text)", "set_tenant(uuid)", "tenant()"];
const HELPERS = [
  "add_check(regclass,name,text)",
  "add_constraint(regclass,name,text)",
  "add_foreign_key(regclass,name,text)",
  "add_not_null(regclass,name)",
  "alter_quickly(regclass,text)",
  "backfill(regclass,text,text,integer,interval,bigint)",
  "backfill_begin(regclass,text,text)",
  "backfill_statement(regclass,text,text,integer,jsonb)",
  "replica_backlog()",
];
const ROUTING = ["require_buckets(integer[])", "require_shard_map(integer)"];
const WARM = "warm_shards(boolean)";
const FUNCTIONS: Readonly<Record<Role, readonly string[]>> = {
  app: [...HELPERS, ...ROUTING, ...TENANTS, WARM].sort(),
  app_ro: [...ROUTING, ...TENANTS, WARM],
  service: [...ROUTING, ...TENANTS, WARM],
  stranger: [],
};
const RELATIONS: Readonly<Record<Role, readonly string[]>> = {
  app: ["backfill_progress: INSERT, SELECT, UPDATE", "shard_map: SELECT"],
  app_ro: ["shard_map: SELECT"],
  service: ["shard_map: SELECT"],
  stranger: [],
};
const EVERYBODYS = ["information_schema", "pg_catalog"];
const SCHEMAS: Readonly<Record<Role, readonly string[]>> = {
  app: ["ladder", "public", ...EVERYBODYS],
  app_ro: ["ladder", "ladder_read", "public", ...EVERYBODYS],
  service: ["ladder", "public", ...EVERYBODYS],
  stranger: EVERYBODYS,
};

let server: TestServer;
let db: TestDatabase;
let admin: Client;

beforeAll(async () => {
  server = await startPostgres();
  db = await server.createDatabase({ name: "app" });
  await applyPlatform(db);
  admin = await db.connect();
  await admin.query(
    "create role service login in role app_rw, ladder_pooled; create role stranger login; grant connect on database app to stranger",
  );
});
afterAll(() => server?.stop());

/** First column of the rows, ordered as the database's own text. */
async function listed(sql: string, role: Role): Promise<string[]> {
  const { rows } = await admin.query<{ name: string }>(sql, [role]);
  return rows.map(({ name }) => name).sort();
}

describe.each(ROLES)("%s", (role) => {
  test("schemas that it may use", async () => {
    const sql = `select nspname as name from pg_namespace where has_schema_privilege($1, oid, 'usage') and nspname !~ '^pg_(toast|temp)'`;
    expect(await listed(sql, role)).toEqual([...SCHEMAS[role]].sort());
  });

  test("functions and procedures of schema ladder that it may call", async () => {
    const sql = `select replace(oid::regprocedure::text, 'ladder.', '') as name from pg_proc
      where pronamespace = 'ladder'::regnamespace and has_schema_privilege($1, pronamespace, 'usage') and has_function_privilege($1, oid, 'execute')`;
    expect(await listed(sql, role)).toEqual(FUNCTIONS[role]);
  });

  test("tables, views and sequences of schema ladder with what it may do to them, single columns too", async () => {
    const sql = `select format('%s: %s', c.relname, string_agg(p.privilege, ', ' order by p.privilege)) as name
      from pg_class c, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN', 'USAGE']) p (privilege)
      where c.relnamespace = 'ladder'::regnamespace and has_schema_privilege($1, c.relnamespace, 'usage') and case c.relkind
        when 'S' then p.privilege in ('SELECT', 'UPDATE', 'USAGE') and has_sequence_privilege($1, c.oid, p.privilege)
        when 'i' then false
        when 'I' then false
        when 'c' then false
        else p.privilege <> 'USAGE' and (has_table_privilege($1, c.oid, p.privilege)
          or p.privilege in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege($1, c.oid, p.privilege)) end
      group by c.relname`;
    expect(await listed(sql, role)).toEqual(RELATIONS[role]);
  });

  test("nothing that runs with another one's rights but what is named, in any schema", async () => {
    const sql = `select oid::regprocedure::text as name from pg_proc
      where prosecdef and has_schema_privilege($1, pronamespace, 'usage') and has_function_privilege($1, oid, 'execute')`;
    expect(await listed(sql, role)).toEqual([
      ...(role === "app" ? ["ladder.replica_backlog()"] : []),
      ...(role === "stranger" ? [] : [`ladder.${WARM}`]),
    ]);
  });
});

test("each view and table of schema ladder, tried: the monitor reads it, the application and its reader are refused", async () => {
  const { rows } = await admin.query<{ name: string }>(
    "select relname as name from pg_class where relnamespace = 'ladder'::regnamespace and relkind in ('r', 'v') order by 1",
  );
  const read = async (client: Client, name: string) =>
    client.query(`select * from ladder.${client.escapeIdentifier(name)} limit 1`).then(
      () => "read",
      (error: Error) => error.message,
    );
  const [monitor, app, reader] = await Promise.all(["ladder_monitor", "app", "app_ro"].map((user) => db.connect(user)));
  const refused = /^permission denied for (view|table) /;
  for (const { name } of rows.filter((row) => !["backfill_progress", "shard_map"].includes(row.name))) {
    expect([name, await read(app!, name)]).toEqual([name, expect.stringMatching(refused)]);
    expect([name, await read(reader!, name)]).toEqual([name, expect.stringMatching(refused)]);
  }
  const unread: string[] = [];
  for (const { name } of rows) if ((await read(monitor!, name)) !== "read") unread.push(name);
  expect(unread).toEqual([]);
});

test("what each command of the application's list needs still works after the rights were taken", async () => {
  const app = await db.connect("app");
  await app.query(
    "create table posts (id bigint primary key, content text); insert into posts select g, 'x' from generate_series(1, 10) g",
  );
  await app.query("call ladder.add_check('posts', 'posts_short', 'char_length(content) < 100')");
  await app.query("call ladder.add_not_null('posts', 'content')");
  await app.query("call ladder.backfill('posts', 'content = ''y''', 'content = ''x''')");
  await app.query("begin; select ladder.set_tenant(7)");
  expect((await app.query("select ladder.tenant(), (select count(*)::int from posts where content = 'y') as filled")).rows).toEqual([
    { tenant: "7", filled: 10 },
  ]);
  await app.query("commit");
  expect((await app.query("select relation, state, changed::int from ladder.backfill_progress")).rows).toEqual([
    { relation: "public.posts", state: "done", changed: 10 },
  ]);
});
