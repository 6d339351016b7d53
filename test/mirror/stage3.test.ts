/**
 * Stage 3 on running servers: 1 → 2 → 3 → 2 while 20 clients write and declared tables become partitioned, the cache behind its URL in use
 * by an application, a killed cache server, and letting go. Cannot prove: how long stalls are on other machines, and what ElastiCache does.
 * Longer faults are in stage3-faults, partitions and conversions in test/postgres.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Verdict } from "../../rehearsal/verdict.ts";
import { type CachedCounts, type CachedPlace, compareCached, prepareCached, runCached } from "../support/cached.ts";
import { underLoad } from "../support/load.ts";
import { TestStack } from "../support/stack.ts";
import { StackCache } from "../support/stack-cache.ts";

const NODES = ["cache-0-1", "cache-0-2"] as const;
/** Of the example application, and the load's own: that one is converted while it is written. */
const TABLES = {
  messages: { partition: { by: "inserted_at" }, autovacuum: "hot" },
  analytics_events: { partition: { by: "created_at" } },
  climb_writes: { partition: { by: "changed_at" } },
};

let stack: TestStack;
let writeUrl: string;
let readUrl: string;
let cache: StackCache;

beforeAll(async () => {
  stack = await TestStack.open({ name: "stage3", port: 6631, config: { stage: "1", tables: JSON.stringify(TABLES) } });
  cache = new StackCache(stack);
});
afterAll(async () => stack?.destroy());

const load = (table: string, work: (mark: (text: string) => void) => Promise<void>) =>
  underLoad({ writeUrl, readUrl, folder: stack.folder, table }, work);

const place = (): CachedPlace => ({ writeUrl, cacheUrl: cache.url, caCertificate: cache.ca });

function expectNothingLost({ passed, reasons, writes, reads, damage }: Verdict): void {
  expect(reasons).toEqual([]);
  expect(passed).toBe(true);
  expect(writes.outcomes).toMatchObject({ failed: 0, refused: 0, unknown: 0, pending: 0 });
  expect(writes.outcomes.acknowledged).toBeGreaterThan(0);
  expect([damage.lost.count, damage.doubled.count, damage.wrong.count, reads.errors, reads.writesAccepted]).toEqual([0, 0, 0, 0, 0]);
}

/** No write and no read failed, whatever happened to the cache, and the cache was of use. */
function expectServed(counts: CachedCounts): void {
  console.log(`cache: the application saw ${JSON.stringify(counts)}`);
  expect(counts.failed).toEqual([]);
  expect(Math.min(counts.writes, counts.reads, counts.hits)).toBeGreaterThan(0);
}

const addressOf = (url: string) => {
  const { protocol, hostname, port, username } = new URL(url);
  return { protocol, hostname, port, username };
};

const inspect = (part: string) => stack.docker.getContainer(stack.container(part)).inspect();

const started = async (url: string): Promise<string> =>
  (await stack.query<{ at: string }>(url, "select pg_postmaster_start_time()::text as at"))[0]!.at;

const psql = (node: string, sql: string) => stack.exec(node, ["psql", "-XqAt", "-U", "ladder_admin", "postgres", "-c", sql]);
const PATIENTLY = { timeout: 30_000, interval: 250 };

const cacheParts = ["cache-0-1", "cache-0-2", "cache-door"];
const below = ["agent", "etcd-1", "main-1", "main-2", "pooler-1"];

test("stage 1 has no cache; the example application gets rows of four months", async () => {
  await stack.climb();
  [writeUrl, readUrl] = [await stack.url("write"), await stack.url("read")];
  await cache.refresh();
  expect(cache.url).toBe("");
  expect(Object.keys(await stack.running()).sort()).toEqual(below.filter((part) => part !== "main-2"));
  await stack.query(
    writeUrl,
    `insert into messages (user_id, conversation_id, inserted_at, content)
     select n % 500, n % 90, now() - n * interval '8 minutes', 'message ' || n from generate_series(1, 20000) n`,
  );
  await stack.query(
    writeUrl,
    `insert into analytics_events (user_id, created_at, event, properties)
     select n % 500, now() - n * interval '16 minutes', 'seen', jsonb_build_object('n', n) from generate_series(1, 10000) n`,
  );
});

const CONTENT = `select (select md5(string_agg(m::text, ',' order by id)) from messages m) as messages,
  (select md5(string_agg(e::text, ',' order by id)) from analytics_events e) as events`;
const KINDS = `select relname as name, relkind as kind, (select count(*)::int from pg_inherits where inhparent = c.oid) > 3 as months
  from pg_class c where relnamespace = 'public'::regnamespace and relname = any($1) order by relname`;

test("1 → 2 → 3 under load: nothing fails, nothing is lost, nothing restarts, the database's URLs stay, declared tables are partitioned", async () => {
  const content = await stack.query(writeUrl, CONTENT);
  const result = await load("climb_writes", async (mark) => {
    const [start, before] = [await started(writeUrl), await stack.running()];
    mark("up to stage 2");
    await stack.climb({ stage: "2" });
    expect(await stack.status()).toMatchObject({ stage: 2, phase: "settled", held: [] });
    mark("up to stage 3");
    await stack.climb({ stage: "3" });
    mark("stage 3");
    expect(await stack.status()).toMatchObject({ stage: 3, phase: "settled", held: [] });
    expect(await started(writeUrl)).toBe(start);
    expect(await stack.running()).toMatchObject(before);
    const look = "select pg_is_in_recovery(), (select count(*) from pg_stat_replication where state = 'streaming')";
    const seen = await Promise.all(["main-1", "main-2", "main-3"].map(async (node) => [node, await psql(node, look)] as const));
    expect(seen.map(([, roles]) => roles).sort()).toEqual(["f|2", "t|0", "t|0"]);
    for (const [replica] of seen.filter(([, roles]) => roles === "t|0"))
      await expect.poll(() => psql(replica, "select count(*) > 0 from pg_stat_activity where usename = 'app_ro'"), PATIENTLY).toBe("t");
    const after = await stack.running();
    expect(await stack.climb()).toEqual([]);
    expect(await stack.running()).toEqual(after);
  });
  expectNothingLost(result);
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
  expect(Object.keys(await stack.running()).sort()).toEqual([...below, "main-3", ...cacheParts].sort());
  const names = Object.keys(TABLES).sort();
  expect(await stack.query(writeUrl, KINDS, [names])).toEqual(names.map((name) => ({ name, kind: "p", months: true })));
  expect(await stack.query(writeUrl, CONTENT)).toEqual(content);
  await cache.refresh();
  expect(addressOf(cache.url)).toEqual({ protocol: "rediss:", hostname: "127.0.0.1", port: "7631", username: "app" });
});

test("the cache's URL and the authority are all that a client needs, with or without knowledge of clusters", async () => {
  await cache.use(async (cache) => {
    expect(await cache.set("greeting", "hello", "EX", 600)).toBe("OK");
    expect(await cache.get("greeting")).toBe("hello");
    expect(await cache.cluster("INFO")).toMatch(/cluster_state:ok\r\ncluster_slots_assigned:16384/);
    expect(await cache.info("memory")).toMatch(/maxmemory_policy:allkeys-lru/);
    for (const [command, ...args] of [
      ["FLUSHALL"],
      ["KEYS", "*"],
      ["CONFIG", "GET", "*"],
      ["CLUSTER", "FAILOVER"],
      ["ACL", "LIST"],
    ] as const)
      await expect(cache.call(command, ...args)).rejects.toThrow(/NOPERM/);
  });
  await cache.clustered(async (cache) => {
    expect(await cache.get("greeting")).toBe("hello");
    await cache.set("clustered", "1");
    const nodes = cache.nodes("all").map(({ options: { host, port } }) => `${host}:${port}`);
    expect(nodes.sort()).toEqual(["127.0.0.1:7632", "127.0.0.1:7633"]);
  });
  const { password } = new URL(cache.url);
  await expect(cache.use((c) => c.ping(), `rediss://app:wrong@127.0.0.1:7631`)).rejects.toThrow(/WRONGPASS|NOAUTH/);
  await expect(cache.use((c) => c.ping(), `redis://app:${password}@127.0.0.1:7631`)).rejects.toThrow();
  await expect(cache.use((c) => c.ping(), "rediss://127.0.0.1:7632")).rejects.toThrow(/NOAUTH/);
});

test("cache nodes are limited, published on this machine only, and hold no password in clear but the one to copy with", async () => {
  const nodes = ((await stack.outputs()).topology as { cache: { name: string; memory: number }[] }).cache;
  expect(nodes.map(({ name }) => name)).toEqual([...NODES]);
  for (const [i, { name, memory }] of nodes.entries()) {
    const { HostConfig, Config } = await inspect(name);
    expect(HostConfig.Memory).toBe(Math.floor((Math.ceil(memory * 1.5) + 64 * 1024) / 1024) * 1024 * 1024);
    expect(HostConfig.PortBindings).toEqual({ [`${7632 + i}/tcp`]: [{ HostIp: "127.0.0.1", HostPort: String(7632 + i) }] });
    expect([Config.User, HostConfig.CapDrop]).toEqual(["6379", ["ALL"]]);
    const files = await stack.exec(name, [
      "sh",
      "-c",
      "stat -c '%a %n' /etc/pgladder/*; cat /etc/pgladder/valkey.conf /etc/pgladder/users.acl",
    ]);
    expect(files).not.toContain(new URL(cache.url).password);
    expect(files.match(/^400 /gm)).toHaveLength(6);
  }
});

test("a killed primary under an application: its replica takes over, nothing fails, and every key agrees with the database", async () => {
  await prepareCached(place());
  const application = await runCached(place());
  const keys = Array.from({ length: 500 }, (_, i) => `key:${i}`);
  await cache.use(async (cache) => {
    for (const key of keys) await cache.set(key, `value of ${key}`);
    await cache.wait(1, 5_000);
  });
  const [dead, other] = (await cache.roleOf(NODES[0])) === "master" ? NODES : [NODES[1], NODES[0]];
  const start = performance.now();
  await stack.docker.getContainer(stack.container(dead)).kill();
  await cache.soon((c) => c.set("after", "the kill"));
  console.log(`cache: ${dead} killed, writes through the URL again after ${Math.round(performance.now() - start)} ms`);
  expect(await cache.roleOf(other)).toBe("master");
  const values = await cache.use((cache) => Promise.all(keys.map((key) => cache.get(key))));
  expect(values).toEqual(keys.map((key) => `value of ${key}`));
  expect(await cache.clustered((c) => c.get("after"))).toBe("the kill");
  await expect.poll(async () => (await stack.status()).moving, PATIENTLY).toBe(`${dead} does not answer`);

  await stack.docker.getContainer(stack.container(dead)).start();
  await expect.poll(async () => (await stack.status()).phase, PATIENTLY).toBe("settled");
  expect([await cache.roleOf(dead), await cache.roleOf(other)]).toEqual(["slave", "master"]);
  expect(await cache.soon((c) => c.get("after"))).toBe("the kill");
  await application.stop();
  expectServed(application.counts);
  const { differing, held } = await compareCached(place());
  expect(differing).toEqual([]);
  expect(held).toBeGreaterThan(0);
});

test("a new password and another memory limit reach the cache while it runs; a session that is open goes on", async () => {
  const before = await stack.running();
  const old = cache.session();
  try {
    expect(await old.get("key:1")).toBe("value of key:1");
    await stack.climb({ rotation: "1" }, { cache: JSON.stringify({ memory: "96MB" }) });
    expect(await old.get("key:2")).toBe("value of key:2");
    expect(await old.info("memory")).toMatch(new RegExp(`maxmemory:${96 * 1024 * 1024}\r`));
  } finally {
    old.disconnect();
  }
  const after = await stack.running();
  for (const part of cacheParts) expect([part, after[part]]).toEqual([part, before[part]]);
  const outdated = cache.url;
  await cache.refresh();
  expect(addressOf(cache.url)).toEqual(addressOf(outdated));
  expect(await cache.use((c) => c.get("key:3"))).toBe("value of key:3");
  await expect(cache.use((c) => c.get("key:3"), outdated)).rejects.toThrow(/WRONGPASS|NOAUTH/);
  [writeUrl, readUrl] = [await stack.url("write"), await stack.url("read")];
});

test("3 → 2 under load: nothing restarts, replica and cache are held and go on, finish lets go of them and the application goes on", async () => {
  const application = await runCached(place());
  const result = await load("back_writes", async (mark) => {
    const [start, before] = [await started(writeUrl), await stack.running()];
    mark("down to stage 2");
    await stack.climb({ stage: "2" });
    mark("stage 2, held parts");
    expect(await stack.running()).toMatchObject(before);
    expect(await stack.status()).toMatchObject({ stage: 2, phase: "settled", held: ["main-3", ...NODES] });
    expect((await stack.outputs()).cacheUrl).toBe(cache.url);
    expect(await cache.use((c) => c.get("key:9"))).toBe("value of key:9");
    expect((await compareCached(place())).held).toBeGreaterThan(0);
    mark("protection off");
    await stack.climb({}, { release: "true" });
    mark("deleted");
    await stack.climb({}, { release: "true" });
    expect(await started(writeUrl)).toBe(start);
  });
  await application.stop();
  expectNothingLost(result);
  expectServed(application.counts);
  expect(Object.keys(await stack.running()).sort()).toEqual(below);
  expect(await stack.dataVolumes()).toEqual(["etcd-1", "main-1", "main-2"]);
  expect(await stack.outputs()).toMatchObject({ stage: 2, held: [], cacheUrl: "" });
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
  expect((await stack.query(writeUrl, KINDS, [["messages"]]))[0]).toMatchObject({ kind: "p" });
  expect((await compareCached({ ...place(), cacheUrl: "" })).differing).toEqual([]);
  expect(await stack.climb()).toEqual([]);
});
