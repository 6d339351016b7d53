/**
 * A PostgreSQL 17 for the rehearsal's tests, which need what test/support/postgres.ts leaves out: TLS by a private CA, scram, the two roles of
 * the URLs, restarts and freezes. It is gone when the test process ends, however it ends. PGLADDER_TEST_IMAGE names the image.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import { DAMAGE_KINDS } from "../../rehearsal/compare.ts";
import { DEFAULT_TABLE, dropTable, tableRows } from "../../rehearsal/table.ts";
import { clientConfig } from "../../rehearsal/target.ts";
import { type Limits, type Verdict, verdict } from "../../rehearsal/verdict.ts";
import { type Load, type LoadOptions, startLoad } from "../../rehearsal/workload.ts";

const BIN = "/usr/lib/postgresql/17/bin";
const PG_CTL = `${BIN}/pg_ctl -D /tmp/db/data -l /tmp/db/log -w`;
const SET_UP = `
mkdir /tmp/db && cd /tmp/db && echo secret > password
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2
${BIN}/initdb -D /tmp/db/data -U postgres --auth=scram-sha-256 --pwfile=password
echo "hostssl all all all scram-sha-256" >> data/pg_hba.conf
cat >> data/postgresql.conf <<'CONF'
listen_addresses = '*'
unix_socket_directories = '/tmp/db'
ssl = on
ssl_cert_file = '/tmp/db/server.crt'
ssl_key_file = '/tmp/db/server.key'
CONF
${PG_CTL} start`;

const run = promisify(execFile);
/** Never blocks: the load under test runs in this process. */
const docker = async (...args: string[]) => (await run("docker", args)).stdout;

export const counts = ({ damage }: Verdict) =>
  Object.fromEntries(DAMAGE_KINDS.map((kind) => [kind, damage[kind].count]).filter(([, n]) => n !== 0));
export const unsuccessful = ({ writes }: Verdict) => writes.outcomes.failed + writes.outcomes.refused + writes.outcomes.unknown;
/** Waits until the load has more than `n` acknowledged writes. */
export const acknowledged = (load: Load, n: number) =>
  expect.poll(() => load.figures().writes.acknowledged, { timeout: 30_000 }).toBeGreaterThan(n);

export interface Bench {
  port: () => number;
  url: (user: string, port?: number, sslmode?: string) => string;
  /** @default user postgres */
  sql: (text: string) => Promise<Record<string, unknown>[]>;
  inside: (command: string) => Promise<string>;
  restart: (mode: string) => Promise<string>;
  freeze: () => Promise<string>;
  thaw: () => Promise<string>;
  /** A path in this test's own folder. @default ledger.db */
  ledger: (name?: string) => string;
  /** Runs a load with 10 clients at 200 writes a second while something happens, then reconciles. */
  rehearse: (during: (load: Load) => Promise<unknown>, more?: Partial<LoadOptions>, limits?: Limits) => Promise<Verdict>;
}

/** A server for the tests of one file; each test gets a folder, and the rehearsal's table is dropped after it. */
export function bench(): Bench {
  const name = `pgladder-test-rehearsal-${process.pid}`;
  let container: ChildProcess;
  let at = 0;
  let folder = "";
  const inside = (command: string) => docker("exec", "-u", "postgres", name, "bash", "-ec", command);
  const url = (user: string, port = at, mode = "require") => `postgresql://${user}:secret@127.0.0.1:${port}/app?sslmode=${mode}`;
  const ledger = (file = "ledger.db") => join(folder, file);
  const query = async (where: string, text: string) => {
    const client = new pg.Client(clientConfig(where));
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };
  const sql = (text: string) => query(url("postgres"), text);

  beforeAll(async () => {
    const image = process.env.PGLADDER_TEST_IMAGE;
    if (!image) throw new Error("PGLADDER_TEST_IMAGE: got nothing, want an image with PostgreSQL 17");
    const place = ["--rm", "-i", "--init", "--name", name, "-p", "127.0.0.1::5432", "--entrypoint", "cat"];
    container = spawn("docker", ["run", ...place, image], { stdio: ["pipe", "ignore", "ignore"] });
    await vi.waitFor(() => inside("true"), { timeout: 30_000, interval: 200 });
    await inside(SET_UP);
    at = Number((await docker("port", name, "5432/tcp")).trim().split("\n")[0]!.split(":").at(-1));
    const admin = url("postgres").replace("/app?", "/postgres?");
    await query(admin, "create role app login password 'secret'; create role app_ro login password 'secret'");
    await query(admin, "create database app owner app");
    await sql("grant create on schema public to app; alter default privileges for role app grant select on tables to app_ro");
  });
  afterAll(async () => {
    const ended = new Promise((resolve) => container.once("exit", resolve));
    container.stdin!.end();
    await ended;
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "rehearsal-"));
  });
  afterEach(async () => {
    await dropTable(url("app"), DEFAULT_TABLE);
    rmSync(folder, { recursive: true });
  });

  return {
    port: () => at,
    url,
    sql,
    inside,
    restart: (mode) => inside(`${PG_CTL} -m ${mode} restart`),
    freeze: () => docker("pause", name),
    thaw: () => docker("unpause", name),
    ledger,
    rehearse: async (during, more = {}, limits = {}) => {
      const load = await startLoad({
        writeUrl: url("app"),
        readUrl: url("app_ro"),
        ledger: ledger(),
        clients: 10,
        rate: 200,
        ...more,
      });
      try {
        await during(load);
      } finally {
        await load.stop();
      }
      const result = await verdict(load.ledger, tableRows(url("app"), DEFAULT_TABLE), limits);
      load.ledger.close();
      return result;
    },
  };
}
