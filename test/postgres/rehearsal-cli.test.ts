/** The command `node rehearsal/cli.ts` as a script calls it, against a real PostgreSQL: signals, crash, exit codes. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { DEFAULT_TABLE } from "../../rehearsal/table.ts";
import type { Verdict } from "../../rehearsal/verdict.ts";
import { bench } from "./rehearsal-server.ts";

const here = bench();

describe("the command", () => {
  const cli = (...args: string[]): ChildProcess & { text: string; warnings: string } => {
    const program = join(import.meta.dirname, "../../rehearsal/cli.ts");
    const child = spawn(process.execPath, [program, ...args, "--write", here.url("app")], { stdio: ["ignore", "pipe", "pipe"] });
    const read = Object.assign(child, { text: "", warnings: "" });
    child.stdout.on("data", (data) => {
      read.text += data;
    });
    child.stderr.on("data", (data) => {
      read.warnings += data;
    });
    return read;
  };
  const closed = (child: ChildProcess) => new Promise<number | null>((resolve) => child.on("close", resolve));
  const rows = async () => Number((await here.sql(`select count(*) as n from ${DEFAULT_TABLE}`).catch(() => [{ n: 0 }]))[0]?.n);
  const running = () => expect.poll(rows, { timeout: 30_000 }).toBeGreaterThan(50);

  test("SIGTERM ends the load cleanly and still gives the verdict; marks come from a file", async () => {
    const marks = here.ledger("marks");
    writeFileSync(marks, "of another run\n");
    const child = cli("--ledger", here.ledger(), "--read", here.url("app_ro"), "--json", "--mark", marks, "--drop");
    await running();
    writeFileSync(marks, "of another run\nclimb begins\n");
    await sleep(500);
    child.kill("SIGTERM");
    expect(await closed(child)).toBe(0);
    const result = JSON.parse(child.text) as Verdict;
    expect(result).toMatchObject({ passed: true, complete: true, reasons: [] });
    expect(result.timeline.flatMap((second) => second.marks)).toEqual(["climb begins"]);
    expect(child.warnings).toBe("stopping; once more ends it at once\n");
    expect(await here.sql(`select to_regclass('${DEFAULT_TABLE}') as t`)).toEqual([{ t: null }]);
  });

  test("after SIGKILL verify finds every row accounted for, and damage done since gives exit code 1", async () => {
    const child = cli("--ledger", here.ledger());
    await running();
    child.kill("SIGKILL");
    await closed(child);
    const first = cli("verify", "--ledger", here.ledger(), "--json");
    expect(await closed(first)).toBe(0);
    expect(JSON.parse(first.text)).toMatchObject({
      passed: true,
      complete: false,
      damage: { phantom: { count: 0 }, lost: { count: 0 } },
    });
    // The oldest write: a late one may have been on its way when the load was killed, and then nobody was told that it is there.
    await here.sql(`delete from ${DEFAULT_TABLE} where key = (select key from ${DEFAULT_TABLE} order by xmin::text::bigint limit 1)`);
    const second = cli("verify", "--ledger", here.ledger());
    expect(await closed(second)).toBe(1);
    expect(second.text).toContain("acknowledged rows lost: got 1, want 0");
  });

  test("refuses another machine without connecting, exit code 2", async () => {
    const child = cli("--ledger", here.ledger(), "--read", "postgresql://app:hidden@db.example.com/app");
    expect(await closed(child)).toBe(2);
    expect(child.warnings).toBe(
      'rehearsal: 1 problem\n  read: got "db.example.com", want a host on this machine (127.0.0.1 or localhost)\n',
    );
  });
});
