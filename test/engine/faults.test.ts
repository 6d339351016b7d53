/**
 * Faults and bad input on the real engine and the real Docker: containers killed and removed by hand, a port taken, migrations that are
 * broken, edited or missing. Cannot prove what a failing disk or a cut network does.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TestStack } from "../support/stack.ts";

const ROOT = join(import.meta.dirname, "../..");
const PORT = 6621;
const NOTES = "create table notes (id int primary key, text text);\n";

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.open({ name: "faults", port: PORT, schema: { "0001_notes.sql": NOTES } });
});
afterAll(async () => stack?.destroy());

const listening = (port: number) =>
  new Promise<Server>((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
const closed = (server: Server) => new Promise<void>((resolve) => server.close(() => resolve()));

const texts = async () => stack.query<{ text: string }>(await stack.url("read"), "select text from notes order by id");
const applied = async () => {
  const sql = "select coalesce(string_agg(file, ',' order by file), '') from ladder.migration where set = 'app'";
  return stack.exec("main-1", ["psql", "-XqAt", "-U", "ladder_admin", "-d", "app", "-c", sql]);
};
const tables = async () =>
  (
    await stack.query<{ name: string }>(
      await stack.url("write"),
      "select tablename as name from pg_tables where tableowner = 'app' order by 1",
    )
  ).map(({ name }) => name);

test("a port that another process has fails the first up, naming the port; once it is free, up works", async () => {
  const other = await listening(PORT);
  try {
    const { refuseConflicts } = await import("../../cli/conflicts.ts");
    await expect(refuseConflicts(await stack.opened(), await stack.preview())).rejects.toThrow(
      `port ${PORT}: is taken by process ${process.pid} (`,
    );
    const message = await stack.failingUp();
    expect(message).toContain(String(PORT));
    expect(message).toMatch(/address already in use|port is already allocated/);
  } finally {
    await closed(other);
  }
  await stack.climb();
  await stack.query(await stack.url("write"), "insert into notes values (1, 'kept')");
  expect(await texts()).toEqual([{ text: "kept" }]);
});

describe("by hand", () => {
  test("a node that was killed comes back with its data by the next up", async () => {
    const { id } = (await stack.running())["main-1"]!;
    await stack.docker.getContainer(id).kill();
    expect(Object.keys(await stack.running())).not.toContain("main-1");
    const changes = await stack.climb();
    expect(changes.map(({ name }) => name)).toContain("main-1");
    expect(Object.keys(await stack.running()).sort()).toEqual(["agent", "etcd-1", "main-1", "pooler-1"]);
    expect(await texts()).toEqual([{ text: "kept" }]);
    expect(await stack.climb()).toEqual([]);
  });

  test("a pooler that was removed comes back on the same port", async () => {
    const url = await stack.url("write");
    await stack.docker.getContainer(stack.container("pooler-1")).remove({ force: true });
    const changes = await stack.climb();
    expect(changes.map(({ op, name }) => `${op} ${name}`)).toContain("create pooler-1");
    expect(await stack.url("write")).toBe(url);
    expect(await texts()).toEqual([{ text: "kept" }]);
    expect(await stack.climb()).toEqual([]);
  });

  test("a node that was removed comes back on its volume", async () => {
    await stack.docker.getContainer(stack.container("main-1")).remove({ force: true });
    await stack.climb();
    expect(await texts()).toEqual([{ text: "kept" }]);
  });
});

describe("migrations", () => {
  test("a syntax error fails up with file, line and PostgreSQL's message; nothing of that run is applied; the mended file is", async () => {
    stack.writeSql("0002_good.sql", "create table good (id int primary key);\n");
    stack.writeSql("0003_broken.sql", "-- two\n\ncreate table bad (id int,,);\n");
    const message = await stack.failingUp();
    expect(message).toContain('0003_broken.sql:3:26: syntax error at or near ","');
    expect([await tables(), await applied()]).toEqual([["notes"], "0001_notes.sql"]);
    expect(await texts()).toEqual([{ text: "kept" }]);

    stack.writeSql("0003_broken.sql", "-- two\n\ncreate table bad (id int);\n");
    await stack.climb();
    expect([await tables(), await applied()]).toEqual([["bad", "good", "notes"], "0001_notes.sql,0002_good.sql,0003_broken.sql"]);
  });

  test("an error while running fails up the same way, and the file's first statements are taken back", async () => {
    stack.writeSql("0004_late.sql", "create table late (id int primary key);\ninsert into late values (1), (1);\n");
    const message = await stack.failingUp();
    expect(message).toContain('0004_late.sql:2:1: duplicate key value violates unique constraint "late_pkey" (SQLSTATE 23505)');
    expect(await tables()).not.toContain("late");
    rmSync(join(stack.schema, "0004_late.sql"));
    await stack.climb();
  });

  test("a file that was edited after it was applied is named and refused; as it was, up works", async () => {
    stack.writeSql("0001_notes.sql", `${NOTES}-- edited\n`);
    const message = await stack.failingUp();
    expect(message).toContain("app migrations (nothing was changed): 1 problem");
    expect(message).toMatch(/0001_notes\.sql: got "edited after it was applied \(sha256 [0-9a-f]{12}…\)"/);
    stack.writeSql("0001_notes.sql", NOTES);
    await stack.climb();
    expect(await texts()).toEqual([{ text: "kept" }]);
  });

  test("a folder that is not there, and one that is a file, are refused before anything changes", async () => {
    const before = await stack.running();
    const folder = relative(ROOT, stack.schema);
    expect(await stack.failingUp({ schema: `${folder}-none` }).catch(String)).toContain(
      `got "${folder}-none (not there)", want a folder of .sql files`,
    );
    const file = `${folder}/0001_notes.sql`;
    expect(await stack.failingUp({ schema: file })).toContain(`pgladder:schema: got "${file} (a file)", want a folder of .sql files`);
    stack.configure({ schema: folder });
    expect(await stack.climb()).toEqual([]);
    expect(await stack.running()).toEqual(before);
  });
});

test("an empty folder is refused where files were applied before", async () => {
  const empty = join(stack.folder, "empty");
  mkdirSync(empty);
  writeFileSync(join(empty, "README"), "no SQL here\n");
  expect(await stack.failingUp({ schema: relative(ROOT, empty) })).toContain(
    'got "none of the 3 files applied to this database", want the folder this database was made from',
  );
});

test("with the folder back, up works", async () => {
  await stack.climb({ schema: relative(ROOT, stack.schema) });
  expect(await texts()).toEqual([{ text: "kept" }]);
});
