/** What the agent completes on a cluster whose bootstrap was cut short. Cannot prove: that Patroni then replicates and rewinds with it. */
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { completeBootstrap } from "../../agent/configure.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let admin: Client;

beforeAll(async () => {
  server = await startPostgres();
  admin = await server.connect();
});
afterAll(() => server?.stop());

const roles = async () =>
  (
    await admin.query(
      `select rolname as role, rolcanlogin as login, rolreplication as replication, rolsuper or rolcreaterole or rolcreatedb or rolbypassrls as more
       from pg_roles where rolname in ('ladder_replication', 'ladder_rewind') order by 1`,
    )
  ).rows;

/** What pg_rewind calls over a connection; nobody but superusers and ladder_rewind may. */
const rewind = async () =>
  (
    await admin.query<{ name: string }>(
      `select p.oid::regprocedure::text as name from pg_proc p, aclexplode(p.proacl) a where a.grantee = 'ladder_rewind'::regrole and a.privilege_type = 'EXECUTE' order by 1`,
    )
  ).rows.map(({ name }) => name);

const WHOLE = [
  { role: "ladder_replication", login: true, replication: true, more: false },
  { role: "ladder_rewind", login: true, replication: false, more: false },
];
const REWIND = [
  "pg_ls_dir(text,boolean,boolean)",
  "pg_read_binary_file(text)",
  "pg_read_binary_file(text,bigint,bigint,boolean)",
  "pg_stat_file(text,boolean)",
];

test("roles that are missing are made, with the rights that pg_rewind needs; a second run changes nothing", async () => {
  expect(await roles()).toEqual([]);
  for (let run = 1; run <= 2; run++) {
    await completeBootstrap(admin);
    expect([await roles(), await rewind()]).toEqual([WHOLE, REWIND]);
  }
});

test("one role that is missing, and a right that was not given yet", async () => {
  await admin.query("drop role ladder_replication; revoke execute on function pg_ls_dir(text, boolean, boolean) from ladder_rewind");
  await completeBootstrap(admin);
  expect([await roles(), await rewind()]).toEqual([WHOLE, REWIND]);
});

test("a role that is there keeps what it has", async () => {
  await admin.query("alter role ladder_rewind password 'kept' connection limit 3");
  const before = (await admin.query("select * from pg_authid where rolname = 'ladder_rewind'")).rows;
  await completeBootstrap(admin);
  expect((await admin.query("select * from pg_authid where rolname = 'ladder_rewind'")).rows).toEqual(before);
});
