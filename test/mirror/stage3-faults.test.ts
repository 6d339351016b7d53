/**
 * Faults at stage 3 on running servers, with `bin/test --full` only: a cache that hands over, killed writers, killed cache servers, a
 * PostgreSQL fail-over, everything killed at once. Each time every key of cache and database is compared, and the load's record with
 * its table. Cannot prove what failing disks, cut networks and a failing machine do.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "iovalkey";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Verdict } from "../../rehearsal/verdict.ts";
import { type CachedApplication, type CachedCounts, type CachedPlace, compareCached, prepareCached, runCached } from "../support/cached.ts";
import { underLoad } from "../support/load.ts";
import { TestStack } from "../support/stack.ts";
import { StackCache } from "../support/stack-cache.ts";

const NODES = ["cache-0-1", "cache-0-2"] as const;
type CacheNode = (typeof NODES)[number];
const PORTS = { "cache-0-1": 7642, "cache-0-2": 7643 } as const;
const MAIN = ["main-1", "main-2", "main-3"];
/** A fail-over of PostgreSQL takes Patroni's 20 s, and the dead node has to come back. */
const PATIENTLY = { timeout: 120_000, interval: 250 };

let stack: TestStack;
let cache: StackCache;
let place: CachedPlace;
let readUrl: string;
let authority: string;

beforeAll(async () => {
  const schema = { "0001_notes.sql": "create table notes (id int primary key, text text);\n" };
  stack = await TestStack.open({ name: "stage3f", port: 6641, config: { stage: "3" }, schema });
  await stack.climb();
  cache = new StackCache(stack);
  await cache.refresh();
  readUrl = await stack.url("read");
  place = { writeUrl: await stack.url("write"), cacheUrl: cache.url, caCertificate: cache.ca };
  authority = join(stack.folder, "authority.crt");
  writeFileSync(authority, cache.ca);
  await prepareCached(place);
});
afterAll(async () => stack?.destroy());
beforeEach(async () => {
  await settled();
});

const settled = () => expect.poll(async () => (await stack.status()).phase, PATIENTLY).toBe("settled");
const kill = (part: string) => stack.docker.getContainer(stack.container(part)).kill();
const start = (part: string) => stack.docker.getContainer(stack.container(part)).start();
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const primary = async (): Promise<readonly [primary: CacheNode, replica: CacheNode]> =>
  (await cache.roleOf(NODES[0])) === "master" ? NODES : [NODES[1], NODES[0]];

async function leader(): Promise<string> {
  const roles = await Promise.all(
    MAIN.map((node) => stack.exec(node, ["psql", "-XqAt", "-U", "ladder_admin", "postgres", "-c", "select pg_is_in_recovery()"])),
  );
  return MAIN[roles.indexOf("f")]!;
}

/** Runs `work` beside the application, then compares every key. */
async function withApplication(work: (application: CachedApplication) => Promise<void>): Promise<CachedCounts> {
  const application = await runCached(place);
  try {
    await sleep(2_000);
    await work(application);
    await sleep(2_000);
  } finally {
    await application.stop();
  }
  const { counts } = application;
  console.log(`cache: the application saw ${JSON.stringify({ ...counts, failed: counts.failed.length })}`);
  expect(Math.min(counts.writes, counts.reads, counts.hits)).toBeGreaterThan(0);
  await everyKeyAgrees();
  return counts;
}

async function everyKeyAgrees(): Promise<void> {
  const { differing, held } = await compareCached(place);
  expect(differing).toEqual([]);
  expect(held).toBeGreaterThan(0);
}

function expectNoDamage({ writes, damage }: Verdict): void {
  expect(writes.outcomes.pending).toBe(0);
  expect(writes.outcomes.acknowledged).toBeGreaterThan(0);
  expect(Object.entries(damage).flatMap(([kind, { count }]) => (count > 0 ? [`${kind}: ${count}`] : []))).toEqual([]);
}

/** Writers in processes of their own, killed in the middle of their work. */
async function killedWriters(count: number): Promise<void> {
  const script = join(import.meta.dirname, "../support/cached-child.ts");
  const children: ChildProcess[] = Array.from({ length: count }, () =>
    spawn(process.execPath, [script, place.writeUrl, place.cacheUrl, authority], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  await Promise.all(children.map((child) => once(child.stdout!, "data")));
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, "exit")));
}

test("the cache's primary hands over: the door follows, nothing fails, every key agrees", async () => {
  const [before, after] = await primary();
  const passwords = JSON.parse(await stack.exec("agent", ["cat", "/etc/pgladder/passwords.json"])) as Record<string, string>;
  const replica = new Redis(`rediss://ladder_cache:${passwords.ladder_cache}@127.0.0.1:${PORTS[after]}`, { tls: { ca: cache.ca } });
  try {
    const counts = await withApplication(async () => {
      expect(await replica.call("CLUSTER", "FAILOVER")).toBe("OK");
      await expect.poll(() => cache.roleOf(after), PATIENTLY).toBe("master");
      await cache.soon((c) => c.set("after", "the hand-over"));
    });
    expect(counts.failed).toEqual([]);
  } finally {
    replica.disconnect();
  }
  expect(await cache.roleOf(before)).toBe("slave");
});

test("a node that is no longer wanted gives the lead back and is held; wanted again, all is as before", async () => {
  expect(await primary()).toEqual(NODES.toReversed());
  const counts = await withApplication(async () => {
    await stack.climb({}, { cache: JSON.stringify({ replicas: 0 }) });
    expect(await stack.status()).toMatchObject({ phase: "settled", held: [NODES[1]] });
    expect(await primary()).toEqual(NODES);
    await stack.climb();
    expect(await stack.status()).toMatchObject({ phase: "settled", held: [] });
    // With two nodes again each has a smaller share: a container's limit follows one run after its data's.
    expect((await stack.climb()).map(({ op, name }) => `${op} ${name}`)).toEqual(["update cache-0-1"]);
  });
  expect(counts.failed).toEqual([]);
  expect(await primary()).toEqual(NODES);
});

test("killed writers leave nothing old behind", async () => {
  const counts = await withApplication(async () => {
    await killedWriters(2);
  });
  expect(counts.failed).toEqual([]);
});

test("a killed primary of the cache and killed writers at the same time", async () => {
  const [dead] = await primary();
  const counts = await withApplication(async () => {
    const at = performance.now();
    const writers = killedWriters(2);
    await kill(dead);
    await cache.soon((c) => c.set("after", "the kill"));
    console.log(`cache: ${dead} killed, writes through the URL again after ${Math.round(performance.now() - at)} ms`);
    await writers;
    await start(dead);
    await settled();
  });
  expect(counts.failed).toEqual([]);
});

test("both cache servers killed and started in the other order: the agent makes them one again, keys stay", async () => {
  await cache.use((c) => c.set("kept", "yes"));
  const counts = await withApplication(async () => {
    for (const name of NODES) await kill(name);
    for (const name of NODES.toReversed()) await start(name);
    await expect.poll(async () => (await stack.status()).phase, PATIENTLY).toBe("moving");
    await settled();
  });
  expect(counts.failed).toEqual([]);
  expect((await Promise.all(NODES.map((name) => cache.roleOf(name)))).sort()).toEqual(["master", "slave"]);
  expect(await cache.soon((c) => c.get("kept"))).toBe("yes");
  await cache.clustered(async (c) => {
    expect(await c.get("kept")).toBe("yes");
    const nodes = c.nodes("all").map(({ options: { host, port } }) => `${host}:${port}`);
    expect(nodes.sort()).toEqual(Object.values(PORTS).map((port) => `127.0.0.1:${port}`));
  });
});

test("a killed primary of PostgreSQL under load: no acknowledged write is lost, every key agrees", async () => {
  const dead = await leader();
  const result = await underLoad({ ...place, readUrl, folder: stack.folder, table: "failover_writes" }, async (mark) => {
    await withApplication(async ({ counts }) => {
      mark(`${dead} killed`);
      await kill(dead);
      const before = counts.writes;
      await expect.poll(() => counts.writes > before + 100, PATIENTLY).toBe(true);
      mark("writes again");
      await start(dead);
      await settled();
      mark("settled");
    });
  });
  expectNoDamage(result);
  expect(await leader()).not.toBe(dead);
  await everyKeyAgrees();
});

test("everything killed at once and started again comes back, with every key and every row", async () => {
  await cache.use((c) => c.set("kept", "yes"));
  const parts = Object.keys(await stack.running()).sort();
  expect(parts).toEqual(["agent", "cache-0-1", "cache-0-2", "cache-door", "etcd-1", ...MAIN, "pooler-1"]);
  const result = await underLoad({ ...place, readUrl, folder: stack.folder, table: "restart_writes" }, async (mark) => {
    await withApplication(async ({ counts }) => {
      mark("all killed");
      await Promise.all(parts.map(kill));
      await Promise.all(parts.map(start));
      const before = counts.writes;
      await expect.poll(() => counts.writes > before + 100, PATIENTLY).toBe(true);
      mark("writes again");
      await settled();
      mark("settled");
    });
  });
  expectNoDamage(result);
  expect(await cache.soon((c) => c.get("kept"))).toBe("yes");
  expect(await stack.climb()).toEqual([]);
});

test("down and up again: the same keys and rows at the same URLs", async () => {
  await cache.use((c) => c.set("kept", "over down and up"));
  const urls = [place.writeUrl, place.cacheUrl];
  // Loaded late: it reads its folders from the environment that the stack has set.
  const { down } = await import("../../cli/commands/down.ts");
  await down({ stack: stack.name }, { say: () => undefined, result: () => undefined });
  expect(await stack.running()).toEqual({});
  await stack.climb();
  await cache.refresh();
  expect([await stack.url("write"), cache.url]).toEqual(urls);
  expect(await cache.soon((c) => c.get("kept"))).toBe("over down and up");
  const counts = await withApplication(async () => undefined);
  expect(counts.failed).toEqual([]);
});
