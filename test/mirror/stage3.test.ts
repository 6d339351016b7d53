/**
 * Stage 3 on running servers: 2 → 3 → 2 while 20 clients write, the cache behind its URL, the cache's fail-over, and letting go.
 * Cannot prove: how long stalls are on other machines, and what ElastiCache does. Partitions have tests of their own.
 */
import { join } from "node:path";
import { Cluster, Redis } from "iovalkey";
import { afterAll, beforeAll, expect, test } from "vitest";
import { renderVerdict } from "../../rehearsal/render.ts";
import { tableRows } from "../../rehearsal/table.ts";
import { type Verdict, verdict } from "../../rehearsal/verdict.ts";
import { startLoad } from "../../rehearsal/workload.ts";
import { TestStack } from "../support/stack.ts";

const NODES = ["cache-0-1", "cache-0-2"] as const;

let stack: TestStack;
let writeUrl: string;
let readUrl: string;
let cacheUrl: string;
let ca: string;

beforeAll(async () => {
  // A schema of its own: nothing is declared, so nothing is converted while the climb is watched.
  const schema = { "0001_notes.sql": "create table notes (id int primary key, text text);\n" };
  stack = await TestStack.open({ name: "stage3", port: 6631, config: { stage: "2" }, schema });
});
afterAll(async () => stack?.destroy());

/** Runs `work` under 20 clients that write at a steady rate, and compares their record with the table. */
async function underLoad(table: string, work: (mark: (text: string) => void) => Promise<void>): Promise<Verdict> {
  const load = await startLoad({ writeUrl, readUrl, ledger: join(stack.folder, `${table}.sqlite`), clients: 20, rate: 50, table });
  try {
    await work((text) => load.mark(text));
  } finally {
    await load.stop();
  }
  try {
    const result = await verdict(load.ledger, tableRows(writeUrl, table));
    console.log(renderVerdict(result));
    return result;
  } finally {
    load.ledger.close();
  }
}

function expectNothingLost({ passed, reasons, writes, damage }: Verdict): void {
  expect(reasons).toEqual([]);
  expect(passed).toBe(true);
  expect(writes.outcomes).toMatchObject({ failed: 0, refused: 0, unknown: 0, pending: 0 });
  expect(writes.outcomes.acknowledged).toBeGreaterThan(0);
  expect([damage.lost.count, damage.doubled.count, damage.wrong.count]).toEqual([0, 0, 0]);
}

/** A client that knows the URL and the authority, nothing else. */
async function withCache<T>(use: (cache: Redis) => Promise<T>, url = cacheUrl): Promise<T> {
  const cache = new Redis(url, { tls: { ca }, lazyConnect: true, retryStrategy: () => null });
  let reason: Error | undefined;
  cache.on("error", (error: Error) => {
    reason ??= error;
  });
  try {
    await cache.connect();
    return await use(cache);
  } catch (error) {
    throw reason ?? error;
  } finally {
    cache.disconnect();
  }
}

async function withCluster<T>(use: (cache: Cluster) => Promise<T>): Promise<T> {
  const { hostname, port, username, password } = new URL(cacheUrl);
  const cache = new Cluster([{ host: hostname, port: Number(port) }], { redisOptions: { username, password, tls: { ca } } });
  try {
    return await use(cache);
  } finally {
    cache.disconnect();
  }
}

/** The same as `withCache`, again until it works: a fail-over ends connections. */
async function soon<T>(use: (cache: Redis) => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await withCache(use);
    } catch (error) {
      if (tries > 150) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

const addressOf = (url: string) => {
  const { protocol, hostname, port, username } = new URL(url);
  return { protocol, hostname, port, username };
};

const inspect = (part: string) => stack.docker.getContainer(stack.container(part)).inspect();

/** What a cache node says: its own role, as `ROLE` gives it. */
async function roleOf(part: string): Promise<string> {
  const ask = "REDISCLI_AUTH=$(cat /etc/pgladder/door.password) valkey-cli --no-auth-warning --user ladder_cache_door --tls";
  const { Ports } = (await inspect(part)).NetworkSettings;
  const port = Object.keys(Ports)
    .find((key) => Ports[key])!
    .split("/")[0];
  return (await stack.exec(part, ["sh", "-c", `${ask} --cacert /etc/pgladder/ca.crt -p ${port} role`])).split("\n")[0]!;
}

const started = async (url: string): Promise<string> =>
  (await stack.query<{ at: string }>(url, "select pg_postmaster_start_time()::text as at"))[0]!.at;

const psql = (node: string, sql: string) => stack.exec(node, ["psql", "-XqAt", "-U", "ladder_admin", "postgres", "-c", sql]);
const PATIENTLY = { timeout: 30_000, interval: 250 };

const cacheParts = ["cache-0-1", "cache-0-2", "cache-door"];
const below = ["agent", "etcd-1", "main-1", "main-2", "pooler-1"];

test("stage 2 has no cache", async () => {
  await stack.climb();
  [writeUrl, readUrl] = [await stack.url("write"), await stack.url("read")];
  ca = String((await stack.outputs()).caCertificate);
  expect((await stack.outputs()).cacheUrl).toBe("");
  expect(Object.keys(await stack.running()).sort()).toEqual(below);
});

test("2 → 3 under load: nothing fails, nothing is lost, nothing restarts, the database's URLs stay", async () => {
  const result = await underLoad("climb_writes", async (mark) => {
    const [start, before] = [await started(writeUrl), await stack.running()];
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
    expect(await stack.climb()).toEqual([]);
  });
  expectNothingLost(result);
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
  expect(Object.keys(await stack.running()).sort()).toEqual([...below, "main-3", ...cacheParts].sort());
  cacheUrl = String((await stack.outputs()).cacheUrl);
  expect(addressOf(cacheUrl)).toEqual({ protocol: "rediss:", hostname: "127.0.0.1", port: "7631", username: "app" });
});

test("the cache's URL and the authority are all that a client needs, with or without knowledge of clusters", async () => {
  await withCache(async (cache) => {
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
  await withCluster(async (cache) => {
    expect(await cache.get("greeting")).toBe("hello");
    await cache.set("clustered", "1");
    const nodes = cache.nodes("all").map(({ options: { host, port } }) => `${host}:${port}`);
    expect(nodes.sort()).toEqual(["127.0.0.1:7632", "127.0.0.1:7633"]);
  });
  const { password } = new URL(cacheUrl);
  await expect(withCache((cache) => cache.ping(), `rediss://app:wrong@127.0.0.1:7631`)).rejects.toThrow(/WRONGPASS|NOAUTH/);
  await expect(withCache((cache) => cache.ping(), `redis://app:${password}@127.0.0.1:7631`)).rejects.toThrow();
  await expect(withCache((cache) => cache.ping(), "rediss://127.0.0.1:7632")).rejects.toThrow(/NOAUTH/);
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
    expect(files).not.toContain(new URL(cacheUrl).password);
    expect(files.match(/^400 /gm)).toHaveLength(6);
  }
});

test("a killed primary: its replica takes over, keys stay, both ways in work, and the old one comes back as a replica", async () => {
  const keys = Array.from({ length: 500 }, (_, i) => `key:${i}`);
  const { dead, other } = await withCache(async (cache) => {
    for (const key of keys) await cache.set(key, `value of ${key}`);
    await cache.wait(1, 5_000);
    const role = await roleOf("cache-0-1");
    return role === "master" ? { dead: "cache-0-1", other: "cache-0-2" } : { dead: "cache-0-2", other: "cache-0-1" };
  });
  const start = performance.now();
  await stack.docker.getContainer(stack.container(dead)).kill();
  await soon((cache) => cache.set("after", "the kill"));
  console.log(`cache: ${dead} killed, writes through the URL again after ${Math.round(performance.now() - start)} ms`);
  expect(await roleOf(other)).toBe("master");
  const values = await withCache((cache) => Promise.all(keys.map((key) => cache.get(key))));
  expect(values).toEqual(keys.map((key) => `value of ${key}`));
  expect(await withCluster((cache) => cache.get("after"))).toBe("the kill");
  await expect.poll(async () => (await stack.status()).moving, PATIENTLY).toBe(`${dead} does not answer`);

  await stack.docker.getContainer(stack.container(dead)).start();
  await expect.poll(async () => (await stack.status()).phase, PATIENTLY).toBe("settled");
  expect([await roleOf(dead), await roleOf(other)]).toEqual(["slave", "master"]);
  expect(await soon((cache) => cache.get("after"))).toBe("the kill");
});

test("both killed and started in the other order, with each other's addresses perhaps: the agent makes them one again, keys stay", async () => {
  for (const name of NODES) await stack.docker.getContainer(stack.container(name)).kill();
  for (const name of NODES.toReversed()) await stack.docker.getContainer(stack.container(name)).start();
  await expect.poll(async () => (await stack.status()).phase, PATIENTLY).toBe("moving");
  await expect.poll(async () => (await stack.status()).phase, PATIENTLY).toBe("settled");
  expect((await Promise.all(NODES.map(roleOf))).sort()).toEqual(["master", "slave"]);
  expect(await soon((cache) => cache.get("key:7"))).toBe("value of key:7");
  await withCluster(async (cache) => {
    expect(await cache.get("key:8")).toBe("value of key:8");
    const nodes = cache.nodes("all").map(({ options: { host, port } }) => `${host}:${port}`);
    expect(nodes.sort()).toEqual(["127.0.0.1:7632", "127.0.0.1:7633"]);
  });
});

test("a rotation gives the cache a new password; a session that is open goes on", async () => {
  const old = new Redis(cacheUrl, { tls: { ca }, retryStrategy: () => null });
  try {
    expect(await old.get("key:1")).toBe("value of key:1");
    await stack.climb({ rotation: "1" });
    expect(await old.get("key:2")).toBe("value of key:2");
  } finally {
    old.disconnect();
  }
  const before = cacheUrl;
  cacheUrl = String((await stack.outputs()).cacheUrl);
  expect(addressOf(cacheUrl)).toEqual(addressOf(before));
  expect(await withCache((cache) => cache.get("key:3"))).toBe("value of key:3");
  await expect(withCache((cache) => cache.get("key:3"), before)).rejects.toThrow(/WRONGPASS|NOAUTH/);
  [writeUrl, readUrl] = [await stack.url("write"), await stack.url("read")];
});

test("3 → 2 under load: nothing restarts, replica and cache are held and go on, finish lets go of them", async () => {
  const result = await underLoad("back_writes", async (mark) => {
    const [start, before] = [await started(writeUrl), await stack.running()];
    mark("down to stage 2");
    await stack.climb({ stage: "2" });
    mark("stage 2, held parts");
    expect(await stack.running()).toMatchObject(before);
    expect(await stack.status()).toMatchObject({ stage: 2, phase: "settled", held: ["main-3", "cache-0-1", "cache-0-2"] });
    expect((await stack.outputs()).cacheUrl).toBe(cacheUrl);
    expect(await withCache((cache) => cache.get("key:9"))).toBe("value of key:9");
    mark("protection off");
    await stack.climb({}, { release: "true" });
    mark("deleted");
    await stack.climb({}, { release: "true" });
    expect(await started(writeUrl)).toBe(start);
  });
  expectNothingLost(result);
  expect(Object.keys(await stack.running()).sort()).toEqual(below);
  expect(await stack.dataVolumes()).toEqual(["etcd-1", "main-1", "main-2"]);
  expect(await stack.outputs()).toMatchObject({ stage: 2, held: [], cacheUrl: "" });
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
});
