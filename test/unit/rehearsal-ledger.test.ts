/** The ledger on disk: what is durable when. A power cut cannot be tried here. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { History } from "../../rehearsal/history.ts";
import { BATCH, Ledger } from "../../rehearsal/ledger.ts";
import type { RunPlan } from "../../rehearsal/model.ts";

const PLAN: RunPlan = { table: "t", clients: 1, rate: 1, readers: 0, readRate: 0, started: 1000 };
const key = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ledger-"));
  path = join(folder, "run.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

const count = (table: string) => {
  const other = new DatabaseSync(path, { readOnly: true });
  try {
    return other.prepare(`select count(*) as n from ${table}`).get()!.n;
  } finally {
    other.close();
  }
};
const attempt = (ledger: Ledger, write: number) =>
  ledger.attempt({ write, client: 0, intended: 1000 + write, operations: [{ kind: "insert", key: key(write) }] });

describe("ledger", () => {
  test("is opened with the documents' settings", () => {
    const { db } = Ledger.create(path, PLAN);
    const pragma = (name: string) => Object.values(db.prepare(`pragma ${name}`).get()!)[0];
    expect({
      journal_mode: pragma("journal_mode"),
      synchronous: pragma("synchronous"),
      mmap_size: pragma("mmap_size"),
      cache_size: pragma("cache_size"),
      temp_store: pragma("temp_store"),
    }).toEqual({ journal_mode: "wal", synchronous: 1, mmap_size: 256 * 1024 * 1024, cache_size: -10 * 1024, temp_store: 2 });
    expect(BATCH).toBe(500);
    db.close();
  });

  test("an attempt is in the file, for any other process, when its promise resolves", async () => {
    const ledger = Ledger.create(path, PLAN);
    const waiting = attempt(ledger, 1);
    expect(count("write")).toBe(0);
    await waiting;
    expect(count("write")).toBe(1);
    expect(count("operation")).toBe(1);
    ledger.close();
  });

  test("attempts of one turn share transactions of at most 500 records", async () => {
    const ledger = Ledger.create(path, PLAN);
    let commits = 0;
    const exec = ledger.db.exec.bind(ledger.db);
    ledger.db.exec = (sql) => {
      if (sql === "commit") commits++;
      exec(sql);
    };
    await Promise.all(Array.from({ length: 1201 }, (_, i) => attempt(ledger, i + 1)));
    expect(commits).toBe(3);
    expect(count("write")).toBe(1201);
    ledger.close();
  });

  test("a result rides along with the next attempt, or is flushed by itself", async () => {
    const ledger = Ledger.create(path, PLAN);
    await attempt(ledger, 1);
    ledger.result({ write: 1, outcome: "acknowledged", done: 1002, answers: [{ rows: 1, id: "7" }] });
    expect(new History(ledger).outcomes()).toMatchObject({ pending: 1, acknowledged: 0 });
    await attempt(ledger, 2);
    expect(new History(ledger).outcomes()).toMatchObject({ pending: 1, acknowledged: 1 });
    ledger.result({ write: 2, outcome: "failed", done: 1003, error: "23505 duplicate key" });
    await expect.poll(() => new History(ledger).outcomes()).toMatchObject({ pending: 0, failed: 1 });
    expect([...new History(ledger).keys()]).toEqual([
      { key: key(1), operations: [{ write: 1, kind: "insert", outcome: "acknowledged", rows: 1, id: "7" }] },
      { key: key(2), operations: [{ write: 2, kind: "insert", outcome: "failed", rows: null, id: null }] },
    ]);
    ledger.close();
  });

  test("one file is one run; a missing one is named", () => {
    Ledger.create(path, PLAN).close();
    expect(() => Ledger.create(path, PLAN)).toThrow(`ledger: got "${path}", want a file that does not exist yet`);
    const missing = join(folder, "none.db");
    expect(() => Ledger.open(missing)).toThrow(`ledger: got "${missing}", want the ledger file of an earlier run`);
    const again = Ledger.open(path);
    expect(new History(again).plan).toEqual(PLAN);
    expect(new History(again).end).toBeUndefined();
    again.close();
  });

  test("when the disk is full, attempts are rejected and closing says so", async () => {
    const ledger = Ledger.create(path, PLAN);
    await attempt(ledger, 1);
    const { page_count } = ledger.db.prepare("pragma page_count").get() as { page_count: number };
    ledger.db.exec(`pragma max_page_count = ${page_count}`);
    const many = await Promise.allSettled(Array.from({ length: 2000 }, (_, i) => attempt(ledger, i + 2)));
    const rejected = many.filter((one) => one.status === "rejected");
    expect(rejected.length).toBeGreaterThanOrEqual(BATCH);
    expect(String(rejected[0]!.reason)).toContain("full");
    expect(count("write")).toBe(2001 - rejected.length);
    await expect(attempt(ledger, 5000)).rejects.toThrow("full");
    expect(() => ledger.close()).toThrow("full");
  });

  test("after SIGKILL every attempt that was reported durable is there, and Node warns of nothing", async () => {
    const program = `
      import { Ledger } from ${JSON.stringify(new URL("../../rehearsal/ledger.ts", import.meta.url).href)};
      const ledger = Ledger.create(${JSON.stringify(path)}, ${JSON.stringify(PLAN)});
      for (let write = 1; ; write++) {
        await ledger.attempt({ write, client: 0, intended: write, operations: [{ kind: "insert", key: "k" + write }] });
        process.stdout.write(write + "\\n");
      }`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "pipe"] });
    let printed = "";
    let warnings = "";
    child.stderr.on("data", (data) => {
      warnings += data;
    });
    child.stdout.on("data", (data) => {
      printed += data;
      if (printed.length > 4000) child.kill("SIGKILL");
    });
    await new Promise((resolve) => child.on("close", resolve));
    const last = Number(printed.trimEnd().split("\n").at(-1));
    const ledger = Ledger.open(path);
    expect(warnings).toBe("");
    expect(last).toBeGreaterThan(500);
    expect(new History(ledger).outcomes().pending).toBeGreaterThanOrEqual(last);
    ledger.close();
  });
});
