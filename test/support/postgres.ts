/**
 * A real PostgreSQL 17 for tests: one container of the node image, data in memory, gone when the test process ends, however it ends.
 * Set PGLADDER_TEST_IMAGE to the node image's tag. Cannot prove: what Patroni, the pooler or a cloud adds.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Client, type ClientConfig } from "pg";

const run = promisify(execFile);
const START_TRIES = 240;

/** One database of the test server. */
export interface TestDatabase {
  name: string;
  /** A connected client, ended with the server at the latest. @default user ladder_admin */
  connect: (user?: string) => Promise<Client>;
}

/** What a server of several that know each other has beside the others. */
export interface ServerOptions {
  /** A docker network, and the server's host name in it. */
  network?: { name: string; host: string };
  settings?: Readonly<Record<string, string>>;
  /** Lines of pg_hba.conf that come before the one that trusts everybody. */
  access?: readonly string[];
}

export interface TestServer {
  /** Of the container. */
  name: string;
  port: number;
  connect: (config?: ClientConfig) => Promise<Client>;
  /**
   * A new database owned by ladder_admin. A copy of `template` where one is given, with its grants; nobody may be connected to that one.
   * Only a database named app can hold pg_cron. @default name t1, t2 …
   */
  createDatabase: (options?: { template?: string; name?: string }) => Promise<TestDatabase>;
  stop: () => Promise<void>;
}

/** Runs the server, and ends it when standard input closes: that is, when the process that started it is gone. */
const SCRIPT = `
set -e
export PATH=/usr/lib/postgresql/17/bin:$PATH
initdb -D /pgtest/data -U postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 >/pgtest/initdb.log 2>&1 || { cat /pgtest/initdb.log >&2; exit 1; }
{ echo "$PGTEST_ACCESS"; echo "local all all trust"; echo "host all all all trust"; echo "local replication all trust"; echo "host replication all all trust"; } > /pgtest/data/pg_hba.conf
postgres -D /pgtest/data -c listen_addresses='*' -c unix_socket_directories=/pgtest -c fsync=off -c full_page_writes=off \
  -c wal_level=logical -c max_connections=100 -c cron.database_name=app \
  -c shared_preload_libraries=pg_stat_statements,pg_cron,pgaudit "$@" </dev/null >&2 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
`;

function fail(got: string): never {
  throw new Error(`PostgreSQL for tests: got ${got}, want a running Docker and PGLADDER_TEST_IMAGE set to an image with PostgreSQL 17`);
}

async function launch(
  image: string,
  name: string,
  { network, settings = {}, access = [] }: ServerOptions,
): Promise<{ child: ChildProcessWithoutNullStreams; output: () => string }> {
  await run("docker", ["image", "inspect", image]).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    fail(text.includes("ENOENT") ? "no docker command" : (text.split("\n").findLast((line) => line.trim() !== "") ?? text));
  });
  const place = ["-p", "127.0.0.1::5432", "--tmpfs", "/pgtest:rw,mode=1777", "--shm-size", "256m"];
  const child = spawn("docker", [
    "run",
    "--rm",
    "-i",
    "--name",
    name,
    "--user",
    "postgres",
    ...place,
    ...(network ? ["--network", network.name, "--network-alias", network.host] : []),
    "--env",
    `PGTEST_ACCESS=${access.join("\n")}`,
    "--entrypoint",
    "bash",
    image,
    "-c",
    SCRIPT,
    "postgres",
    ...Object.entries(settings).flatMap(([setting, value]) => ["-c", `${setting}=${value}`]),
  ]);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4000);
    });
  return { child, output: () => output };
}

async function publishedPort(name: string): Promise<number | undefined> {
  const { stdout } = await run("docker", ["port", name, "5432/tcp"]).catch(() => ({ stdout: "" }));
  const port = Number(stdout.trim().split("\n")[0]?.split(":").at(-1));
  return port > 0 ? port : undefined;
}

/** CREATE DATABASE copies everything but the grants on the database itself. */
async function copyGrants(admin: Client, from: string, to: string): Promise<void> {
  const { rows } = await admin.query<{ sql: string }>(
    `select format('grant %s on database %I to %s', privilege_type, $2::text, coalesce(grantee::regrole::text, 'public')) as sql
     from pg_database, aclexplode(datacl) where datname = $1 and grantee <> 0`,
    [from, to],
  );
  await admin.query([`revoke all on database ${to} from public`, ...rows.map((row) => row.sql)].join(";"));
}

/** Starts a server. Its superuser is ladder_admin, as on a stack; every role logs in without a password. */
export async function startPostgres(options: ServerOptions = {}): Promise<TestServer> {
  const image = process.env.PGLADDER_TEST_IMAGE ?? fail("no PGLADDER_TEST_IMAGE");
  const name = `pgladder-test-${randomBytes(5).toString("hex")}`;
  const { child, output } = await launch(image, name, options);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const clients = new Set<Client>();
  let port = 0;

  const connect = async (config: ClientConfig = {}): Promise<Client> => {
    const client = new Client({ host: "127.0.0.1", port, user: "ladder_admin", database: "postgres", ...config });
    client.on("error", () => undefined);
    await client.connect();
    clients.add(client);
    client.once("end", () => clients.delete(client));
    return client;
  };

  for (let tries = 0; ; tries++) {
    if (child.exitCode !== null || tries >= START_TRIES) {
      child.stdin.end();
      fail(`no server in the container: ${output()}`);
    }
    port = port || ((await publishedPort(name)) ?? 0);
    const client = port > 0 ? await connect({ user: "postgres" }).catch(() => undefined) : undefined;
    if (client) {
      await client.query("create role ladder_admin superuser login");
      await client.end();
      break;
    }
    await sleep(250);
  }

  let made = 0;
  return {
    name,
    port,
    connect,
    createDatabase: async ({ template, name: database = `t${++made}` } = {}) => {
      const admin = await connect();
      await admin.query(`create database ${database} owner ladder_admin${template === undefined ? "" : ` template ${template}`}`);
      if (template !== undefined) await copyGrants(admin, template, database);
      await admin.end();
      return { name: database, connect: (user = "ladder_admin") => connect({ user, database }) };
    },
    stop: async () => {
      await Promise.all([...clients].map((client) => client.end().catch(() => undefined)));
      child.stdin.end();
      await ended;
    },
  };
}
