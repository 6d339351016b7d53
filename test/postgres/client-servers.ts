/**
 * A primary with two streaming replicas for the client library's tests, in one container and gone with the test process. The first replica is
 * reached directly as well; both together only through PgBouncer, as a stack's read URL leads to them: PGLADDER_TEST_POOLER_IMAGE names its
 * image. Cannot prove: networks that are slow or cut in one direction.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createServer, type Socket, connect as tcp } from "node:net";
import { promisify } from "node:util";
import pg from "pg";
import { vi } from "vitest";

const run = promisify(execFile);
const docker = async (...args: string[]) => (await run("docker", args)).stdout;

const BIN = "/usr/lib/postgresql/17/bin";
const ctl = (name: string) => `${BIN}/pg_ctl -D /pgtest/${name} -l /pgtest/${name}.log -w`;
const SET_UP = `
cd /pgtest && export PATH=${BIN}:$PATH
initdb -D primary -U postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8
printf '%s\\n' 'host all all all trust' 'host replication all all trust' >> primary/pg_hba.conf
cat >> primary/postgresql.conf <<'CONF'
listen_addresses = '*'
unix_socket_directories = '/pgtest'
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_standby_streaming_delay = 0
CONF
${ctl("primary")} start
echo 'create database app' | psql -q -h /pgtest -U postgres
for n in 1 2; do
  pg_basebackup -h /pgtest -U postgres -D replica$n -R -c fast --no-sync
  listen=127.0.0.$((n + 1)); if [ $n = 1 ]; then listen=$listen,$(hostname -i); fi
  printf '%s\\n' "port = 5433" "listen_addresses = '$listen'" "unix_socket_directories = '/pgtest/replica$n'" >> replica$n/postgresql.conf
done
${ctl("replica1")} start & ${ctl("replica2")} start & wait`;
const POOLER = `cat > /tmp/pool.ini <<'INI'
[databases]
app = host=127.0.0.1 port=5432 dbname=app user=postgres
app_read = host=127.0.0.2,127.0.0.3 port=5433 dbname=app user=postgres
[pgbouncer]
listen_addr = *
listen_port = 6432
auth_type = any
pool_mode = transaction
max_prepared_statements = 200
server_login_retry = 1
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
unix_socket_dir =
INI
pgbouncer -q /tmp/pool.ini & cat > /dev/null; kill %1`;

export const POOLER_IMAGE = process.env.PGLADDER_TEST_POOLER_IMAGE;
type Replica = 1 | 2;

export interface Servers {
  primary: string;
  /** The first replica, directly. */
  replica: string;
  /** Both ways through PgBouncer. */
  pooled: { writeUrl: string; readUrl: string };
  sql: (text: string, on?: "primary" | Replica) => Promise<string>;
  kill: (replica: Replica) => Promise<unknown>;
  start: (replica: Replica) => Promise<unknown>;
  stop: () => Promise<void>;
}

export async function startServers(): Promise<Servers> {
  const image = process.env.PGLADDER_TEST_IMAGE;
  if (!image) throw new Error("PGLADDER_TEST_IMAGE: got nothing, want an image with PostgreSQL 17");
  const name = `pgladder-test-client-${process.pid}`;
  const children: ChildProcess[] = [];
  const launch = (...args: string[]) => {
    children.push(spawn("docker", ["run", "--rm", "-i", "--init", ...args], { stdio: ["pipe", "ignore", "ignore"] }));
  };
  const ports = ["5432", "5433", "6432"];
  const place = ["--user", "postgres", "--tmpfs", "/pgtest:rw,mode=1777", ...ports.flatMap((port) => ["-p", `127.0.0.1::${port}`])];
  launch("--name", name, ...place, "--entrypoint", "cat", image);
  const inside = (command: string) => docker("exec", "-u", "postgres", name, "bash", "-ec", command);
  await vi.waitFor(() => inside("true"), { timeout: 30_000, interval: 100 });
  if (POOLER_IMAGE) launch("--network", `container:${name}`, "--entrypoint", "bash", POOLER_IMAGE, "-c", POOLER);
  await inside(SET_UP);
  const [primary, replica, pooler] = await Promise.all(
    ports.map(async (port) => (await docker("port", name, `${port}/tcp`)).trim().split("\n")[0]!.split(":").at(-1)!),
  );
  const url = (port: string | undefined, database = "app") => `postgresql://postgres@127.0.0.1:${port}/${database}`;
  const socket = (on: "primary" | Replica) => (on === "primary" ? "/pgtest" : `/pgtest/replica${on} -p 5433`);
  return {
    primary: url(primary),
    replica: url(replica),
    pooled: { writeUrl: url(pooler), readUrl: url(pooler, "app_read") },
    sql: async (text, on = "primary") => (await inside(`${BIN}/psql -qAtX -h ${socket(on)} -U postgres app -c "${text}"`)).trim(),
    kill: (n) => inside(`${ctl(`replica${n}`)} -m immediate stop`),
    start: (n) => inside(`${ctl(`replica${n}`)} start`),
    stop: async () => {
      for (const child of children.reverse()) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.stdin!.end();
        await ended;
      }
    },
  };
}

/** A stretch of network that a test can break, in front of a server. */
export interface Wire {
  url: string;
  /** Connections of now carry nothing any more, and nobody is told. */
  freeze: () => void;
  /** The next message of a client with this text reaches the server; the connection is cut instead of the answer. */
  loseAnswerTo: (text: string) => void;
  close: () => void;
}

export async function wireTo(url: string): Promise<Wire> {
  const target = new pg.Client(url);
  const pairs = new Set<readonly [Socket, Socket]>();
  let losing: string | undefined;
  const listener = createServer((near) => {
    const far = tcp(target.port, target.host);
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const socket of pair) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        for (const one of pair) one.destroy();
        pairs.delete(pair);
      });
    }
    near.on("data", (data) => {
      far.write(data);
      if (losing === undefined || !data.includes(losing)) return;
      losing = undefined;
      far.removeAllListeners("data");
      far.once("data", () => near.destroy());
    });
    far.on("data", (data) => near.write(data));
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = new URL(url);
  address.host = `127.0.0.1:${(listener.address() as { port: number }).port}`;
  return {
    url: address.href,
    freeze: () => {
      for (const pair of pairs) for (const socket of pair) socket.removeAllListeners("data").pause();
    },
    loseAnswerTo: (text) => {
      losing = text;
    },
    close: () => {
      listener.close();
      for (const [near] of pairs) near.destroy();
    },
  };
}
