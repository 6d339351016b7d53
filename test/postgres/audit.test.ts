/** What the audit log of a real PostgreSQL 17 holds, and what it does not. Cannot prove: where the log goes, a managed server's own log. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { settleAudit, UNAUDITED } from "../../agent/audit.ts";
import { scramVerifier } from "../../agent/scram.ts";
import { unseen } from "../../agent/unseen.ts";
import type { Desired } from "../../plan/desired.ts";
import { applyPlatform } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

const run = promisify(execFile);

let server: TestServer;
let db: TestDatabase;
let admin: Client;
let container: string;

beforeAll(async () => {
  server = await startPostgres();
  container = (await run("docker", ["ps", "-q", "--filter", `publish=${server.port}`])).stdout.trim();
  db = await server.createDatabase({ name: "app" });
  admin = await db.connect();
  await admin.query("alter system set pgaudit.log = 'ddl,role'");
  await admin.query("alter system set pgaudit.log_catalog = off");
  await admin.query("select pg_reload_conf()");
  await applyPlatform(db);
  await admin.query(`create role person login in role app_rw, ladder_pooled, ladder_audited; create role service login in role app_rw, ladder_pooled;
    create role ops login in role ladder_pooled; grant ladder_all_tenants to ops with inherit false, set true; set role app; create table t (x int); reset role`);
});
afterAll(() => server?.stop());

const settle = async (): Promise<string[]> => {
  const log: string[] = [];
  await settleAudit(admin, {} as Desired, (line) => log.push(line));
  return log;
};

let marks = 0;
/** What the audit log says about statements that `user` runs: class, command, object, text. */
async function logged(user: string, statements: string[], options?: string): Promise<string[]> {
  const [begin, end] = [`mark ${++marks}`, `mark ${++marks}`];
  const mark = (name: string) => admin.query(`do $$ begin raise log '${name}'; end $$`);
  const client = options === undefined ? await db.connect(user) : await server.connect({ user, database: db.name, options });
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  // Others, pg_cron's launcher for one, write to the log as well.
  const own = ` [${rows[0]!.pid}] `;
  await mark(begin);
  for (const sql of statements) await client.query(sql);
  await client.end();
  await mark(end);
  for (;;) {
    const { stdout, stderr } = await run("docker", ["logs", container], { maxBuffer: 64 * 1024 * 1024 });
    const lines = `${stdout}${stderr}`.split("\n");
    const [from, to] = [begin, end].map((name) => lines.findIndex((line) => line.endsWith(`LOG:  ${name}`)));
    if (from! >= 0 && to! > from!)
      return lines
        .slice(from, to)
        .filter((line) => line.includes(own))
        .flatMap((line) => /AUDIT: SESSION,\d+,\d+,(.*),<not logged>$/.exec(line)?.[1] ?? []);
  }
}

test("each login role gets its part; the second run changes nothing; what an operator has set stays", async () => {
  await admin.query("alter role service set pgaudit.log = 'all'");
  expect(await settle()).toEqual([
    "role ladder_admin: audited: ddl,role,write,misc_set",
    "role ops: audited: ddl,role,read,write,misc_set",
    "role person: audited: ddl,role,write,misc_set",
    "role postgres: audited: ddl,role,write,misc_set",
  ]);
  expect(await settle()).toEqual([]);
  await admin.query("revoke ladder_audited from person; alter role service reset pgaudit.log");
  expect(await settle()).toEqual(["role person: writes are no longer audited"]);
  await admin.query("grant ladder_audited to person");
  expect(await settle()).toEqual(["role person: audited: ddl,role,write,misc_set"]);
});

const HOT = ["insert into t values (1)", "update t set x = 2", "select * from t", "delete from t"];

test("the application's reads and writes are not in the log, those of other services neither", async () => {
  expect(await logged("app", HOT)).toEqual([]);
  expect(await logged("service", HOT)).toEqual([]);
  expect(await logged("app_ro", ["select * from t"])).toEqual([]);
});

test("changes of schema and roles are, by whomever", async () => {
  expect(await logged("app", ["create table u (x int)", "grant select on u to app_ro", "drop table u"])).toEqual([
    "DDL,CREATE TABLE,TABLE,public.u,create table u (x int)",
    "ROLE,GRANT,TABLE,,grant select on u to app_ro",
    "DDL,DROP TABLE,TABLE,public.u,drop table u",
  ]);
});

test("writes of people and superusers are; reads of those who cross tenants too", async () => {
  const insert = "WRITE,INSERT,,,insert into t values (1)";
  expect(await logged("person", ["insert into t values (1)", "select * from t"])).toEqual([insert]);
  expect(await logged("ladder_admin", ["insert into t values (1)", "select * from t"])).toEqual([insert]);
  expect(await logged("ops", ["set role ladder_all_tenants", "select x from public.t limit 1", "insert into public.t values (1)"])).toEqual(
    [
      "MISC,SET,,,set role ladder_all_tenants",
      "READ,SELECT,,,select x from public.t limit 1",
      "WRITE,INSERT,,,insert into public.t values (1)",
    ],
  );
});

test("the agent's own sessions show changes of schema and roles only", async () => {
  expect(await logged("ladder_admin", ["insert into t values (1)", "create table v (x int)"], UNAUDITED)).toEqual([
    "DDL,CREATE TABLE,TABLE,public.v,create table v (x int)",
  ]);
  await expect(server.connect({ user: "app", database: db.name, options: "-c pgaudit.log=none" })).rejects.toThrow(
    'permission denied to set parameter "pgaudit.log"',
  );
});

test("turning it off for a role is in the log; what a superuser sets for his own session is not", async () => {
  const off = "alter role service set pgaudit.log = 'none'";
  expect(await logged("ladder_admin", [off, "alter role service reset pgaudit.log"])).toEqual([
    `ROLE,ALTER ROLE,,,${off}`,
    "ROLE,ALTER ROLE,,,alter role service reset pgaudit.log",
  ]);
  expect(await logged("ladder_admin", ["set pgaudit.log = 'none'", "insert into t values (1)"])).toEqual([]);
});

test("no password and no verifier is in the log", async () => {
  const verifier = scramVerifier("correct horse");
  const lines = await logged("ladder_admin", [
    `alter role person password '${verifier}'`,
    "create role fresh login password 'battery staple'",
    "alter role fresh with login encrypted password 'battery staple' valid until 'infinity'",
  ]);
  expect(lines.map((line) => line.replace(/password.*/i, "password …"))).toEqual([
    "ROLE,ALTER ROLE,,,alter role person password …",
    "ROLE,CREATE ROLE,,,create role fresh login password …",
    "ROLE,ALTER ROLE,,,alter role fresh with login encrypted password …",
  ]);
  const { stdout, stderr } = await run("docker", ["logs", container], { maxBuffer: 64 * 1024 * 1024 });
  for (const secret of [verifier, "battery staple", verifier.slice(20, 60)]) expect(`${stdout}${stderr}`.includes(secret)).toBe(false);
});

test("a statement with a password in it is in no log, no audit log and no statistics, also when it fails; what comes after it is", async () => {
  await admin.query("set log_min_duration_statement = 0");
  const secret = (name: string) =>
    `create subscription ${name} connection 'host=nobody password=hidden-word' publication p with (connect = false)`;
  await unseen(admin, secret("quiet"));
  await expect(unseen(admin, secret("quiet"))).rejects.toMatchObject({ code: "42710" });
  await admin.query("alter subscription quiet set (slot_name = none); drop subscription quiet");
  await admin.query("reset log_min_duration_statement");
  const { rows } = await admin.query(
    "select from ladder.pg_stat_statements where query like '%hidden' || '-word%' and query not like '%pg_stat_statements%'",
  );
  expect(rows).toEqual([]);
  const { stdout, stderr } = await run("docker", ["logs", container], { maxBuffer: 64 * 1024 * 1024 });
  const log = stdout + stderr;
  expect(log).toContain("DROP SUBSCRIPTION");
  expect(log.includes("hidden-word")).toBe(false);
});
