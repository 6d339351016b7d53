/**
 * The agent's pause on a real PgBouncer that keeps `min_pool_size` connections and is opening others: no client fails, whenever it comes, and nothing of
 * the pause is left. Cannot prove: what HAProxy and a restart between add (test/mirror).
 */
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Client, DatabaseError } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Context } from "../../agent/connections.ts";
import { reload, StillBusy } from "../../agent/logins.ts";
import { paused, reconnect } from "../../agent/pooler.ts";
import type { Pool } from "../../plan/pools.ts";
import { POOLER_ADMIN, renderPgbouncer } from "../../plan/render/pgbouncer.ts";
import { parse } from "../support/config.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

const run = promisify(execFile);
const name = `pgladder-test-${randomBytes(5).toString("hex")}`;
const folder = mkdtempSync(join(tmpdir(), "pgladder-pause-"));
let server: TestServer;
let context: Context;
const clients: Client[] = [];

const MOST = 30;

async function freePort(): Promise<number> {
  const socket = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => socket.once("listening", resolve));
  const { port } = socket.address() as { port: number };
  await new Promise((resolve) => socket.close(resolve));
  return port;
}

function iniFor(port: number): string {
  const pooling = { ...parse({ stage: 1 }).profile.pooler, maxUserConnections: MOST };
  const same = {
    realDatabase: "postgres",
    user: "app",
    region: "here",
    cluster: "main",
    shard: null,
    mode: "transaction",
    size: 20,
    reserve: 0,
  } as const;
  const pools: Pool[] = [
    { ...same, database: "app", to: "primary", minSize: 10, maxConnections: 20 },
    { ...same, database: "app_session", to: "primary", mode: "session", minSize: 0, maxConnections: 5 },
  ];
  return renderPgbouncer(
    { port, pooling, pools },
    {
      listening: ["listen_addr = 127.0.0.1", "unix_socket_dir ="],
      authentication: [],
      serverTls: ["server_tls_sslmode = require"],
      leading: () => `host=127.0.0.1 port=${server.port} dbname=postgres`,
    },
  );
}

beforeAll(async () => {
  server = await startPostgres();
  const admin = await server.connect();
  await admin.query("create role app login; create table seen (n int); alter table seen owner to app");
  const made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=server -keyout /tmp/server.key -out /tmp/server.crt";
  await run("docker", ["exec", "--user", "postgres", server.name, "sh", "-c", made]);
  for (const sql of ["ssl_cert_file = '/tmp/server.crt'", "ssl_key_file = '/tmp/server.key'", "ssl = on"])
    await admin.query(`alter system set ${sql}`);
  await admin.query("select pg_reload_conf()");
  const port = await freePort();
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=DNS:localhost", "-keyout", join(folder, "pooler.key"), "-out", join(folder, "pooler.crt")],
    ],
    { stdio: "ignore" },
  );
  copyFileSync(join(folder, "pooler.crt"), join(folder, "ca.crt"));
  writeFileSync(join(folder, "userlist.txt"), `"app" "secret"\n"${POOLER_ADMIN}" "secret"\n`);
  writeFileSync(join(folder, "pgbouncer.ini"), iniFor(port));
  chmodSync(folder, 0o755);
  chmodSync(join(folder, "pooler.key"), 0o644);
  await run("docker", [
    ...["run", "-d", "--rm", "--name", name, "--network", "host", "-v", `${folder}:/etc/pgladder:ro`],
    ...[process.env.PGLADDER_TEST_POOLER_IMAGE!, "timeout", "300", "pgbouncer", "/etc/pgladder/pgbouncer.ini"],
  ]);
  const desired = { pooler: { host: "localhost", port, limits: { maxUserConnections: MOST, minPoolSize: 10 } } } as Context["desired"];
  context = { files: folder, desired, passwords: { [POOLER_ADMIN]: "secret" } as Context["passwords"], log: () => undefined };
  for (let tries = 0; tries < 50; tries++) if (await settings().catch(() => sleep(100))) break;
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  await run("docker", ["rm", "-f", name]).catch(() => undefined);
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function client(database: string, user = "app"): Promise<Client> {
  const ssl = { ca: readFileSync(join(folder, "ca.crt")), servername: "localhost" };
  const made = new Client({ ...context.desired.pooler, host: "127.0.0.1", user, password: "secret", database, ssl });
  made.on("error", () => undefined);
  await made.connect();
  clients.push(made);
  return made;
}

/** Limits that a pause changes, as PgBouncer has them. */
async function settings(): Promise<Record<string, string>> {
  const console = await client("pgbouncer", POOLER_ADMIN);
  const { rows } = await console.query<{ key: string; value: string }>("SHOW CONFIG");
  await console.end();
  return Object.fromEntries(
    rows.filter(({ key }) => ["max_user_connections", "min_pool_size"].includes(key)).map((row) => [row.key, row.value]),
  );
}
const OF_THE_FILE = { max_user_connections: String(MOST), min_pool_size: "10" };

interface Load {
  done: number;
  failed: string[];
  stop: () => Promise<void>;
}

/** Clients that write a row, wait for a moment, and write again. */
async function load(count: number): Promise<Load> {
  const result: Load = { done: 0, failed: [], stop: async () => undefined };
  let going = true;
  const each = async (own: Client) => {
    while (going) {
      await own.query("insert into seen values (1)").then(
        () => result.done++,
        (error: Error) => result.failed.push(error.message),
      );
      await sleep(Math.random() * 40);
    }
  };
  const all = Promise.all((await Promise.all(Array.from({ length: count }, () => client("app")))).map(each));
  result.stop = async () => {
    going = false;
    await all;
  };
  return result;
}

test("a pause that outlasts PgBouncer's looks at min_pool_size: nobody fails, those who come just after it neither", async () => {
  const late = await Promise.all(Array.from({ length: 10 }, () => client("app")));
  const writers = await load(20);
  for (let round = 0; round < 4; round++) {
    await sleep(300);
    await paused(context, { databases: ["app"], patience: 1_000 }, () => sleep(900));
    // Nobody waits any more, and the pool is still empty: these are the ones that PgBouncer would refuse.
    const answers = await Promise.allSettled(late.map((own) => own.query("select 1")));
    expect(answers.filter(({ status }) => status === "rejected")).toEqual([]);
  }
  await writers.stop();
  expect(writers.failed).toEqual([]);
  const admin = await server.connect();
  expect((await admin.query("select count(*)::int as n from seen")).rows).toEqual([{ n: writers.done }]);
  expect(await settings()).toEqual(OF_THE_FILE);
});

test("pauses and reconnects while connections come and go: nobody fails", async () => {
  const writers = await load(20);
  for (let round = 0; round < 12; round++) {
    await reconnect(context, "app");
    await sleep(Math.random() * 60);
    await paused(context, { databases: ["app"], patience: 1_000 }, async () => undefined);
  }
  await writers.stop();
  expect(writers.failed).toEqual([]);
  expect(await settings()).toEqual(OF_THE_FILE);
});

test("reads its file while connections come and go: nobody fails, and it is the same process", async () => {
  const console = await client("pgbouncer", POOLER_ADMIN);
  let ended = false;
  console.once("end", () => {
    ended = true;
  });
  const writers = await load(20);
  for (let round = 0; round < 60; round++) {
    await reconnect(context, "app");
    await sleep(Math.random() * 20);
    await reload(console);
  }
  await writers.stop();
  expect([writers.failed, ended]).toEqual([[], false]);
  expect(await settings()).toEqual(OF_THE_FILE);
});

test("a transaction that goes on puts the pause off; everything is as before, and sessions of other databases go on", async () => {
  const [busy, other, session] = [await client("app"), await client("app"), await client("app_session")];
  await session.query("select 1");
  await busy.query("begin; select 1");
  let worked = false;
  const pause = paused(context, { databases: ["app"], patience: 500 }, async () => {
    worked = true;
  });
  await expect(pause).rejects.toThrow(new StillBusy("transactions still running after 500 ms"));
  expect(worked).toBe(false);
  expect((await other.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  expect((await session.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  await busy.query("commit");
  expect(await settings()).toEqual(OF_THE_FILE);
});

test("what PgBouncer does without that: a client that comes after a pause is refused", async () => {
  const console = await client("pgbouncer", POOLER_ADMIN);
  const writers = await load(5);
  await sleep(300);
  const late = await Promise.all(Array.from({ length: 10 }, () => client("app")));
  await writers.stop();
  await console.query("PAUSE app");
  await sleep(900);
  await console.query("RESUME app");
  const answers = await Promise.allSettled(late.map((own) => own.query("select 1")));
  const refused = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason as Error] : []));
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]).toBeInstanceOf(DatabaseError);
  expect(refused[0]!.message).toContain("cached error: pause mode");
});
