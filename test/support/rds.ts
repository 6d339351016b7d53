/**
 * A primary and a replica on real PostgreSQL with scram and TLS only, as RDS has them, and a pooler host before them: the image of
 * images/pooler/rds.Dockerfile with the program of agent/host, in a network of their own. PGLADDER_TEST_IMAGE names the node image.
 * Cannot prove: RDS' own fail-over, what the load balancer and the auto-scaling group do, the host's script (test/unit does).
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { buildSync } from "esbuild";
import pg from "pg";
import { HOST_BUNDLE } from "../../components/aws/image.ts";
import { type HostSettings, hostSettings } from "../../plan/pooler-host.ts";
import { plan } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { parse } from "./config.ts";

const run = promisify(execFile);
export const docker = async (...args: string[]): Promise<string> => (await run("docker", args)).stdout.trim();

const ROOT = join(import.meta.dirname, "../..");
const ROLES = ["app", "app_ro", "ladder_agent", "ladder_monitor"];
const UID = 6432;

/** Certificates: an authority, and one leaf a name. Prints nothing. */
const CERTIFICATES = (names: readonly string[]) => `
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
${names
  .map(
    (name) => `openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${name}.key -out ${name}.csr -subj /CN=${name}
openssl x509 -req -in ${name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out ${name}.crt -days 2 -extfile <(echo subjectAltName=DNS:${name})`,
  )
  .join("\n")}`;

const BIN = "/usr/lib/postgresql/17/bin";
const SERVER = (name: string) => `set -e
export PATH=${BIN}:$PATH
cp /certs/${name}.key /pgtest/server.key && chmod 0400 /pgtest/server.key`;
const START = (
  name: string,
) => `exec timeout --signal INT 900 postgres -D /pgtest/data -c listen_addresses='*' -c unix_socket_directories=/pgtest -c fsync=off \\
  -c ssl=on -c ssl_cert_file=/certs/${name}.crt -c ssl_key_file=/pgtest/server.key -c wal_level=logical -c hot_standby=on`;
const PRIMARY = `${SERVER("db1")}
initdb -D /pgtest/data -U postgres --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null
printf 'hostssl all all all scram-sha-256\\nhostssl replication all all trust\\n' >> /pgtest/data/pg_hba.conf
${START("db1")}`;
const REPLICA = `${SERVER("db2")}
until pg_basebackup -D /pgtest/data -R -c fast -h db1 -U postgres; do sleep 0.2; rm -rf /pgtest/data; done 2>/dev/null
${START("db2")}`;

/** What the platform's migrations make, as far as the host needs it; the heartbeat's own file is applied as it is. */
const SCHEMA = {
  cluster: [
    "create database app",
    ...ROLES.map((role) => `create role ${role} login password 'password-of-${role}'`),
    "create role ladder_admin",
    "alter database app owner to app",
  ],
  app: [
    "create schema ladder",
    "grant usage on schema ladder to ladder_monitor",
    "create table public.notes (n int)",
    "alter table public.notes owner to app",
    "grant select on public.notes to app_ro",
  ],
};

export interface Bench {
  settings: HostSettings;
  /** The same with a shard, whose one server is the primary as well. */
  sharded: HostSettings;
  /** Status of a path of the health endpoint; 0 while there is none. */
  ask: (path: string) => Promise<number>;
  /** Connects through the host: the client port, or another one of its own. */
  connect: (user: string, database: string, port?: number) => Promise<pg.Client>;
  /** SQL on a server, past the host. */
  sql: (server: "db1" | "db2", text: string, database?: string) => Promise<string>;
  /** Kills every HAProxy and PgBouncer of the host. */
  killPrograms: () => Promise<unknown>;
  /** Writes the host's inputs as its script does. */
  give: (passwords: Readonly<Record<string, string>>, settings?: HostSettings) => void;
  stopHost: (seconds: number) => Promise<unknown>;
  /** Exit code and log of the host's container. */
  hostEnd: () => Promise<{ code: string; log: string }>;
  end: () => Promise<void>;
}

/** The image has no pkill. */
const KILL = `const fs = require("node:fs");
for (const pid of fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name)))
  try { if (["haproxy", "pgbouncer"].includes(fs.readFileSync("/proc/" + pid + "/comm", "utf8").trim())) process.kill(Number(pid), "SIGKILL"); } catch {}`;

export const passwordOf = (role: string): string => `password-of-${role}`;

function settingsOf(stage: 3 | 4): HostSettings {
  const shards = stage === 4 ? { shards: { count: 1, replicas: 0 } } : {};
  const given = { stage, target: "aws", pooler: { minPoolSize: 0, processes: 2 }, ...shards };
  const topology = plan(parse(given), undefined, { cores: 1, memory: gib(64) });
  const nodes = [
    { name: "main-1", host: "db1" },
    { name: "main-2", host: "db2" },
    ...(stage === 4 ? [{ name: "shard-0-1", host: "db1" }] : []),
  ];
  const roles = Object.fromEntries(ROLES.map((role) => [role, `secret/${role}`]));
  return hostSettings({ topology, region: "us-east-1", nodes, proxy: null, secrets: { roles, identity: "secret/identity" } });
}

async function buildImage(folder: string): Promise<string> {
  const context = join(folder, "image");
  mkdirSync(context);
  copyFileSync(join(ROOT, "images/pooler/rds.Dockerfile"), join(context, "Dockerfile"));
  buildSync({ ...HOST_BUNDLE, outfile: join(context, "host.mjs") });
  await docker("build", "-q", "-t", "pgladder/pooler-rds:test", context);
  return "pgladder/pooler-rds:test";
}

/** Starts servers and host, and returns when both roles are found. */
export async function startBench(): Promise<Bench> {
  const image = process.env.PGLADDER_TEST_IMAGE;
  if (image === undefined) throw new Error("PGLADDER_TEST_IMAGE: got nothing, want an image with PostgreSQL 17");
  const id = `pgladder-test-${randomBytes(4).toString("hex")}`;
  const folder = mkdtempSync(join(tmpdir(), "pgladder-rds-"));
  const certs = join(folder, "certs");
  const input = join(folder, "input");
  for (const path of [certs, input]) mkdirSync(path);
  for (const path of [folder, certs]) chmodSync(path, 0o755);
  chownSync(input, UID, UID);
  await run("bash", ["-ec", CERTIFICATES(["db1", "db2", "pooler"])], { cwd: certs });
  for (const name of ["db1", "db2", "pooler"]) chmodSync(join(certs, `${name}.key`), 0o644);
  const building = buildImage(folder);
  await docker("network", "create", id);

  const settings = settingsOf(3);
  const pem = (name: string) => readFileSync(join(certs, name), "utf8");
  const give: Bench["give"] = (passwords, its = settings) => {
    const values = [
      ...ROLES.map((role) => ({ Name: `secret/${role}`, SecretString: JSON.stringify({ username: role, password: passwords[role] }) })),
      {
        Name: "secret/identity",
        SecretString: JSON.stringify({ certificate: pem("pooler.crt"), key: pem("pooler.key"), ca: pem("ca.crt") }),
      },
    ];
    writeFileSync(join(input, "settings.json"), JSON.stringify(its));
    writeFileSync(join(input, "secrets.json"), JSON.stringify({ SecretValues: values, Errors: [] }));
    writeFileSync(join(input, "rds-ca.pem"), pem("ca.crt"));
  };
  give(Object.fromEntries(ROLES.map((role) => [role, passwordOf(role)])));

  const server = (name: string, script: string) =>
    docker(
      ...["run", "-d", "--rm", "--name", `${id}-${name}`, "--network", id, "--network-alias", name, "--user", "postgres"],
      ...["--tmpfs", "/pgtest:rw,mode=1777", "-v", `${certs}:/certs:ro`, "--entrypoint", "bash", image, "-c", script],
    );
  const psql = (name: string, database: string, statements: readonly string[]) =>
    docker(
      ...["exec", `${id}-${name}`, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "/pgtest", "-U", "postgres", "-d", database],
      ...statements.flatMap((text) => ["-c", text]),
    );
  const sql: Bench["sql"] = (name, text, database = "postgres") => psql(name, database, [text]);
  const ready = async (name: "db1" | "db2") => {
    for (let tries = 0; tries < 100; tries++) {
      if (await sql(name, "select 1").catch(() => "")) return;
      await sleep(200);
    }
    throw new Error(`${name}: got no answer in 20 s: ${await docker("logs", `${id}-${name}`)}`);
  };
  await server("db1", PRIMARY);
  await ready("db1");
  await psql("db1", "postgres", SCHEMA.cluster);
  await psql("db1", "app", [...SCHEMA.app, readFileSync(join(ROOT, "sql/platform/0010_heartbeat.sql"), "utf8")]);
  await server("db2", REPLICA);
  await ready("db2");

  const host = `${id}-host`;
  const published = ["8008", "6432", "6500", "6501"].flatMap((port) => ["-p", `127.0.0.1::${port}`]);
  await docker(
    ...["run", "-d", "--name", host, "--network", id, "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", ...published],
    ...["--tmpfs", `/etc/pgladder:uid=${UID},gid=${UID},mode=0700`, "-v", `${input}:/run/pgladder:ro`, "-e", "PGLADDER_NOTICE=1"],
    await building,
  );
  const ports = Object.fromEntries(
    await Promise.all(
      [8008, 6432, 6500, 6501].map(async (port) => [port, Number((await docker("port", host, String(port))).split(":").at(-1))] as const),
    ),
  );
  const bench: Bench = {
    settings,
    sharded: settingsOf(4),
    give,
    sql,
    ask: (path) =>
      fetch(`http://127.0.0.1:${ports[8008]}${path}`).then(
        ({ status }) => status,
        () => 0,
      ),
    connect: async (user, database, port = 6432) => {
      const ssl = { ca: pem("ca.crt"), servername: "pooler" };
      const password = passwordOf(user);
      const client = new pg.Client({ host: "127.0.0.1", port: ports[port]!, user, password, database, ssl });
      client.on("error", () => undefined);
      await client.connect();
      return client;
    },
    killPrograms: () => docker("exec", host, "node", "-e", KILL),
    stopHost: (seconds) => docker("stop", "--time", String(seconds), host),
    hostEnd: async () => ({
      code: await docker("inspect", "-f", "{{.State.ExitCode}}", host),
      log: (await run("docker", ["logs", host])).stdout,
    }),
    end: async () => {
      await docker("rm", "-f", `${id}-db1`, `${id}-db2`, host).catch(() => undefined);
      await docker("network", "rm", id).catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return bench;
}
