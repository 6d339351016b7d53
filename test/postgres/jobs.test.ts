/** The platform's jobs, run by a real pg_cron. Cannot prove: that they move with the primary, which is pg_cron's own doing. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { maintain, settleJobs } from "../../agent/maintenance/settle.ts";
import type { Desired } from "../../plan/desired.ts";
import { applyPlatform } from "../support/migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let db: TestDatabase;
let admin: Client;

beforeAll(async () => {
  server = await startPostgres();
  db = await server.createDatabase({ name: "app" });
  await applyPlatform(db);
  admin = await db.connect();
});
afterAll(() => server?.stop());

const rowsOf = async <Row extends object>(sql: string): Promise<Row[]> => (await admin.query<Row>(sql)).rows;

/** Calls `look` until it finds something, for at most twenty seconds. */
async function soon<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 200; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(100);
  }
  throw new Error("got nothing within twenty seconds");
}

async function settle(): Promise<string[]> {
  const log: string[] = [];
  await settleJobs(admin, {} as Desired, (line) => log.push(line));
  return log;
}

const scheduled = () => rowsOf<{ name: string; schedule: string }>("select jobname as name, schedule from cron.job order by jobname");
const health = (name: string) => rowsOf<object>(`select level, object, value from ladder.health where "check" = '${name}'`);

const OWN = [
  "ladder-analyze: 0 3 1 * *",
  "ladder-bloat: 30 1 * * *",
  "ladder-heartbeat: 5 seconds",
  "ladder-history: 50 * * * *",
  "ladder-index-use: 40 * * * *",
  "ladder-reindex: 0 2 * * 0",
  "ladder-reorder: 0 4 1 1,4,7,10 *",
  "ladder-settle: 55 * * * *",
  "ladder-tasks: * * * * *",
];

test("jobs are what ladder.job says, and only those are touched", async () => {
  await admin.query("select cron.schedule('nightly', '0 0 * * *', 'select 1'), cron.schedule('ladder-else', '0 0 * * *', 'select 1')");
  const others = (await scheduled()).filter(({ name }) => !OWN.some((line) => line.startsWith(`${name}:`)));
  expect(others.map(({ name }) => name)).toEqual(["ladder-else", "ladder-partitions", "nightly"]);
  expect((await health("jobs")).length).toBe(OWN.length);
  expect(await settle()).toEqual(OWN.map((line) => `jobs: ${line}`));
  expect(await settle()).toEqual([]);
  expect(await health("jobs")).toEqual([{ level: "ok", object: null, value: null }]);
  await admin.query(
    "update ladder.job set schedule = '0 5 * * *' where name = 'ladder-bloat'; update ladder.job set wanted = false where name = 'ladder-reorder'",
  );
  expect(await settle()).toEqual(["jobs: ladder-bloat: 0 5 * * *", "jobs: ladder-reorder: no more"]);
  expect((await scheduled()).map(({ name }) => name)).not.toContain("ladder-reorder");
  expect((await scheduled()).length).toBe(OWN.length - 1 + others.length);
  await admin.query("update ladder.job set wanted = true where name = 'ladder-reorder'");
  expect(await settle()).toEqual(["jobs: ladder-reorder: 0 4 1 1,4,7,10 *"]);
});

test("each job's command runs", async () => {
  for (const { command } of await rowsOf<{ command: string }>("select command from ladder.job order by name")) await admin.query(command);
  expect(await maintain(admin, "run", "bloat")).toEqual(["ladder-bloat: done (call ladder.measure_bloat())"]);
  await expect(maintain(admin, "run", "nothing")).rejects.toThrow('run: got "nothing", want one of ladder-analyze, ladder-bloat,');
});

test("the heartbeat beats by itself; its runs are not in the way in ladder.job_runs", async () => {
  await admin.query(
    "update ladder.heartbeat set beat = '2026-01-01'; update ladder.job set schedule = '1 seconds' where name = 'ladder-heartbeat'",
  );
  expect(await health("heartbeat")).toMatchObject([{ level: "critical" }]);
  await settle();
  await soon(async () => (await rowsOf("select from ladder.heartbeat where beat > now() - interval '1 minute'"))[0]);
  expect(await health("heartbeat")).toMatchObject([{ level: "ok" }]);
  await soon(
    async () =>
      (await rowsOf("select from ladder.jobs where job = 'ladder-heartbeat' and state = 'succeeded' and last_success is not null"))[0],
  );
  expect(await rowsOf("select from ladder.job_runs where job = 'ladder-heartbeat'")).toEqual([]);
});

test("materialized views are refreshed as their comments say; a schedule that makes no sense is a problem that health shows", async () => {
  const app = await db.connect("app");
  await app.query(`
    create table sold (amount int);
    create materialized view sales as select sum(amount) as total, 1 as one from sold;
    create unique index on sales (one);
    comment on materialized view sales is 'refresh: 1 seconds';
    create materialized view plain as select count(*) as n from sold with no data;
    comment on materialized view plain is 'refresh: 0 4 * * *';
    create materialized view wrong as select 1 as x;
    comment on materialized view wrong is 'refresh: every now and then';
    create materialized view quiet as select 1 as x`);
  expect(await settle()).toEqual([
    "jobs: ladder-refresh:public.plain: 0 4 * * *",
    "jobs: ladder-refresh:public.sales: 1 seconds",
    "jobs: ladder-refresh:public.wrong: got 'every now and then': invalid schedule: every now and then",
  ]);
  expect(await health("jobs")).toEqual([
    { level: "warning", object: "ladder-refresh:public.wrong", value: "not scheduled: invalid schedule: every now and then" },
  ]);
  await app.query("insert into sold values (40), (2)");
  await soon(async () => (await app.query("select from sales where total = 42")).rows[0]);
  expect(await rowsOf("select ladder.refresh('public.sales') as how")).toEqual([{ how: "concurrently" }]);
  expect(await rowsOf("select ladder.refresh('public.plain') as how")).toMatchObject([
    { how: "with its readers locked out: it had no rows yet, or has no unique index" },
  ]);
  await app.query(
    "comment on materialized view sales is 'refresh: 30 4 * * *'; comment on materialized view wrong is null; drop materialized view plain",
  );
  expect(await settle()).toEqual(["jobs: ladder-refresh:public.plain: no more", "jobs: ladder-refresh:public.sales: 30 4 * * *"]);
  expect(await rowsOf("select view from ladder.job where view is not null")).toEqual([{ view: "public.sales" }]);
  expect(await health("jobs")).toEqual([{ level: "ok", object: null, value: null }]);
  await app.end();
});

test("a job that fails: in ladder.job_runs and ladder.jobs at once, critical after a day, over with the next success", async () => {
  await admin.query("select cron.schedule('ladder-else', '1 seconds', 'select 1 / 0')");
  const run = await soon(
    async () =>
      (await rowsOf<object>("select state, message, command from ladder.job_runs where job = 'ladder-else' and state = 'failed'"))[0],
  );
  expect(run).toEqual({ state: "failed", message: expect.stringContaining("division by zero"), command: "select 1 / 0" });
  await soon(async () => ((await health("jobs")) as { object: string | null }[]).find(({ object }) => object === "ladder-else"));
  expect(await health("jobs")).toMatchObject([
    { level: "warning", object: "ladder-else", value: expect.stringMatching(/^\d+ failures since .*division by zero/s) },
  ]);
  await admin.query("select cron.alter_job(jobid, schedule := '0 0 1 1 *') from cron.job where jobname = 'ladder-else'");
  await admin.query(
    `update cron.job_run_details set start_time = start_time - interval '25 hours'
     where runid = (select min(runid) from cron.job_run_details where command = 'select 1 / 0')`,
  );
  expect(await health("jobs")).toMatchObject([{ level: "critical", object: "ladder-else" }]);
  await admin.query("select cron.schedule('ladder-else', '1 seconds', 'select 1')");
  await soon(async () => ((await health("jobs")) as { level: string }[]).find(({ level }) => level === "ok"));
  await admin.query("select cron.unschedule('ladder-else')");
});

test("bloated indexes are rebuilt one after the other, left-overs dropped first; writers are not held up", async () => {
  await admin.query(`
    create table logs (id int, x text, y text);
    insert into logs select g, 'x' || g, 'y' || g from generate_series(1, 20000) g;
    create index logs_x on logs (x); create index logs_y on logs (y); create index logs_z_ccnew on logs (x, y);
    create index logs_id on logs (id);
    update pg_index set indisvalid = false where indexrelid = 'logs_z_ccnew'::regclass;
    delete from logs where id % 20 <> 0;
    update ladder.threshold set warning = 100000 where name = 'index_bloat_bytes';
    update ladder.job set wanted = false where name = 'ladder-tasks'`);
  await admin.query("vacuum logs");
  await admin.query("reindex index logs_id");
  await settle();
  await admin.query("call ladder.measure_bloat(0)");
  expect(await rowsOf("select ladder.ask_reindex()::int as asked")).toEqual([{ asked: 3 }]);
  expect(await rowsOf("select ladder.ask_reindex()::int as asked")).toEqual([{ asked: 0 }]);
  const writing = await db.connect("ladder_admin");
  const ended = await soon(async () => {
    await writing.query("insert into logs values (1, 'x', 'y')");
    await admin.query("select ladder.run_tasks('1 seconds')");
    const open = await rowsOf("select from ladder.task where state in ('waiting', 'running')");
    return open.length === 0 ? await rowsOf<object>("select kind, object, state, message from ladder.task order by started") : undefined;
  });
  expect(ended).toEqual([
    { kind: "drop", object: "public.logs_z_ccnew", state: "done", message: "DROP INDEX" },
    { kind: "reindex", object: expect.stringMatching(/^public.logs_[xy]$/), state: "done", message: "REINDEX" },
    { kind: "reindex", object: expect.stringMatching(/^public.logs_[xy]$/), state: "done", message: "REINDEX" },
  ]);
  expect(await rowsOf("select from pg_class where relname like 'logs%cc%'")).toEqual([]);
  await admin.query("call ladder.measure_bloat(0)");
  expect(await rowsOf("select from ladder.index_advice where advice = 'bloated'")).toEqual([]);
  expect((await scheduled()).map(({ name }) => name)).not.toContain("ladder-task");
  expect(await rowsOf("select job, state from ladder.job_runs where job like 'reindex %' order by 1")).toEqual([
    { job: "reindex public.logs_x", state: "succeeded" },
    { job: "reindex public.logs_y", state: "succeeded" },
  ]);
  await writing.end();
});

test("a task starts at a minute of its own; one that fails is shown, until the same one succeeds", async () => {
  await admin.query("select ladder.ask_task('reindex', 'public.gone', 'reindex index concurrently public.gone')");
  await admin.query("select ladder.run_tasks()");
  const [job] = await rowsOf<{ schedule: string; within: boolean }>(
    `select schedule, to_timestamp(format('%s-%s-%s %s:%s', extract(year from now()), p[4], p[3], p[2], p[1]) || '+00', 'YYYY-MM-DD HH24:MI+TZH') - now()
       between interval '9 seconds' and interval '71 seconds' as within
     from cron.job, string_to_array(schedule, ' ') p where jobname = 'ladder-task'`,
  );
  expect(job!.within).toBe(true);
  await admin.query("select cron.schedule('ladder-task', '1 seconds', 'reindex index concurrently public.gone')");
  await soon(async () => {
    await admin.query("select ladder.run_tasks('1 seconds')");
    return (await rowsOf("select from ladder.task where object = 'public.gone' and state = 'failed'"))[0];
  });
  expect(await health("tasks")).toEqual([
    { level: "warning", object: "reindex public.gone", value: expect.stringContaining('relation "public.gone" does not exist') },
  ]);
  await admin.query("insert into ladder.task (kind, object, statement, state) values ('reindex', 'public.gone', 'x', 'done')");
  expect(await health("tasks")).toEqual([{ level: "ok", object: null, value: null }]);
});

test("old runs are forgotten: routine successes after an hour, others after thirty days, never the last of each kind", async () => {
  await admin.query("select cron.unschedule(jobid) from cron.job; delete from cron.job_run_details");
  await settle();
  await admin.query("select cron.alter_job(jobid, active := false) from cron.job");
  await admin.query(`
    insert into cron.job_run_details (jobid, runid, command, status, start_time, end_time)
    select j.jobid, 1000 + row_number() over (order by k.age desc), j.command, k.status, now() - k.age, now() - k.age
    from cron.job j, (values ('ladder-heartbeat', 'succeeded', interval '3 hours'), ('ladder-heartbeat', 'succeeded', '2 hours'),
      ('ladder-heartbeat', 'succeeded', '10 minutes'), ('ladder-heartbeat', 'failed', '20 days'), ('ladder-heartbeat', 'failed', '19 days'),
      ('ladder-analyze', 'succeeded', '70 days'), ('ladder-analyze', 'succeeded', '40 days')) k (job, status, age)
    where j.jobname = k.job`);
  await admin.query("select ladder.forget_history()");
  expect(
    await rowsOf(
      "select j.jobname as job, d.status, extract(hour from now() - d.end_time)::int + 24 * extract(day from now() - d.end_time)::int as hours from cron.job_run_details d join cron.job j using (jobid) where d.runid > 1000 order by 1, 2, 3",
    ),
  ).toEqual([
    { job: "ladder-analyze", status: "succeeded", hours: 960 },
    { job: "ladder-heartbeat", status: "failed", hours: 456 },
    { job: "ladder-heartbeat", status: "failed", hours: 480 },
    { job: "ladder-heartbeat", status: "succeeded", hours: 0 },
  ]);
});
