/**
 * Views, tenants and maintenance jobs on running servers: every `ladder <view>`, tenants behind the pooler, a lagging replica, a reordering by the
 * agent's own pg_repack under writes, and jobs that move with the primary. Cannot prove: what RDS allows, and what each view finds: that is test/postgres/views.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VIEWS } from "../../cli/commands/views.ts";
import type { Report } from "../../cli/report.ts";
import { TestStack } from "../support/stack.ts";

type Row = Readonly<Record<string, unknown>>;

const PATIENTLY = { timeout: 60_000, interval: 500 };
const MAIN = join(import.meta.dirname, "../../cli/main.ts");
const ROWS = 60_000;
/** More than the pool has connections to PostgreSQL. */
const TENANTS = 20;

let stack: TestStack;
let writeUrl: string;
/** Loaded when the folders of the stack are set. */
let commands: typeof import("../../cli/commands/view.ts");

beforeAll(async () => {
  const schema = {
    "0001_visits.sql": `create table visits (id int primary key, at int not null, note text);
      insert into visits select g, (g * 7919) % ${ROWS}, repeat('x', 150) from generate_series(1, ${ROWS}) g;
      create index visits_at on visits (at);
      alter table visits cluster on visits_at;
      create table rooms (id int primary key, tenant_id bigint not null);
      insert into rooms select g, g % ${TENANTS} from generate_series(1, 10 * ${TENANTS}) g;\n`,
  };
  const tables = { visits: { autovacuum: "hot" }, rooms: { tenant: "tenant_id" } };
  const config = { stage: "2", tables: JSON.stringify(tables) };
  stack = await TestStack.open({ name: "maintenance", port: 6651, config, schema });
  commands = await import("../../cli/commands/view.ts");
  await stack.climb();
  writeUrl = await stack.url("write");
});
afterAll(async () => stack?.destroy());

/** What a command prints: for people, and as JSON. */
async function printed(run: (report: Report) => Promise<void>): Promise<{ lines: readonly string[]; value: unknown }> {
  let shown: { lines: readonly string[]; value: unknown } | undefined;
  await run({ say: () => undefined, result: (lines, value) => (shown = { lines, value }) });
  if (!shown) throw new Error("the command ended without a result");
  return shown;
}

async function look(name: string, node?: string): Promise<{ lines: readonly string[]; rows: readonly Row[] }> {
  const args = { stack: stack.name, name, limit: 50, ...(node === undefined ? {} : { node }) };
  const { lines, value } = await printed((report) => commands.view(args, report));
  return { lines, rows: value as Row[] };
}

const maintain = async (what: "vacuum" | "reorder" | "run", object: string) =>
  (await printed((report) => commands.maintain({ stack: stack.name, what, object }, report))).lines;

const NODES = ["main-1", "main-2"];
const psql = (node: string, sql: string) => stack.exec(node, ["psql", "-XqAt", "-U", "ladder_admin", "app", "-c", sql]);
const onPrimary = async (sql: string) => psql((await roles()).primary, sql);
const launchers = (node: string) => psql(node, "select count(*) from pg_stat_activity where backend_type = 'pg_cron launcher'");

/** Which of the two leads when a stack is made is chance. */
async function roles(): Promise<{ primary: string; replica: string }> {
  const standing = await Promise.all(NODES.map((node) => psql(node, "select pg_is_in_recovery()")));
  expect(standing.toSorted()).toEqual(["f", "t"]);
  return { primary: NODES[standing.indexOf("f")]!, replica: NODES[standing.indexOf("t")]! };
}

/** Every view's answer; a few at a time, as each starts a process in the agent's container. */
async function lookAtAll(): Promise<Readonly<Record<string, Awaited<ReturnType<typeof look>>>>> {
  const names = Object.keys(VIEWS);
  const seen: Record<string, Awaited<ReturnType<typeof look>>> = {};
  const next = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) seen[name] = await look(name);
  };
  await Promise.all([next(), next(), next()]);
  return seen;
}

test("every view answers as a table and as rows; what has an exact answer gives it", async () => {
  const { primary, replica } = await roles();
  const client = new pg.Client(writeUrl);
  await client.connect();
  await client.query("select 1");
  const seen = await lookAtAll().finally(() => client.end());
  for (const name of Object.keys(VIEWS)) {
    expect([name, Array.isArray(seen[name]?.rows)]).toEqual([name, true]);
    expect([name, seen[name]!.lines.length]).toEqual([name, Math.max(1, seen[name]!.rows.length + Math.sign(seen[name]!.rows.length))]);
    expect([name, seen[name]!.rows.filter((row) => "error" in row)]).toEqual([name, []]);
  }
  expect(seen.health!.rows.filter(({ level }) => level === "critical")).toEqual([]);
  expect(seen.health!.rows.filter(({ value }) => String(value).startsWith("cannot be checked"))).toEqual([]);
  expect(seen["table-sizes"]!.rows).toContainEqual(
    expect.objectContaining({ table: "public.visits", rows_estimated: ROWS, partitions: 0 }),
  );
  expect(seen["database-size"]!.lines[0]).toMatch(/^database +size {2}this one$/);
  expect(seen.replication!.rows.toSorted((a, b) => (a.on === primary ? -1 : b.on === primary ? 1 : 0))).toMatchObject([
    { on: primary, node: replica, state: "streaming", measured_by: "replay" },
    { on: replica, state: "streaming", measured_by: "heartbeat" },
  ]);
  expect(seen["settings-pending"]!.lines).toEqual(["(nothing)"]);
  expect(seen.pools!.rows.map(({ database, user }) => `${database} ${user}`)).toContain("app app");
  expect(seen.machines!.rows.map(({ part }) => part)).toEqual(["agent", "etcd-1", "main-1", "main-2", "pooler-1"]);
  expect(seen.machines!.rows).toContainEqual(expect.objectContaining({ part: "main-1", memory_limit_bytes: 2 ** 30 }));
  expect(seen.jobs!.rows.filter(({ state }) => ["not scheduled", "switched off", "failed"].includes(String(state)))).toEqual([]);
  expect((await look("connections", replica)).rows[0]).toMatchObject({ user: "(all)" });
  const typed = (...args: string[]) => promisify(execFile)(process.execPath, [MAIN, ...args, "--stack", stack.name]);
  expect((await typed("database-size")).stdout.split("\n").slice(0, -1)).toHaveLength(seen["database-size"]!.lines.length);
  expect(JSON.parse((await typed("table-sizes", "--limit", "1", "--json")).stdout)).toMatchObject([
    { table: "public.visits", partitions: 0 },
  ]);
  await expect(look("health", "main-9")).rejects.toThrow('--node: got "main-9", want primary, all or one of main-1, main-2');
});

test("tenants who share the pooler's few connections see their own rows only, on the primary and on the replica", async () => {
  for (const url of [writeUrl, await stack.url("read")]) {
    const servers = new Set<number>();
    const each = Array.from({ length: TENANTS }, async (_, tenant) => {
      const client = new pg.Client(url);
      await client.connect();
      try {
        for (let turn = 0; turn < 10; turn++) {
          await client.query("begin");
          await client.query("select ladder.set_tenant($1::bigint)", [tenant]);
          const { rows } = await client.query(
            "select pg_backend_pid() as pid, array_agg(distinct tenant_id::int) as seen, count(*)::int from rooms",
          );
          await client.query("commit");
          expect(rows).toEqual([{ pid: expect.any(Number), seen: [tenant], count: 10 }]);
          servers.add(rows[0].pid);
          expect((await client.query("select count(*)::int from rooms")).rows).toEqual([{ count: 0 }]);
        }
      } finally {
        await client.end();
      }
    });
    await Promise.all(each);
    expect(servers.size).toBeLessThan(TENANTS);
  }
});

test("a replica that stands still: how many bytes it is behind, and health says so", async () => {
  const { primary, replica } = await roles();
  await psql(primary, "create table filler as select g, repeat('x', 500) as x from generate_series(1, 10) g");
  await expect.poll(() => psql(replica, "select to_regclass('filler') is not null"), PATIENTLY).toBe("t");
  // Patroni undoes a pause of the replay. A reader who is in the way holds it up for 30 s at most.
  const reading = psql(replica, "begin; select count(*) from filler; select pg_sleep(60)").catch(() => "ended");
  const reader = "select pid from pg_locks where relation = 'filler'::regclass and mode = 'AccessShareLock' and pid <> pg_backend_pid()";
  await expect.poll(() => psql(replica, reader), PATIENTLY).not.toBe("");
  await psql(primary, "alter table filler add y int; insert into filler select g, repeat('x', 500) from generate_series(1, 10000) g");
  const behind = async () => Number((await look("replication")).rows.find(({ on }) => on === primary)?.lag_bytes ?? 0);
  expect(await behind()).toBeGreaterThan(2_000_000);
  expect((await look("health")).rows).toContainEqual(
    expect.objectContaining({ check: "replication lag", object: replica, level: "warning" }),
  );
  await psql(replica, `select pg_terminate_backend(pid) from (${reader}) r`);
  expect(await reading).toBe("ended");
  await expect.poll(behind, PATIENTLY).toBeLessThan(1_000_000);
});

test("what is declared hot is hot; vacuum and a job by hand say what they did", async () => {
  expect(
    await onPrimary("select array_to_string(array(select unnest(reloptions) order by 1), ' ') from pg_class where relname = 'visits'"),
  ).toBe("autovacuum_analyze_scale_factor=0.005 autovacuum_vacuum_cost_delay=2 autovacuum_vacuum_scale_factor=0.01");
  expect((await maintain("vacuum", "visits")).join("\n")).toContain('finished vacuuming "app.public.visits"');
  expect(await maintain("run", "bloat")).toEqual(["ladder-bloat: done (call ladder.measure_bloat())"]);
  expect((await look("bloat")).rows).toContainEqual(expect.objectContaining({ relation: "public.visits_at", method: "pgstatindex" }));
  await expect(maintain("run", "nothing")).rejects.toThrow('run: got "nothing", want one of ladder-analyze, ladder-bloat,');
});

test("a hot table is put in order by the agent's pg_repack while others write; nothing fails, nothing is lost", async () => {
  const client = new pg.Client(writeUrl);
  await client.connect();
  let writing = true;
  let count = 0;
  const written = (async () => {
    while (writing) {
      await client.query("insert into visits values ($1, $1, 'new')", [ROWS + ++count]);
      await client.query("update visits set note = 'changed' where id = $1", [count]);
      await sleep(5);
    }
  })();
  try {
    expect(await maintain("reorder", "visits")).toEqual(["public.visits: asked for, by at", "the mover does it in the background"]);
    const run = async () => (await look("job-runs")).rows.find(({ job }) => job === "reorder public.visits");
    await expect.poll(async () => (await run())?.state, PATIENTLY).not.toMatch(/waiting|running/);
    expect(await run()).toMatchObject({ state: "succeeded", message: null });
  } finally {
    writing = false;
    await written;
    await client.end();
  }
  expect(count).toBeGreaterThan(0);
  const rows = "select count(*), count(*) filter (where note = 'new'), count(*) filter (where note = 'changed') from visits";
  expect(await onPrimary(rows)).toBe(`${ROWS + count}|${count}|${count}`);
  await onPrimary("analyze visits");
  expect(await onPrimary("select correlation > 0.9 from pg_stats where tablename = 'visits' and attname = 'at'")).toBe("t");
});

test("jobs run on the primary only, and on the other node after a fail-over", async () => {
  const { primary, replica } = await roles();
  expect([await launchers(primary), await launchers(replica)]).toEqual(["1", "0"]);
  await stack.docker.getContainer(stack.container(primary)).kill();
  const killed = new Date();
  await expect.poll(() => psql(replica, "select pg_is_in_recovery()"), PATIENTLY).toBe("f");
  await expect.poll(() => launchers(replica), PATIENTLY).toBe("1");
  const beat = async () => (await look("jobs")).rows.find(({ job }) => job === "ladder-heartbeat");
  await expect
    .poll(async () => {
      const { state, last_run } = (await beat().catch(() => undefined)) ?? {};
      return state === "succeeded" && new Date(String(last_run)) > killed;
    }, PATIENTLY)
    .toBe(true);
  await stack.docker.getContainer(stack.container(primary)).start();
  await expect.poll(async () => (await look("replication")).rows.map(({ state }) => state), PATIENTLY).toEqual(["streaming", "streaming"]);
  expect([await launchers(primary), await launchers(replica)]).toEqual(["0", "1"]);
});
