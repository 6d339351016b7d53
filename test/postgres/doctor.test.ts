/**
 * What the doctor finds in the catalogs: each reason alone, with its exact words, gone when its fix has been run. Each case is a transaction that is
 * rolled back. Cannot prove: that nothing else stands in the way of a move.
 */
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { blockers, type ExamineOptions, examine, type Finding } from "../../agent/doctor/index.ts";
import { applyMigrations } from "../../agent/migrate/index.ts";
import { EXAMPLE_TABLES } from "../../plan/config/tables.ts";
import { ms } from "../../plan/types.ts";
import { platformTemplate } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";
import { BLOCKING, COSTLY, configs, GOOD, MENDED, TABLES } from "./doctor-cases.ts";

let server: TestServer;
let db: TestDatabase;
let admin: Client;

beforeAll(async () => {
  server = await startPostgres();
  const template = await platformTemplate(server);
  db = await server.createDatabase({ template });
  admin = await db.connect();
});
afterAll(() => server?.stop());

async function inside<T>(sql: string, work: () => Promise<T>): Promise<T> {
  await admin.query("begin");
  try {
    await admin.query(sql);
    return await work();
  } finally {
    await admin.query("rollback");
  }
}

const told = ({ object, why, fix }: Finding) => `${object}: ${why}; ${fix}`;
/** A fix as it can be run inside of a transaction. */
const runnable = (fix: string) =>
  fix
    .replace(/ --.*$/, "")
    .replaceAll(" concurrently", "")
    .replace(/^begin; |; commit$/g, "");

const OPTIONS: ExamineOptions = { tables: TABLES, partitions: false, shards: 2, seconds: 0 };

test("a schema in which nothing stands in the way", async () => {
  await inside(GOOD, async () => {
    expect(await blockers(admin, TABLES)).toEqual([]);
    const { findings, ...report } = await examine(admin, OPTIONS);
    expect(report).toMatchObject({ blocks: 0, costs: 0, fine: 7 });
    expect(findings.map(({ object, level, why }) => `${object}, ${level}: ${why}`)).toEqual([
      "public.orders, fine: can be sharded by user_id: 0 rows, 24 kB",
      "public.lines, fine: can be sharded by user_id: 0 rows, 8 kB",
      "public.orders, orders_kind_fkey, fine: the shards check it against their copy of public.kinds; a delete there no longer looks for rows that point at it",
      "public.kinds, fine: global: 16 kB on every server",
      expect.stringMatching(
        /^server, fine: PostgreSQL 17\.\d+ .*, wal_level logical, enough slots, senders and workers for 2 shards, clock$/,
      ),
      expect.stringMatching(
        /^disk, fine: a shard gets about 32 kB: 32 kB in 2 parts, 16 kB of global tables; the database has [\d.]+ MB, and keeps the old tables until finish$/,
      ),
      "gateway, fine: 0 statements/s on sharded tables in the last seconds",
    ]);
  });
});

test.each(MENDED)("blocks: %s", async (_, change, want) => {
  await inside(GOOD + change, async () => {
    const found = await blockers(admin, TABLES);
    const here = found.find((finding) => told(finding) === want);
    expect(here === undefined ? found.map(told) : want).toBe(want);
    // The last alternative of several, where it is SQL as well.
    const last = here!.fix.split("; or ").at(-1)!;
    const fix = runnable(/^(alter|create|drop) /.test(last) ? last : here!.fix)
      .replace(/; (what|make|a function|or) .*$/, "")
      .replace("(…)", "(id)")
      .replace(/^.*a number: /, "");
    await admin.query(fix);
    expect((await blockers(admin, TABLES)).map(told)).not.toContain(want);
  });
});

test.each(BLOCKING)("blocks: %s", async (_, change, want, tables) => {
  await inside(GOOD + change, async () => {
    expect((await blockers(admin, tables ? configs(tables) : TABLES)).map(told)).toContain(want);
  });
});

test("an identity becomes a default that goes on where it was", async () => {
  const sql =
    "set local role app; drop table lines; create table lines (user_id bigint, id bigint generated always as identity, primary key (user_id, id)); insert into lines (user_id) values (1), (2), (3); reset role";
  await inside(GOOD + sql, async () => {
    const [found, ...others] = await blockers(admin, TABLES);
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      object: 'public.lines."id"',
      why: "an identity starts again from 1 when its table is made anew, and ids would be given twice",
    });
    await admin.query(runnable(found!.fix));
    expect(await blockers(admin, TABLES)).toEqual([]);
    const { rows } = await admin
      .query("set local role app; insert into lines (user_id) values (9) returning id")
      .then((answers) => (answers as unknown as { rows: unknown[] }[])[1]!);
    expect(rows).toEqual([{ id: "4" }]);
  });
});

test.each(COSTLY)("costs: %s", async (_, change, want, tables) => {
  await inside(GOOD + change, async () => {
    const { findings } = await examine(admin, { ...OPTIONS, tables: { ...TABLES, ...configs(tables ?? {}) } });
    expect(findings.filter(({ level }) => level === "costs").map(told)).toContain(want);
  });
  await inside(GOOD, async () => {
    expect((await examine(admin, OPTIONS)).findings.map(told)).not.toContain(want);
  });
});

test("a table whose partitions are on shards already is left alone", async () => {
  const tree = `create extension if not exists postgres_fdw; create server s foreign data wrapper postgres_fdw;
    create table far (id bigint not null, at timestamptz) partition by hash (id);
    create foreign table far_0 partition of far for values with (modulus 1, remainder 0) server s`;
  await inside(GOOD + tree, async () => {
    const tables = { ...TABLES, ...configs({ far: { shardBy: "id", partition: { by: "at" } } }) };
    expect(await blockers(admin, tables)).toEqual([]);
    const { findings } = await examine(admin, { ...OPTIONS, tables });
    expect(findings.filter(({ object }) => object === "public.far").map(told)).toEqual([
      "public.far: its rows are on other servers already; ",
    ]);
  });
});

describe("what is under way", () => {
  const locked = async (sql: string): Promise<string[]> => {
    const other = await db.connect();
    try {
      await other.query("begin");
      await other.query(sql);
      return (await blockers(admin, TABLES)).map(({ object, why }) => `${object}: ${why}`);
    } finally {
      await other.query("rollback");
      await other.end();
    }
  };

  test("a change of the table's definition; not its reading and writing", async () => {
    await admin.query(GOOD.replace("set local role", "set role"));
    expect(await locked("insert into lines values (1, 1, 1); lock table orders in row exclusive mode")).toEqual([]);
    expect(await locked("alter table lines add column more text")).toEqual([
      "lines: a change of the table is under way (AccessExclusiveLock: alter table lines add column more text)",
    ]);
    await admin.query("drop table orders, lines, kinds");
  });
});

test("the server: too few slots and workers for many shards, a disk that is too small", async () => {
  await inside(GOOD, async () => {
    const { findings } = await examine(admin, {
      ...OPTIONS,
      shards: 16,
      storage: 1_000,
      shardStorage: 1_000,
      shared: { free: 1_000, nodes: 2 },
    });
    expect(findings.filter(({ level }) => level === "blocks").map(({ object, why }) => `${object}: ${why}`)).toEqual([
      "server: max_replication_slots: 10 of 10 are free, 16 shards want 36",
      "server: max_wal_senders: 10 of 10 are free, 16 shards want 36",
      "server: max_logical_replication_workers: 3 of 4 are free, 16 shards want 16",
      "server: max_worker_processes: 7 of 8 are free, 16 shards want 20",
      expect.stringMatching(/^disk: the database has [\d.]+ MB of 1000 B: WAL is kept while the shards copy$/),
      "disk: a shard gets about 18 kB: 32 kB in 16 parts, 16 kB of global tables; it has 1000 B",
      "disk: a shard gets about 18 kB: 32 kB in 16 parts, 16 kB of global tables, on 2 nodes each: 576 kB; 1000 B are free",
    ]);
  });
});

test("the example application: nothing blocks, and user_handles is what stays on the gateway", async () => {
  const example = await server.createDatabase({ template: "ladder_template" });
  await applyMigrations({
    connect: () => example.connect(),
    folder: "sql/app",
    set: "app",
    role: "app",
    lockTimeout: ms(2_000),
    log: () => undefined,
  });
  const client = await example.connect();
  const report = await examine(client, { ...OPTIONS, tables: configs(EXAMPLE_TABLES) });
  expect(report.findings.filter(({ level }) => level === "blocks")).toEqual([]);
  expect(report.findings.filter(({ level }) => level === "costs").map(({ object }) => object)).toEqual(["public.user_handles"]);
  expect(report.findings.filter(({ why }) => why.startsWith("can be sharded by")).length).toBe(
    Object.values(EXAMPLE_TABLES).filter(({ shardBy }) => shardBy).length,
  );
});
