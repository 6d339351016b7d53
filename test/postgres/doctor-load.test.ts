/**
 * What the doctor learns from a server that is used: pgbench's tables and statements, what they cost, and what the gateway carries. Cannot prove: how
 * much that is on another machine.
 */
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ExamineOptions, examine } from "../../agent/doctor/index.ts";
import { tableConfig } from "../../plan/config/tables.ts";
import { platformTemplate } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let db: TestDatabase;
let admin: Client;
let app: Client;

/** As pgbench makes them, and a transaction as TPC-B's, in one call from the client. */
const PGBENCH = `
create table pgbench_branches (bid integer primary key, bbalance integer, filler char(88));
create table pgbench_tellers (tid integer primary key, bid integer, tbalance integer, filler char(84));
create table pgbench_accounts (aid integer primary key, bid integer, abalance integer, filler char(84));
create table pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler char(22));
insert into pgbench_branches values (1, 0, '');
insert into pgbench_tellers select n, 1, 0, '' from generate_series(1, 10) n;
insert into pgbench_accounts select n, 1, 0, '' from generate_series(1, 1000) n;
analyze`;
const TRANSACTIONS = 1_000;
const TPCB = [
  "update pgbench_accounts set abalance = abalance + 1 where aid = $1",
  "select abalance from pgbench_accounts where aid = $1",
  "update pgbench_tellers set tbalance = tbalance + 1 where tid = $1::integer % 10 + 1",
  "update pgbench_branches set bbalance = bbalance + 1 where bid = $1::integer / 5000 + 1",
  "insert into pgbench_history (tid, bid, aid, delta, mtime) values ($1::integer % 10 + 1, 1, $1, 1, now())",
];

beforeAll(async () => {
  server = await startPostgres();
  db = await server.createDatabase({ template: await platformTemplate(server) });
  admin = await db.connect();
  app = await db.connect("app");
  await app.query(PGBENCH);
  await admin.query("select ladder.pg_stat_statements_reset()");
  for (const statement of TPCB) {
    await app.query(`prepare run (integer) as ${statement}`);
    await app.query(`do $$ begin for i in 1..${TRANSACTIONS} loop execute 'execute run (' || i || ')'; end loop; end $$`);
    await app.query("deallocate run");
  }
  for (const statement of TPCB) for (let i = 1; i <= 20; i++) await app.query(statement, [i]);
  await app.query("select pg_stat_force_next_flush()");
  await app.query("select 1");
});
afterAll(() => server?.stop());

const TABLES = Object.fromEntries(
  Object.entries({ pgbench_accounts: "aid", pgbench_branches: "bid", pgbench_tellers: "tid", pgbench_history: "aid" }).map(
    ([name, shardBy]) => [name, tableConfig({ shardBy })],
  ),
);
const OPTIONS: ExamineOptions = { tables: TABLES, partitions: false, shards: 2, seconds: 0 };

test("pgbench: the history has neither key nor primary key; branches and tellers are hot, accounts are not; each statement finds its shard", async () => {
  const { findings, statements } = await examine(admin, OPTIONS);
  const of = (level: string) =>
    findings.filter((finding) => finding.level === level && finding.object !== "gateway").map(({ object, why }) => `${object}: ${why}`);
  expect(of("blocks")).toEqual([
    'public.pgbench_history."aid": the shard key accepts NULL, and no row without a key has a shard',
    "public.pgbench_history: it has no primary key: a move could neither bring over its changes nor prove that nothing is missing",
  ]);
  expect(of("costs")).toEqual([
    "public.pgbench_branches: hot rows: 1,020 updates of 1 rows. Behind the gateway, which is REPEATABLE READ on the shards, those that meet fail with 40001",
    "public.pgbench_tellers: hot rows: 1,020 updates of 10 rows. Behind the gateway, which is REPEATABLE READ on the shards, those that meet fail with 40001",
  ]);
  expect(findings.find(({ object }) => object === "gateway")!.why).toMatch(
    /^[\d.,]+ statements\/s on sharded tables on average in \d+ (s|min)/,
  );
  expect(of("fine")).toContain("5 statements: each finds its shard by the shard key, and its rows there");
  expect(statements.map(({ user, calls }) => `${calls} ${user}`)).toEqual(TPCB.map(() => "20 app"));
});

test("a statement without the key, one with ON CONFLICT (…), and whose word counts about the router", async () => {
  await app.query("insert into pgbench_branches values ($1, $2) on conflict (bid) do nothing", [1, 1]);
  await app.query("select count(*) from pgbench_accounts where bid = $1", [1]);
  const asked = async (options: Partial<ExamineOptions>) =>
    (await examine(admin, { ...OPTIONS, ...options })).findings
      .filter(({ object, level }) => level !== "fine" && /^(insert|select)/.test(object))
      .map(({ object, level, why }) => `${level}, ${object}: ${why.replace(/ \(.*$/, "")}`)
      .sort();
  const count = "costs, select count(*) from pgbench_accounts where bid = $1: it does not name the shard key: every shard is asked";
  const conflict =
    "blocks, insert into pgbench_branches values ($1, $2) on conflict (bid) do nothing: ON CONFLICT with a target fails behind the gateway: its table has no unique index";
  expect(await asked({})).toEqual([conflict, count]);
  expect(await asked({ routed: 0.5 })).toEqual([conflict, count]);
  expect(await asked({ routed: 1 })).toEqual([count]);
  expect(await asked({ routedRoles: ["app"] })).toEqual([count]);
  expect(await asked({ routedRoles: ["app_ro"] })).toEqual([conflict, count]);
});

test("two looks give the rate of now", async () => {
  const looking = examine(admin, { ...OPTIONS, seconds: 1 });
  for (let i = 0; i < 400; i++) await app.query("select abalance from pgbench_accounts where aid = $1", [1]);
  const { load, statements } = await looking;
  const [hot] = statements.filter(({ now }) => now! > 10);
  expect(hot!.text).toBe("select abalance from pgbench_accounts where aid = $1");
  expect(load!.demand).toBeGreaterThanOrEqual(hot!.now!);
});

test("the gateway is measured, and nothing is left of that", async () => {
  const loopback = { server: { host: "/pgtest", dbname: db.name }, user: { user: "ladder_admin" } };
  const left = async () =>
    (
      await admin.query<{ left: string[] }>(
        `select array(select srvname::text from pg_foreign_server union all select nspname::text from pg_namespace where nspname = 'ladder_measure'
           union all select extname::text from pg_extension where extname = 'postgres_fdw') as left`,
      )
    ).rows[0]!.left;
  const before = await left();
  const { load, findings, notes } = await examine(admin, { ...OPTIONS, measure: { connect: () => db.connect(), loopback } });
  expect(load!.measured!.sessions).toBe(8);
  expect(load!.measured!.gateway).toBeGreaterThan(0);
  expect(load!.measured!.direct).toBeGreaterThanOrEqual(load!.measured!.gateway);
  expect(load!.carried).toBe(load!.measured!.gateway);
  expect(findings.find(({ object }) => object === "gateway")!.why).toMatch(
    /the gateway carries about [\d.,]+\/s \([\d.]+ % of direct, measured here just now\)/,
  );
  expect(notes.some((note) => note.includes("measured"))).toBe(false);
  expect(await left()).toEqual(before);

  const nowhere = { ...loopback, server: { host: "/nowhere", dbname: db.name } };
  const failed = await examine(admin, { ...OPTIONS, measure: { connect: () => db.connect(), loopback: nowhere } });
  expect(failed.load!.carried).toBeNull();
  expect(failed.notes[0]).toBe('The gateway was not measured: could not connect to server "ladder_measure".');
  expect(await left()).toEqual(before);
});
