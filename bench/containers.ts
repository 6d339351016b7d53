/** A real PostgreSQL and a real Valkey for one run of the bench: containers that end with it, however it ends. */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Redis } from "iovalkey";
import pg from "pg";

const run = promisify(execFile);
const TRIES = 240;

/** What the server runs with, beside PostgreSQL's defaults. Commits reach the disk. */
export const SETTINGS = {
  shared_buffers: "512MB",
  work_mem: "16MB",
  maintenance_work_mem: "256MB",
  wal_buffers: "64MB",
  max_wal_size: "4GB",
  checkpoint_timeout: "30min",
  random_page_cost: "1.1",
  effective_io_concurrency: "200",
  jit: "off",
  max_parallel_workers_per_gather: "0",
  autovacuum: "off",
} as const;

/** Ends the server when standard input closes, that is, when the process that started it is gone. */
const postgres = (settings: Readonly<Record<string, string>>): string => `
set -e
export PATH=/usr/lib/postgresql/17/bin:$PATH PGDATA=/var/lib/postgresql/bench
initdb -U bench --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
echo "host all all all trust" >> $PGDATA/pg_hba.conf
postgres -c listen_addresses='*' -c unix_socket_directories=/tmp ${Object.entries(settings)
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(" ")} </dev/null >&2 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
`;
const VALKEY = `
valkey-server --port 6379 --bind 0.0.0.0 --protected-mode no --save '' --appendonly no --dir /tmp </dev/null >&2 &
server=$!
cat >/dev/null
kill $server
wait $server
`;

interface Container {
  name: string;
  port: number;
  stop: () => Promise<void>;
}

async function start(image: string, script: string, port: number, more: readonly string[]): Promise<Container> {
  const name = `pgladder-bench-${randomBytes(5).toString("hex")}`;
  const child: ChildProcessWithoutNullStreams = spawn("docker", [
    ...["run", "--rm", "-i", "--name", name, "-p", `127.0.0.1::${port}`, ...more],
    ...["--entrypoint", "bash", image, "-c", script],
  ]);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-2000);
    });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    child.stdin.end();
    await ended;
  };
  for (let tries = 0; tries < TRIES && child.exitCode === null; tries++) {
    const { stdout } = await run("docker", ["port", name, `${port}/tcp`]).catch(() => ({ stdout: "" }));
    const published = Number(stdout.trim().split("\n")[0]?.split(":").at(-1));
    if (published > 0) return { name, port: published, stop };
    await sleep(250);
  }
  await stop();
  throw new Error(`bench: got no container of ${image}, want one: ${output}`);
}

export interface Server extends Container {
  /** @default the superuser bench, in database bench */
  connect: (database?: string, user?: string) => Promise<pg.Client>;
}

/** Starts PostgreSQL; its superuser is bench, without a password, its database bench, its port on this machine only. */
export async function startServer(image: string, settings: Readonly<Record<string, string>> = SETTINGS): Promise<Server> {
  const volume = ["-v", "/var/lib/postgresql", "--shm-size", "256m", "--user", "postgres"];
  const container = await start(image, postgres(settings), 5432, volume);
  const open = async (database = "bench", user = "bench"): Promise<pg.Client> => {
    const client = new pg.Client({ host: "127.0.0.1", port: container.port, user, database });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  };
  for (let tries = 0; ; tries++) {
    const client = await open("postgres").catch(() => undefined);
    if (client) {
      await client.query("create database bench");
      await client.end();
      return { ...container, connect: open };
    }
    if (tries > TRIES) {
      await container.stop();
      throw new Error("bench: got no answer from PostgreSQL within a minute, want one");
    }
    await sleep(250);
  }
}

/** Starts Valkey; its port is on this machine only. */
export async function startCache(image: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const container = await start(image, VALKEY, 6379, []);
  const client = new Redis({ host: "127.0.0.1", port: container.port, maxRetriesPerRequest: null });
  client.on("error", () => undefined);
  await client.ping();
  client.disconnect();
  return { url: `redis://127.0.0.1:${container.port}`, stop: container.stop };
}
