/** Shards are added, split and merged while clients write. Cannot prove: fail-over of a server meanwhile, the pooler, real volumes. */
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { advanceGrow } from "../../agent/shards/grow.ts";
import { advanceShards, type ShardsOptions } from "../../agent/shards/index.ts";
import { shardClasses } from "../../plan/shards.ts";
import { folderOf, removeFolder } from "../support/migrations.ts";
import { startShards, type TestFleet } from "../support/shards.ts";
import { Driver, FILES, GLOBALS, install, Load, TABLES } from "./shards-move.ts";

const SERVERS = 3;
let here: TestFleet;
let folder: string;
let driver: Driver;
let load: Load;
let admins: Client[];

beforeAll(async () => {
  [here, folder] = await Promise.all([startShards({ shards: SERVERS, tables: TABLES, globals: GLOBALS }), folderOf(FILES)]);
  await install(here, folder);
  driver = new Driver(here.fleet, folder);
  load = new Load(() => here.gateway.db.connect("app"));
  admins = await Promise.all([here.gateway, ...here.shards].map(({ db }) => db.connect()));
}, 400_000);

afterAll(async () => {
  await here?.stop();
  if (folder) await removeFolder(folder);
});

/** So many shards are wanted; the servers of all others are there too. */
function wanting(count: number, splits = {}, more: Partial<ShardsOptions> = {}): ShardsOptions {
  const classes = shardClasses(count, splits);
  const shards = here.fleet.shards.map((shard, index) => ({ ...shard, class: classes[index] ?? shard.class }));
  return { ...driver.options(), fleet: { ...here.fleet, shards }, wanted: classes.map((_, index) => index), ...more };
}

/** Until there is nothing to do. */
async function settle(advance: () => Promise<string | undefined>, within = 150_000): Promise<void> {
  let shown: string | undefined;
  for (const end = Date.now() + within; Date.now() < end; ) {
    shown = await advance();
    if (shown === undefined) return;
    driver.shown.push(shown);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not settled: ${shown}`);
}

/** Counts rows that nobody touches, on all shards through the gateway, as long as something goes on. */
async function countWhile(work: () => Promise<void>): Promise<number[]> {
  const app = await here.gateway.db.connect("app");
  const { rows } = await app.query<{ key: string; body: string }>(
    "insert into tokens (owner, body) select 'still-' || n, 'still' from generate_series(1, 200) n returning owner || ' ' || id as key, body",
  );
  for (const { key, body } of rows) load.record[2]!.set(key, { hits: 0, body });
  const counts: number[] = [];
  let over = false;
  const counting = (async () => {
    for (; !over; await pause(20)) {
      const { rows: found } = await app.query<{ n: number }>("select count(*)::int as n from tokens where owner like 'still-%'");
      counts.push(found[0]!.n);
    }
  })();
  await work().finally(() => {
    over = true;
  });
  await counting;
  return counts;
}

const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

/** Nothing failed, every row is on its shard alone, and nothing of the move is left. */
async function sound(count: number, splits = {}): Promise<void> {
  await pause(300);
  await load.stop();
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(1, 1 + count))).toEqual([]);
  expect(await load.differences(admins.slice(0, 1))).toEqual([]);
  const classes = shardClasses(count, splits);
  for (const [index, { modulus, remainder }] of classes.entries()) {
    const admin = admins[1 + index]!;
    const { rows } = await admin.query(
      `select (select count(*)::int from ladder.hidden_class) as hidden, (select count(*)::int from pg_policy where polname !~ '^cron_') as policies,
         (select count(*)::int from pg_class where relrowsecurity and relnamespace = 'public'::regnamespace) as secured,
         (select count(*)::int from pg_constraint where conname = 'ladder_bucket' and convalidated and pg_get_constraintdef(oid) like $1) as checks,
         (select count(*)::int from pg_trigger where tgname = 'ladder_fence') as fences,
         (select string_agg(subname, ' ' order by subname) from pg_subscription) as subscriptions,
         (select string_agg(pubname, ' ' order by pubname) from pg_publication) as publications,
         (select here || ' ' || cardinality(databases) || ' ' || cardinality(moving) from ladder.shard_map) as map`,
      [`%& (${modulus - 1})::bigint) = ${remainder}%`],
    );
    expect(rows[0]).toEqual({
      ...{ hidden: 0, policies: 0, secured: 0, checks: 5, fences: 0, subscriptions: `ladder_global_${index}` },
      ...{ publications: `ladder_back_${index}`, map: `app_shard_${index} ${count} 0` },
    });
  }
}

test("a shard is added under load: nothing lost, doubled or failed, and the way back has all", async () => {
  await load.fill(2_000);
  await settle(() => advanceShards(wanting(2)));
  await load.start(4);
  const counts = await countWhile(() => settle(() => advanceGrow(wanting(3))));
  expect(new Set(counts)).toEqual(new Set([200]));
  expect(counts.length).toBeGreaterThan(20);
  await sound(3);
  expect(driver.log.filter((line) => line.includes("buckets"))).toEqual([
    expect.stringMatching(/^shards: 16 of 64 buckets went from app_shard_0 to app_shard_2; writers were held up for \d+ ms$/),
  ]);
}, 400_000);

test("what is no longer wanted is given up before its buckets are announced: everything as before", async () => {
  const stopAt = async (options: ShardsOptions, point: string) => {
    const passing = (passed: string) => (passed === point ? Promise.reject(new Error("enough")) : Promise.resolve());
    await expect(settle(() => advanceGrow({ ...options, passing }))).rejects.toThrow("enough");
  };
  await load.start(3);
  await stopAt(wanting(2), "catch-up: done");
  await settle(() => advanceGrow(wanting(3)));
  expect(driver.log.at(-1)).toBe("shards: given up: other shards are wanted");
  await sound(3);
  const { rows } = await admins[0]!.query(
    "select kind, count(*)::int as steps, max(step) filter (where state <> 'done') as now from ladder.move group by kind, run",
  );
  expect(rows).toContainEqual({ kind: "4-4", steps: 14, now: "kept" });
  expect(rows).toHaveLength(2);
}, 400_000);

test("it leaves again under load, then another one is split", async () => {
  await load.start(4);
  await settle(() => advanceGrow(wanting(3, { 2: 1 })));
  await sound(3, { 2: 1 });
  expect(driver.log.filter((line) => line.includes("buckets")).slice(1)).toEqual([
    expect.stringMatching(/^shards: 16 of 64 buckets went from app_shard_2 to app_shard_0; /),
    expect.stringMatching(/^shards: 16 of 64 buckets went from app_shard_1 to app_shard_2; /),
  ]);
}, 400_000);

test("the way back leads from the new shards to one server", async () => {
  await load.start(4);
  await settle(() => advanceShards({ ...wanting(3, { 2: 1 }), wanted: [] }));
  await pause(300);
  await load.stop();
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(0, 1))).toEqual([]);
}, 400_000);
