/**
 * The main promise on running servers: 1 → 2 → 1 and changes within a stage while 20 clients write, nothing failed, lost or doubled.
 * Cannot prove: how long stalls are on other machines, and what a cloud does.
 */
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Verdict } from "../../rehearsal/verdict.ts";
import { underLoad } from "../support/load.ts";
import { TestStack } from "../support/stack.ts";

let stack: TestStack;
let writeUrl: string;
let readUrl: string;

beforeAll(async () => {
  stack = await TestStack.open({ name: "climb", port: 6611, config: { stage: "1", protect: "true" } });
});
afterAll(async () => stack?.destroy());

const load = (table: string, work: (mark: (text: string) => void) => Promise<void>) =>
  underLoad({ writeUrl, readUrl, folder: stack.folder, table }, work);

/** What must hold of every run: not one write failed, nothing is damaged, and the read URL takes no writes. */
function expectNothingLost({ passed, reasons, writes, reads, damage }: Verdict): void {
  expect(reasons).toEqual([]);
  expect(passed).toBe(true);
  expect(writes.outcomes).toMatchObject({ failed: 0, refused: 0, unknown: 0, pending: 0 });
  expect(writes.outcomes.acknowledged).toBeGreaterThan(0);
  expect([damage.lost.count, damage.doubled.count, damage.wrong.count, reads.errors, reads.writesAccepted]).toEqual([0, 0, 0, 0, 0]);
  expect(reads.writesRefused).toBeGreaterThan(0);
}

/** Everything of a URL but the password. */
const address = (url: string) => {
  const { hostname, port, username, pathname, search } = new URL(url);
  return { hostname, port, username, pathname, search };
};
const started = async (url: string): Promise<string> =>
  (await stack.query<{ at: string }>(url, "select pg_postmaster_start_time()::text as at"))[0]!.at;
const setting = async (name: string): Promise<string> =>
  (await stack.query<{ value: string }>(writeUrl, "select current_setting($1) as value", [name]))[0]!.value;

test("stage 1 comes up, with the example application behind both URLs", async () => {
  await stack.climb();
  [writeUrl, readUrl] = [await stack.url("write"), await stack.url("read")];
  expect(await stack.status()).toMatchObject({ stage: 1, phase: "settled", held: [] });
  const options = `?sslmode=require&sslrootcert=${encodeURI(join(stack.folder, `state/${stack.name}-ca.crt`))}`;
  expect(address(writeUrl)).toEqual({ hostname: "127.0.0.1", port: "6611", username: "app", pathname: "/app", search: options });
  expect(address(readUrl)).toEqual({ hostname: "127.0.0.1", port: "6611", username: "app_ro", pathname: "/app_read", search: options });
  const tables = "select count(*)::int as n from pg_tables where tableowner = 'app' and tablename in ('users', 'messages', 'embeddings')";
  expect(await stack.query(writeUrl, tables)).toEqual([{ n: 3 }]);
});

test("both URLs work with the driver as they are; a write through the read URL is refused", async () => {
  await stack.query(writeUrl, "create table notes (id int primary key, text text)");
  await stack.query(writeUrl, "insert into notes values ($1, $2)", [1, "one"]);
  expect(await stack.query(readUrl, "select text from notes where id = $1", [1])).toEqual([{ text: "one" }]);
  await expect(stack.query(readUrl, "insert into notes values (2, 'two')")).rejects.toMatchObject({
    code: expect.stringMatching(/^(25006|42501)$/),
  });
  await expect(stack.query(`${readUrl}&sslmode=disable`.replace("sslmode=require&", ""), "select 1")).rejects.toThrow(/SSL|TLS/i);
});

test("no password is in the state, in a container's description or in a log", async () => {
  const passwords = [writeUrl, readUrl].map((url) => new URL(url).password);
  const platform = JSON.parse(await stack.exec("agent", ["cat", "/etc/pgladder/passwords.json"])) as Record<string, string>;
  const patroni = await stack.exec("main-1", ["cat", "/etc/pgladder/patroni.yml"]);
  const inside = [...patroni.matchAll(/^ +password: (\S+)$/gm)].map(([, password]) => password!);
  const secrets = [...new Set([...passwords, ...Object.values(platform), ...inside])];
  expect(secrets.filter((secret) => /^[A-Za-z0-9]{32}$/.test(secret))).toHaveLength(9);
  const containers = await stack.docker.listContainers({ all: true, filters: { label: [`pgladder.stack=${stack.name}`] } });
  const texts = await Promise.all(
    containers.map(async ({ Id }) => {
      const container = stack.docker.getContainer(Id);
      return JSON.stringify(await container.inspect()) + (await container.logs({ stdout: true, stderr: true })).toString("utf8");
    }),
  );
  for (const text of [stack.stateFile(), ...texts, ...stack.said]) for (const secret of secrets) expect(text.includes(secret)).toBe(false);
});

test("a second up changes nothing", async () => {
  const before = await stack.running();
  expect(await stack.climb()).toEqual([]);
  expect(await stack.running()).toEqual(before);
});

test("1 → 2 → 1 under load: nothing fails, nothing is lost, nothing restarts, the URLs stay", async () => {
  const result = await load("climb_writes", async (mark) => {
    const [start, before] = [await started(writeUrl), await stack.running()];
    mark("up to stage 2");
    await stack.climb({ stage: "2" });
    mark("stage 2");
    expect(await stack.status()).toMatchObject({ stage: 2, phase: "settled", held: [] });
    expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
    expect(await stack.query(readUrl, "select pg_is_in_recovery() as replica")).toEqual([{ replica: true }]);
    expect(await stack.query(writeUrl, "select pg_is_in_recovery() as replica")).toEqual([{ replica: false }]);
    expect(await stack.climb()).toEqual([]);

    mark("down to stage 1");
    await stack.climb({ stage: "1" });
    mark("stage 1, main-2 held");
    expect(await started(writeUrl)).toBe(start);
    expect(await stack.running()).toMatchObject(before);
  });
  expectNothingLost(result);
  expect(await stack.status()).toMatchObject({ stage: 1, phase: "settled", held: ["main-2"] });
  expect((await stack.outputs()).held).toEqual([{ kind: "node", name: "main-2", state: "held" }]);
  expect(Object.keys(await stack.running()).sort()).toEqual(["agent", "etcd-1", "main-1", "main-2", "pooler-1"]);
  expect(await stack.dataVolumes()).toEqual(["etcd-1", "main-1", "main-2"]);
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
});

test("letting go under load: main-2 and its data are gone after the second up, and no write or read failed", async () => {
  const result = await load("release_writes", async (mark) => {
    const start = await started(writeUrl);
    mark("protection off");
    await stack.climb({}, { release: "true" });
    expect(await stack.dataVolumes()).toEqual(["etcd-1", "main-1", "main-2"]);
    mark("deleted");
    await stack.climb({}, { release: "true" });
    mark("done");
    expect(await started(writeUrl)).toBe(start);
  });
  expect(Object.keys(await stack.running()).sort()).toEqual(["agent", "etcd-1", "main-1", "pooler-1"]);
  expect(await stack.dataVolumes()).toEqual(["etcd-1", "main-1"]);
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
  expect(await stack.outputs()).toMatchObject({ stage: 1, held: [] });
  expect(await stack.climb()).toEqual([]);
  expectNothingLost(result);
});

test("changed parameters under load: one is reloaded, one restarts PostgreSQL while clients wait", async () => {
  const result = await load("parameter_writes", async (mark) => {
    const [start, before] = [await started(writeUrl), await stack.running()];
    mark("random_page_cost");
    await stack.climb({ settings: JSON.stringify({ random_page_cost: "1.75" }) });
    expect(await setting("random_page_cost")).toBe("1.75");
    expect(await started(writeUrl)).toBe(start);
    mark("track_activity_query_size");
    await stack.climb({ settings: JSON.stringify({ random_page_cost: "1.75", track_activity_query_size: "8192" }) });
    mark("restarted");
    expect(await setting("track_activity_query_size")).toBe("8kB");
    expect(await started(writeUrl)).not.toBe(start);
    const after = await stack.running();
    for (const part of ["main-1", "pooler-1", "etcd-1"]) expect([part, after[part]]).toEqual([part, before[part]]);
  });
  expectNothingLost(result);
});

test("more memory reaches container and PostgreSQL in place", async () => {
  const before = await stack.running();
  const buffers = await setting("shared_buffers");
  await stack.climb({ primary: JSON.stringify({ memory: "1536MB" }) });
  expect(buffers).toBe("256MB");
  expect(await setting("shared_buffers")).toBe("384MB");
  const { HostConfig } = await stack.docker.getContainer(stack.container("main-1")).inspect();
  expect(HostConfig.Memory).toBe(1536 * 1024 * 1024);
  expect((await stack.running())["main-1"]).toEqual(before["main-1"]);
});

test("a rotation gives new passwords; sessions that are open go on, nothing restarts", async () => {
  const before = await stack.running();
  const start = await started(writeUrl);
  const old = new pg.Client(writeUrl);
  await old.connect();
  try {
    await stack.climb({ rotation: "1" });
    expect((await old.query("select current_user as who")).rows).toEqual([{ who: "app" }]);
  } finally {
    await old.end();
  }
  const [newWrite, newRead] = [await stack.url("write"), await stack.url("read")];
  expect(address(newWrite)).toEqual(address(writeUrl));
  expect(new URL(newWrite).password).not.toBe(new URL(writeUrl).password);
  expect(new URL(newRead).password).not.toBe(new URL(readUrl).password);
  await expect(stack.query(writeUrl, "select 1")).rejects.toMatchObject({ code: expect.stringMatching(/^(28P01|08P01)$/) });
  await expect(stack.query(readUrl, "select 1")).rejects.toMatchObject({ code: expect.stringMatching(/^(28P01|08P01)$/) });
  expect(await stack.query(newRead, "select text from notes")).toEqual([{ text: "one" }]);
  expect(await started(newWrite)).toBe(start);
  const after = await stack.running();
  for (const part of ["agent", "main-1", "pooler-1", "etcd-1"]) expect([part, after[part]]).toEqual([part, before[part]]);
});
