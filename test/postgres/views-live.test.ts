/**
 * The views of schema ladder on what happens in a server: sessions, statistics, replication. Read as ladder_monitor. Cannot prove: replicas, other
 * than a stand-in's slot.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type ClientConfig } from "pg";
import { beforeAll, describe, expect, test } from "vitest";
import { admin, check, db, limit, rowsOf, server, soon, standbyStatus, startViews } from "./views.ts";

startViews();
beforeAll(() =>
  admin.query(`
    set role app;
    create table parents (id bigint primary key);
    insert into parents select generate_series(1, 10);
    create table parts (id bigint, at date, x int) partition by range (at);
    create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-02-01');
    create table parts_2 partition of parts for values from ('2026-02-01') to ('2026-03-01');
    create index parts_x on parts (x);
    reset role`),
);

describe("sessions", () => {
  test("blocked: who waits for whom, the root of a queue of three, and its locks", async () => {
    const [root, middle, last] = await Promise.all([db.connect("app"), db.connect("app"), db.connect("app")]);
    const pids = await Promise.all(
      [root!, middle!, last!].map(async (client) => (await client.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]!.pid),
    );
    await root!.query("begin; update parents set id = id where id = 1");
    const second = middle!.query("alter table parents add extra int");
    await soon(async () => (await rowsOf("select from blocked"))[0]);
    const third = last!.query("select * from parents");
    const rows = await soon(async () => {
      const found = await rowsOf<object>(
        'select pid, "user", wants, object, blocked_by, root_pid, root_user, root_state, query, fix from blocked order by wants desc',
      );
      return found.length === 2 ? found : undefined;
    });
    const head = { root_pid: pids[0], root_user: "app", root_state: "idle in transaction", fix: `select pg_terminate_backend(${pids[0]})` };
    expect(rows).toEqual(
      [
        {
          pid: pids[1],
          user: "app",
          wants: "AccessExclusiveLock",
          object: "public.parents",
          blocked_by: [pids[0]],
          ...head,
          query: "alter table parents add extra int",
        },
        {
          pid: pids[2],
          user: "app",
          wants: "AccessShareLock",
          object: "public.parents",
          blocked_by: [pids[1]],
          ...head,
          query: "select * from parents",
        },
      ].sort((a, b) => (a.wants < b.wants ? 1 : -1)),
    );
    expect(await rowsOf("select pid, mode, object from locks where not granted order by mode")).toEqual([
      { pid: pids[1], mode: "AccessExclusiveLock", object: "public.parents" },
      { pid: pids[2], mode: "AccessShareLock", object: "public.parents" },
    ]);
    await limit("blocked_seconds", -1, 300);
    expect((await check("blocked")).map(({ level, object }) => [level, object]).sort()).toEqual(
      [pids[1], pids[2]].map((pid) => ["warning", `pid ${pid}`]).sort(),
    );
    await root!.query("rollback");
    await Promise.all([second, third]);
    expect(await rowsOf("select * from blocked")).toEqual([]);
    await Promise.all([root!.end(), middle!.end(), last!.end()]);
  });

  test("connections: by role, the sum and the share; health warns by it", async () => {
    const [all] = await rowsOf<{ total: string; max_connections: number; used_percent: string }>(
      "select * from connections where \"user\" = '(all)'",
    );
    expect(all!.max_connections).toBe(100);
    expect(Number(all!.used_percent)).toBe(Number(all!.total));
    const clients = await Promise.all(Array.from({ length: 10 }, () => db.connect("app")));
    // Sessions of the test before may not have ended yet.
    const own = "select total, idle, database from connections where \"user\" = 'app'";
    await expect.poll(() => rowsOf(own)).toEqual([{ total: "10", idle: "10", database: "app" }]);
    await limit("connections_percent", 5, 90);
    expect(await check("connections")).toMatchObject([{ level: "warning" }]);
    await limit("connections_percent", 5, 9);
    expect(await check("connections")).toMatchObject([{ level: "critical" }]);
    await Promise.all(clients.map((client) => client.end()));
  });

  test("a statement that runs, with what ends it", async () => {
    const client = await db.connect("app");
    const { pid } = (await client.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]!;
    const slow = client.query("select pg_sleep(60)").catch((error: Error) => error.message);
    const running = await soon(
      async () =>
        (
          await rowsOf<{ query: string; waits_for: string; fix: string }>(
            `select query, waits_for, fix from running where pid = ${pid} and waits_for <> ''`,
          )
        )[0],
    );
    expect(running).toEqual({ query: "select pg_sleep(60)", waits_for: "Timeout PgSleep", fix: `select pg_cancel_backend(${pid})` });
    await admin.query(running.fix);
    expect(await slow).toBe("canceling statement due to user request");
    await client.end();
  });

  test("long transactions: after a minute, which is a tenth of a second here; with what ends them, and in health", async () => {
    const definition = "select pg_get_viewdef('ladder.long_transactions') as sql";
    const [{ sql }] = (await rowsOf<{ sql: string }>(definition, admin)) as [{ sql: string }];
    expect(sql.match(/'00:01:00'::interval/g)).toHaveLength(2);
    const client = await db.connect("app");
    await client.query("begin; select count(*) from pg_class");
    const pid = (await client.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]!.pid;
    await sleep(600);
    expect(await rowsOf("select * from long_transactions")).toEqual([]);
    await admin.query(`create or replace view ladder.long_transactions as ${sql.replaceAll("'00:01:00'", "'00:00:00.1'")}`);
    try {
      const look = `select pid, "user", database, transaction_seconds >= 0 as aged, state, query, fix from long_transactions where pid = ${pid}`;
      expect(await rowsOf(look)).toEqual([
        {
          pid,
          user: "app",
          database: "app",
          aged: true,
          state: "idle in transaction",
          query: "select pg_backend_pid() as pid",
          fix: `select pg_terminate_backend(${pid})`,
        },
      ]);
      await limit("transaction_seconds", 0, 3600);
      expect((await check("long transactions")).filter(({ object }) => object === `pid ${pid}`)).toMatchObject([{ level: "warning" }]);
      await admin.query(`select pg_terminate_backend(${pid})`);
      await soon(async () => ((await rowsOf(look)).length === 0 ? true : undefined));
    } finally {
      await admin.query(`create or replace view ladder.long_transactions as ${sql}`);
    }
  });

  test("progress: an index build that waits for a writer, by table and phase", async () => {
    const [writer, builder] = await Promise.all([db.connect("app"), db.connect("app")]);
    await admin.query("set role app; create table built (id int); insert into built values (1); reset role");
    await writer!.query("begin; update built set id = 2");
    const building = builder!.query("create index concurrently built_id on built (id)");
    const own = "select kind, phase from progress where \"table\" = 'public.built'";
    await expect.poll(() => rowsOf(own)).toEqual([{ kind: "create index concurrently", phase: "waiting for writers before build" }]);
    await writer!.query("commit");
    await building;
    expect(await rowsOf(own)).toEqual([]);
    await Promise.all([writer!.end(), builder!.end()]);
  });
});

describe("numbers", () => {
  test("table sizes: a partitioned table as a whole, large values apart", async () => {
    await admin.query(
      "insert into parts select g, '2026-01-05', g from generate_series(1, 1000) g; insert into parts values (1, '2026-02-05', 1)",
    );
    await admin.query("analyze parts");
    await admin.query(
      "create table large (x text); alter table large alter x set storage external; insert into large values (repeat('x', 1000000)); analyze large",
    );
    const sizes = await rowsOf<{ table: string; partitions: string; rows_estimated: string; toast_bytes: string; adds_up: boolean }>(
      `select "table", partitions, rows_estimated, toast_bytes, total_bytes = table_bytes + index_bytes + toast_bytes
         and total_bytes = (select sum(pg_total_relation_size(c.oid)) from pg_class c where c.relname ~ ('^' || split_part(t."table", '.', 2) || '(_\\d)?$') and c.relkind = 'r') as adds_up
       from table_sizes t where "table" in ('public.parts', 'public.large') order by 1`,
    );
    expect(sizes).toMatchObject([
      { table: "public.large", partitions: "0", rows_estimated: "1", adds_up: true },
      { table: "public.parts", partitions: "2", rows_estimated: "1001", toast_bytes: "0", adds_up: true },
    ]);
    expect(Number(sizes[0]!.toast_bytes)).toBeGreaterThan(1_000_000);
    const [database] = await rowsOf<{ right: boolean }>(
      "select size_bytes = pg_database_size('app') as right from database_size where this_one",
    );
    expect(database).toEqual({ right: true });
  });

  test("dead rows, sequential scans and cache hits: what the statistics say, per table", async () => {
    await admin.query(
      "create table dying (id int, x text) with (autovacuum_enabled = off); insert into dying select g, 'x' from generate_series(1, 1000) g",
    );
    await admin.query(
      "delete from dying where id <= 250; select count(*) from dying; select count(*) from dying; select pg_stat_force_next_flush()",
    );
    const dying = await soon(async () =>
      (
        await rowsOf<{ dead_rows: string }>("select live_rows, dead_rows, dead_percent from dead_tuples where \"table\" = 'public.dying'")
      ).find((row) => row.dead_rows === "250"),
    );
    expect(dying).toEqual({ live_rows: "750", dead_rows: "250", dead_percent: "25.00" });
    expect(await rowsOf("select scans, rows_read, rows_per_scan from sequential_scans where \"table\" = 'public.dying'")).toEqual([
      { scans: "3", rows_read: "2500", rows_per_scan: "833" },
    ]);
    await limit("dead_rows", 200, 1000);
    expect((await check("dead rows")).filter((row) => row.object === "public.dying")).toMatchObject([
      { level: "warning", value: "250, 25.00 %" },
    ]);
    const [hit] = await rowsOf<{ table: string; hit_percent: string }>("select * from cache_hit");
    expect(hit!.table).toBe("(database)");
    expect(Number(hit!.hit_percent)).toBeGreaterThan(90);
    await admin.query("update ladder.threshold set warning = 1 where name = 'cache_accesses'");
    await limit("cache_hit_percent", 101, 100.5);
    expect(await check("cache hit")).toMatchObject([{ level: "critical" }]);
  });

  test("slow statements: counted per role, percentiles between the mean's neighbours and the maximum", async () => {
    const app = await db.connect("app");
    for (let i = 0; i < 5; i++) await app.query("select pg_sleep($1::float8) as nap", [i === 4 ? 0.06 : 0.01]);
    await app.end();
    const [nap] = await rowsOf<Record<string, number>>(
      `select calls::int, "user", mean_ms::float, p50_ms::float, p95_ms::float, p99_ms::float, max_ms::float from slow_statements where query like '%as nap%'`,
    );
    expect(nap).toMatchObject({ calls: 5, user: "app" });
    expect(nap!.max_ms).toBeGreaterThanOrEqual(60);
    expect(nap!.p50_ms).toBeLessThan(nap!.mean_ms!);
    expect(nap!.p95_ms).toBeGreaterThan(nap!.mean_ms!);
    expect(nap!.p99_ms).toBeGreaterThanOrEqual(nap!.p95_ms!);
    expect(nap!.p99_ms).toBeLessThanOrEqual(nap!.max_ms!);
    await admin.query("update ladder.threshold set warning = 5 where name = 'statement_calls'");
    await limit("statement_p99_ms", 5, 10);
    expect((await check("statements"))[0]).toMatchObject({ level: "critical", object: "select pg_sleep($1::float8) as nap" });
    const [all] = await rowsOf<{ statements: string; checksum_failures: string | null }>("select * from throughput");
    expect(Number(all!.statements)).toBeGreaterThan(100);
  });

  test("sequences near the end of their column's type, and a damaged limit of transaction numbers", async () => {
    await admin.query("create table small (id int generated always as identity); select setval('small_id_seq', 2000000000)");
    expect(await check("sequences")).toMatchObject([
      { level: "critical", object: "public.small_id_seq", value: "2000000000 of 2147483647, 93.1 %" },
    ]);
    expect(await check("transaction numbers")).toMatchObject([{ level: "ok" }]);
    await limit("transaction_ids", -2, -1);
    expect(await check("transaction numbers")).toMatchObject([{ level: "critical" }]);
  });

  test("settings that wait for a restart", async () => {
    await admin.query("alter system set max_connections = 200");
    await admin.query("select pg_reload_conf()");
    const pending = await soon(async () => (await rowsOf<object>("select * from settings_pending"))[0]);
    expect(pending).toEqual({ name: "max_connections", in_use: "100", problem: "waits for a restart" });
    expect(await check("settings")).toMatchObject([{ level: "warning", object: "max_connections" }]);
    await admin.query("alter system reset max_connections");
  });
});

describe("replication", () => {
  test("a slot that nobody reads: what it keeps, and how to let it go", async () => {
    await admin.query(
      "select pg_create_physical_replication_slot('forgotten', true); create table filler as select g, repeat('x', 500) from generate_series(1, 5000) g",
    );
    const [slot] = await rowsOf<{ slot: string; active: boolean; kept_bytes: string; fix: string }>(
      "select slot, active, kept_bytes, fix from replication_slots",
    );
    expect(slot).toMatchObject({ slot: "forgotten", active: false, fix: "select pg_drop_replication_slot('forgotten')" });
    expect(Number(slot!.kept_bytes)).toBeGreaterThan(2_000_000);
    await limit("slot_bytes", 1_000_000, 2_000_000);
    expect(await check("replication slots")).toMatchObject([
      { level: "critical", object: "forgotten", fix: `nobody reads it: ${slot!.fix}` },
    ]);
    await admin.query(slot!.fix);
    expect(await check("replication slots")).toEqual([{ level: "ok", value: null, object: null, fix: null }]);
  });

  test("a stand-in for a replica that stands still: its lag in bytes, and health by 1 MB and 100 MB", async () => {
    const { rows } = await admin.query<{ lsn: string; at: string }>(
      "select lsn, (lsn - '0/0')::bigint as at from pg_create_logical_replication_slot('standby', 'test_decoding')",
    );
    const config = { host: "127.0.0.1", port: server.port, user: "ladder_admin", database: "app", application_name: "main-2" };
    const standby = new Client({ ...config, replication: "database" } as ClientConfig);
    standby.on("error", () => undefined);
    await standby.connect();
    const { connection } = standby as unknown as { connection: Connection };
    const copying = new Promise((resolve) => connection.once("replicationStart", resolve));
    standby.query(`START_REPLICATION SLOT standby LOGICAL ${rows[0]!.lsn}`).catch(() => undefined);
    await copying;
    connection.sendCopyFromChunk(standbyStatus(BigInt(rows[0]!.at)));
    await admin.query("create table more as select g, repeat('x', 500) from generate_series(1, 5000) g");
    const row = await soon(async () =>
      (await rowsOf<{ lag_bytes: string | null }>("select * from replication")).find((each) => each.lag_bytes !== null),
    );
    expect(row).toMatchObject({ node: "main-2", synchronous: "async", measured_by: "replay" });
    expect(Number(row.lag_bytes)).toBeGreaterThan(2_500_000);
    expect(await check("replication lag")).toMatchObject([{ level: "warning", object: "main-2" }]);
    await limit("replication_bytes", 1_000_000, 2_000_000);
    expect(await check("replication lag")).toMatchObject([{ level: "critical", object: "main-2" }]);
    connection.stream.destroy();
  });
});

/** What node-postgres keeps of a session that streams. */
interface Connection {
  once: (event: string, listener: (value: unknown) => void) => void;
  sendCopyFromChunk: (chunk: Buffer) => void;
  stream: { destroy: () => void };
}
