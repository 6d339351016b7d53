/** D4: the SQLite store. The ledger that is built on it, SIGKILL included: rehearsal-ledger.test.ts. A power cut cannot be tried here. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { STORE_BATCH, STORE_FLUSH_MS, Store } from "../../client/index.ts";

let folder: string;
let path: string;
let store: Store;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "store-"));
  path = join(folder, "s.db");
  store = new Store(path);
  store.db.exec("create table t (n integer primary key)");
});
afterEach(() => {
  if (store.db.isOpen) store.db.close();
  rmSync(folder, { recursive: true });
});

const insert = (n: number) => () => void store.statement("insert into t values (?)").run(n);
const seenByOthers = () => {
  const other = new DatabaseSync(path, { readOnly: true });
  try {
    return other.prepare("select count(*) as n from t").get()!.n;
  } finally {
    other.close();
  }
};
const executed = () => {
  const statements: string[] = [];
  const exec = store.db.exec.bind(store.db);
  store.db.exec = (sql) => {
    statements.push(sql);
    exec(sql);
  };
  return statements;
};

test("has the requirement documents' settings", () => {
  const pragma = (name: string) => Object.values(store.db.prepare(`pragma ${name}`).get()!)[0];
  expect(["journal_mode", "synchronous", "mmap_size", "cache_size", "temp_store"].map(pragma)).toEqual(["wal", 1, 268_435_456, -10_240, 2]);
  expect([STORE_BATCH, STORE_FLUSH_MS]).toEqual([500, 50]);
});

test("what is durable is committed when its promise resolves, 500 records a transaction", async () => {
  const statements = executed();
  const all = Array.from({ length: 1001 }, (_, n) => store.durable(insert(n)));
  expect(seenByOthers()).toBe(0);
  await Promise.all(all);
  expect(seenByOthers()).toBe(1001);
  expect(statements.filter((sql) => sql === "commit")).toHaveLength(3);
});

test("what is soon rides along, comes by itself, and at the latest with close, which optimizes", async () => {
  store.soon(insert(1));
  expect(seenByOthers()).toBe(0);
  await store.durable(insert(2));
  expect(seenByOthers()).toBe(2);
  store.soon(insert(3));
  await expect.poll(seenByOthers).toBe(3);
  store.soon(insert(4));
  const statements = executed();
  store.close();
  expect(statements).toEqual(["begin immediate", "commit", "pragma optimize"]);
  expect(seenByOthers()).toBe(4);
});

test("a failure undoes its whole transaction and stops the store", async () => {
  await store.durable(insert(1));
  const outcomes = await Promise.allSettled([store.durable(insert(2)), store.durable(insert(1))]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(seenByOthers()).toBe(1);
  expect(String(store.failure)).toContain("UNIQUE constraint failed");
  await expect(store.durable(insert(5))).rejects.toThrow("UNIQUE constraint failed");
  expect(() => store.close()).toThrow("UNIQUE constraint failed");
});
