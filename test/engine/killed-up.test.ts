/**
 * `bin/up` killed with everything it started (SIGKILL to its process group), at moments spread over the making of a stack and over a
 * climb, and run again. Real Pulumi engine, real Docker. Cannot prove that every instruction is a safe moment, nor what a crash of the
 * Docker engine or of the machine leaves behind.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Dockerode from "dockerode";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";

const BIN = join(import.meta.dirname, "../../bin");
const STACK = "killed-up";
const WHILE_MAKING = [1_000, 3_500, 6_000, 8_500, 12_000, 16_000];
const WHILE_CLIMBING = [4_000, 8_000, 13_000, 25_000];

const folder = mkdtempSync(join(tmpdir(), "pgladder-killed-"));
const environment = { ...process.env, PGLADDER_STATE: join(folder, "state"), PGLADDER_CONFIG: folder };

interface Ended {
  code: number | null;
  output: string;
}

/** Runs a command of bin/; with `killAfter`, its process group gets SIGKILL after so many milliseconds. */
async function run(command: string, args: readonly string[], killAfter?: number): Promise<Ended> {
  const child = spawn(join(BIN, command), ["--stack", STACK, ...args], { detached: true, env: environment });
  child.stdin.end();
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, "exit");
  if (killAfter !== undefined && (await Promise.race([exited, sleep(killAfter, "time")])) === "time") process.kill(-child.pid!, "SIGKILL");
  const [code] = (await exited) as [number | null];
  return { code, output };
}

async function up(...args: string[]): Promise<void> {
  const { code, output } = await run("up", args);
  expect(code, output).toBe(0);
}

async function query<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> {
  const url = (await run("ladder", ["url", "write"])).output.trim().split("\n").at(-1)!;
  const client = new pg.Client({ connectionString: url.replace("sslmode=require", "sslmode=no-verify") });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

const containers = async () => {
  const all = await new Dockerode().listContainers({ all: true, filters: { label: [`pgladder.stack=${STACK}`] } });
  return all
    .filter(({ State }) => State === "running")
    .map(({ Names }) => Names[0]!.slice(1))
    .sort();
};

beforeAll(async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  writeFileSync(join(folder, `Pulumi.${STACK}.yaml`), `config:\n  pgladder:port: "${port}"\n`);
});

afterAll(async () => {
  const { code, output } = await run("down", ["--delete-data"]);
  rmSync(folder, { recursive: true });
  expect(code, output).toBe(0);
});

test("a stack whose making was killed again and again comes up", async () => {
  for (const moment of WHILE_MAKING) await run("up", [], moment);
  await up();
  expect(await containers()).toEqual(["agent", "etcd-1", "main-1", "pooler-1"].map((part) => `pgladder-${STACK}-${part}`));
  await query("create table kept (n int primary key)");
  await query("insert into kept select generate_series(1, 1000)");
});

test("a climb that was killed again and again arrives, with every row", async () => {
  for (const moment of WHILE_CLIMBING) await run("up", ["--stage", "2"], moment);
  await up("--stage", "2");
  expect(await containers()).toEqual(["agent", "etcd-1", "main-1", "main-2", "pooler-1"].map((part) => `pgladder-${STACK}-${part}`));
  expect(await query("select count(*)::int as rows, sum(n)::int as sum from kept")).toEqual([{ rows: 1_000, sum: 500_500 }]);
  const { output } = await run("ladder", ["status", "--json"]);
  expect(JSON.parse(output.trim().split("\n").at(-1)!)).toMatchObject({ stage: 2, phase: "settled", held: [] });
});

test("run once more, nothing changes", async () => {
  const { code, output } = await run("up", ["--json"]);
  expect(code, output).toBe(0);
  expect(JSON.parse(output.trim().split("\n").at(-1)!)).toMatchObject({ stage: 2, changes: 0 });
});
