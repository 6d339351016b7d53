/** What each role may and may not do, tried on real PostgreSQL 17. Cannot prove: pg_hba.conf, and a managed server's own superuser. */
import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { applyMigrations } from "../../agent/migrate/index.ts";
import { ms } from "../../plan/types.ts";
import { applyPlatform } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let db: TestDatabase;
let admin: Client;

beforeAll(async () => {
  server = await startPostgres();
  db = await server.createDatabase({ name: "app" });
  await applyPlatform(db);
  const connect = () => db.connect();
  await applyMigrations({ connect, folder: "sql/app", set: "app", role: "app", lockTimeout: ms(2000), log: () => undefined });
  admin = await db.connect();
  await admin.query("create role service login in role app_rw; create role stranger login");
  await admin.query("insert into settings (key, value) values ('a', '1')");
});
afterAll(() => server?.stop());

/** "ok", or the message of the error. */
async function attempt(user: string, sql: string): Promise<string> {
  try {
    const client = await db.connect(user);
    try {
      await client.query(sql);
      return "ok";
    } finally {
      await client.end();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const WRITABLE = "set default_transaction_read_only = off; begin read write;";

/** Deadlocks over two shards end by the first of them. */
const BETWEEN_SERVERS = [
  "lock_timeout=5s",
  "statement_timeout=13h",
  "idle_in_transaction_session_timeout=2h",
  "tcp_keepalives_idle=10s",
  "tcp_keepalives_interval=5s",
  "tcp_keepalives_count=3",
];

describe("rights", () => {
  test.each([
    ["app", "create table made (id bigint primary key, x text); insert into made values (1); drop table made", "ok"],
    ["app", "create schema mine; create table mine.t (x int); drop schema mine cascade", "ok"],
    ["app", "create extension citext; drop extension citext", "ok"],
    ["app", "create temporary table t (x int)", "ok"],
    ["app", "create extension file_fdw", 'permission denied to create extension "file_fdw"'],
    ["app", "select rolpassword from pg_authid", "permission denied for table pg_authid"],
    ["app", "select * from ladder.migration", "permission denied for table migration"],
    ["app", "create table ladder.t (x int)", "permission denied for schema ladder"],
    ["app", "select ladder.pooler_auth('app')", "permission denied for function pooler_auth"],
    ["app", "create role r", "permission denied to create role"],
    ["app", "create database d", "permission denied to create database"],
    ["app", "copy settings to program 'cat'", "permission denied to COPY to or from an external program"],
    ["app", "drop extension vector", "must be owner of extension vector"],
    ["app", "set role ladder_admin", 'permission denied to set role "ladder_admin"'],
    ["app", "select pg_read_file('PG_VERSION')", "permission denied for function pg_read_file"],
    ["app_ro", "select * from settings", "ok"],
    ["app_ro", "select last_value from messages_id", "ok"],
    ["app_ro", "insert into settings values (now(), 'b', '1')", "cannot execute INSERT in a read-only transaction"],
    ["app_ro", `${WRITABLE} insert into settings values (now(), 'b', '1')`, "permission denied for table settings"],
    ["app_ro", `${WRITABLE} update settings set value = '2'`, "permission denied for table settings"],
    ["app_ro", `${WRITABLE} delete from settings`, "permission denied for table settings"],
    ["app_ro", `${WRITABLE} truncate settings`, "permission denied for table settings"],
    ["app_ro", `${WRITABLE} select nextval('messages_id')`, "permission denied for sequence messages_id"],
    ["app_ro", `${WRITABLE} create table t (x int)`, "permission denied for schema public"],
    ["app_ro", `${WRITABLE} create schema s`, "permission denied for database app"],
    ["app_ro", `${WRITABLE} create temporary table t (x int)`, 'permission denied to create temporary tables in database "app"'],
    ["app_ro", "select * from ladder.migration", "permission denied for table migration"],
    ["app_ro", "select * from pg_authid", "permission denied for table pg_authid"],
    [
      "service",
      "insert into settings values (now(), 'c', '1'); update settings set value = '3' where key = 'c'; delete from settings where key = 'c'",
      "ok",
    ],
    ["service", "insert into messages (user_id, conversation_id) values (1, 1)", "ok"],
    ["service", "create temporary table t (x int)", "ok"],
    ["service", "truncate settings", "permission denied for table settings"],
    ["service", "alter table settings add x int", "must be owner of table settings"],
    ["service", "create table t (x int)", "permission denied for schema public"],
    ["app_rw", "select 1", 'role "app_rw" is not permitted to log in'],
    ["ladder_pooled", "select 1", 'role "ladder_pooled" is not permitted to log in'],
    ["stranger", "select 1", 'permission denied for database "app"'],
    ["ladder_pooler", "select * from ladder.pooler_auth('app')", "ok"],
    ["ladder_pooler", "select * from ladder.migration", "permission denied for table migration"],
    ["ladder_pooler", "select * from public.settings", "permission denied for schema public"],
    ["ladder_pooler", "select * from pg_authid", "permission denied for table pg_authid"],
    ["ladder_pooler", "create table ladder.t (x int)", "permission denied for schema ladder"],
    ["ladder_pooler", "create schema s", "permission denied for database app"],
    ["ladder_pooler", "create temporary table t (x int)", 'permission denied to create temporary tables in database "app"'],
    ["ladder_monitor", "select query from pg_stat_activity; select * from pg_stat_statements", "ok"],
    ["ladder_monitor", "select * from migration; select * from move; select * from heartbeat", "ok"],
    ["ladder_monitor", "select * from public.settings", "permission denied for schema public"],
    ["ladder_monitor", "update ladder.heartbeat set beat = now()", "permission denied for table heartbeat"],
    ["ladder_monitor", "select ladder.pooler_auth('app')", "permission denied for function pooler_auth"],
  ])("%s: %s: %s", async (user, sql, outcome) => {
    expect(await attempt(user, sql)).toBe(outcome);
  });

  test("app_ro and app_rw see what app makes later, also in schemas made later", async () => {
    const app = await db.connect("app");
    await app.query(
      "create schema later; create table later.t (x int); create sequence later.s; create view later.v as select x from later.t",
    );
    await app.query("create table after (x int); create materialized view later.m as select 1 as x");
    for (const sql of [
      "select * from later.t",
      "select * from later.v",
      "select * from later.m",
      "select * from after",
      "select last_value from later.s",
    ])
      expect([sql, await attempt("app_ro", sql)]).toEqual([sql, "ok"]);
    expect(await attempt("app_ro", `${WRITABLE} insert into later.t values (1)`)).toBe("permission denied for table t");
    expect(await attempt("service", "insert into later.t values (nextval('later.s')); delete from after")).toBe("ok");
    expect(await attempt("service", "create table later.u (x int)")).toBe("permission denied for schema later");
  });

  test("attributes of the roles", async () => {
    const { rows } = await admin.query(
      `select rolname, rolcanlogin, rolconfig, array(select b.rolname::text from pg_auth_members m join pg_roles b on b.oid = m.roleid where m.member = r.oid order by 1) as member
       from pg_roles r where (rolname like 'app%' or rolname like 'ladder%') and rolname <> 'ladder_admin'
         and not (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls) order by 1`,
    );
    expect(rows).toEqual([
      { rolname: "app", rolcanlogin: true, rolconfig: null, member: ["ladder_pooled"] },
      { rolname: "app_ro", rolcanlogin: true, rolconfig: ["default_transaction_read_only=on"], member: ["ladder_pooled"] },
      { rolname: "app_rw", rolcanlogin: false, rolconfig: null, member: [] },
      { rolname: "ladder_all_tenants", rolcanlogin: false, rolconfig: null, member: ["app_rw"] },
      { rolname: "ladder_audited", rolcanlogin: false, rolconfig: null, member: [] },
      { rolname: "ladder_gateway", rolcanlogin: true, rolconfig: BETWEEN_SERVERS, member: [] },
      { rolname: "ladder_gateway_ro", rolcanlogin: true, rolconfig: [...BETWEEN_SERVERS, "default_transaction_read_only=on"], member: [] },
      { rolname: "ladder_monitor", rolcanlogin: true, rolconfig: null, member: ["pg_monitor", "pg_use_reserved_connections"] },
      { rolname: "ladder_pooled", rolcanlogin: false, rolconfig: null, member: [] },
      { rolname: "ladder_pooler", rolcanlogin: true, rolconfig: null, member: ["pg_use_reserved_connections"] },
    ]);
  });

  test("everything in schema ladder belongs to ladder_admin", async () => {
    const { rows } = await admin.query(
      `select distinct relowner::regrole::text as owner from pg_class where relnamespace = 'ladder'::regnamespace
       union select nspowner::regrole::text from pg_namespace where nspname = 'ladder'
       union select proowner::regrole::text from pg_proc where proname = 'pooler_auth'`,
    );
    expect(rows).toEqual([{ owner: "ladder_admin" }]);
  });
});

describe("ladder.pooler_auth", () => {
  let pooler: Client;
  const ask = async (name: string) => (await pooler.query("select usename, passwd from ladder.pooler_auth($1)", [name])).rows;

  beforeEach(async () => {
    pooler = await db.connect("ladder_pooler");
  });

  test("gives the verifier of members of ladder_pooled, and of nobody else", async () => {
    await admin.query(`
      set password_encryption = 'scram-sha-256';
      alter role app password 'one'; alter role stranger password 'two'; alter role ladder_admin password 'three';
      create role guest login password 'four' in role ladder_pooled;
      create role boss superuser login password 'five' in role ladder_pooled;
      create role copier replication login password 'six' in role ladder_pooled;
      create role group_only nologin password 'seven' in role ladder_pooled;
      create role late login password 'eight' valid until '2020-01-01' in role ladder_pooled;
      create role early login password 'nine' valid until '2999-01-01' in role ladder_pooled;
      create role bare login in role ladder_pooled;
      set password_encryption = 'md5'; create role old login password 'ten' in role ladder_pooled`);
    const { rows } = await admin.query("select rolpassword from pg_authid where rolname = 'app'");
    expect(await ask("app")).toEqual([{ usename: "app", passwd: rows[0].rolpassword }]);
    expect((await ask("guest"))[0].passwd).toMatch(/^SCRAM-SHA-256\$4096:/);
    expect(await ask("early")).toHaveLength(1);
    for (const name of [
      "stranger",
      "ladder_admin",
      "boss",
      "copier",
      "group_only",
      "late",
      "bare",
      "old",
      "postgres",
      "nobody",
      "",
      "app'--",
    ])
      expect([name, await ask(name)]).toEqual([name, []]);
  });

  test("a pooler that makes its own pg_authid first in the search path gets nothing by it", async () => {
    const { rows } = await admin.query("select proconfig, prosecdef from pg_proc where proname = 'pooler_auth'");
    expect(rows).toEqual([{ proconfig: ["search_path=pg_catalog, pg_temp"], prosecdef: true }]);
  });
});

describe("ladder.move and ladder.heartbeat", () => {
  test("a step is there once a run, with a known state", async () => {
    const { rows } = await admin.query("insert into ladder.move (kind, step) values ('1-2', 'copy') returning *");
    expect(rows).toEqual([
      { id: "1", started: null, finished: null, run: 1, position: 0, kind: "1-2", step: "copy", state: "waiting", detail: {}, error: null },
    ]);
    expect(await attempt("ladder_admin", "insert into ladder.move (kind, step) values ('1-2', 'copy')")).toContain(
      "move_kind_run_step_key",
    );
    expect(await attempt("ladder_admin", "insert into ladder.move (kind, step, run) values ('1-2', 'copy', 2)")).toBe("ok");
    expect(await attempt("ladder_admin", "insert into ladder.move (kind, step) values ('2', 'copy')")).toContain("move_kind_check");
    expect(await attempt("ladder_admin", "update ladder.move set state = 'lost'")).toContain("move_state_check");
  });

  test("one heartbeat, updated in place", async () => {
    for (let i = 0; i < 20; i++) await admin.query("update ladder.heartbeat set beat = clock_timestamp()");
    await admin.query("select pg_stat_force_next_flush()");
    const { rows } = await admin.query(
      "select (select count(*)::int from ladder.heartbeat) as rows, n_tup_upd::int as updated, n_tup_hot_upd::int as in_place from pg_stat_user_tables where relname = 'heartbeat'",
    );
    expect(rows).toEqual([{ rows: 1, updated: 20, in_place: 20 }]);
    expect(await attempt("ladder_admin", "insert into ladder.heartbeat (id) values (false)")).toContain("heartbeat_id_check");
  });
});

test("the platform's migrations on a second database of the cluster: the roles are there already, pg_cron is not", async () => {
  const second = await server.createDatabase();
  const log: string[] = [];
  const connect = () => second.connect();
  await applyMigrations({ connect, folder: "sql/platform", set: "platform", lockTimeout: ms(2000), log: (line) => log.push(line) });
  expect(log.filter((line) => line.includes("pg_cron is not"))).toEqual([
    `sql/platform: pg_cron is not created: cron.database_name is "app", this database is "${second.name}"`,
  ]);
  const both = await Promise.all(
    [db, second].map(async (database) => {
      const client = await database.connect();
      const { rows } = await client.query("select extname, extnamespace::regnamespace::text as schema from pg_extension order by 1");
      return rows.map((row: { extname: string; schema: string }) => `${row.schema}.${row.extname}`);
    }),
  );
  const everywhere = [
    "partman.pg_partman",
    "ladder.pg_repack",
    "ladder.pg_stat_statements",
    "ladder.pgaudit",
    "ladder.pgstattuple",
    "pg_catalog.plpgsql",
    "ladder.postgres_fdw",
    "public.vector",
  ];
  expect(both).toEqual([["pg_catalog.pg_cron", ...everywhere], everywhere]);
});
