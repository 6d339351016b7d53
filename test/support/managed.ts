/**
 * PostgreSQL 17 as RDS has it, as far as it matters to the agent: a primary and a replica that speak TLS and scram only, whose administrator
 * is no superuser and may make the extensions that RDS lets it make. Cannot prove: what RDS itself refuses or grants beyond that.
 * PGLADDER_TEST_IMAGE names the node image.
 */
import { type ExecFileException, execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";

const run = promisify(execFile);
const docker = async (...args: string[]): Promise<string> => (await run("docker", args)).stdout.trim();

/** RDS runs these extensions' scripts with its own rights. */
const EXTENSIONS = ["pg_stat_statements", "pg_cron", "pgaudit", "pg_repack", "vector", "pgstattuple", "postgres_fdw"];
const BIN = "/usr/lib/postgresql/17/bin";

/** Runs as root: only root may change what the extensions ask for. */
const server = (data: string) => `set -e
export PATH=${BIN}:$PATH
for name in ${EXTENSIONS.join(" ")}; do
  sed -i '/^superuser/d; /^trusted/d' /usr/share/postgresql/17/extension/$name.control
  echo 'trusted = true' >> /usr/share/postgresql/17/extension/$name.control
done
echo 'grant usage on foreign data wrapper postgres_fdw to rds_superuser;' >> /usr/share/postgresql/17/extension/postgres_fdw--1.0.sql
cd /pgtest
address=$(hostname -i)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.crt -days 2 -subj "/CN=$address" -addext "subjectAltName=IP:$address" 2>/dev/null
chmod 0600 server.key
chown -R postgres .
${data}
exec su postgres -c "${BIN}/postgres -D /pgtest/data -c listen_addresses='*' -c unix_socket_directories=/pgtest -c fsync=off -c ssl=on \\
  -c ssl_cert_file=/pgtest/server.crt -c ssl_key_file=/pgtest/server.key -c wal_level=logical -c cron.database_name=app \\
  -c max_wal_senders=20 -c max_replication_slots=20 -c max_worker_processes=30 -c max_logical_replication_workers=12 \\
  -c cron.use_background_workers=on -c shared_preload_libraries=pg_stat_statements,pg_cron,pgaudit"`;

const PRIMARY =
  server(`su postgres -c "${BIN}/initdb -D /pgtest/data -U rdsadmin --auth-local=trust --auth-host=scram-sha-256 --no-sync >/dev/null"
printf 'hostssl all all all scram-sha-256\\nhostssl replication all all trust\\n' >> data/pg_hba.conf`);

const replicaOf = (primary: string) =>
  server(`su postgres -c "${BIN}/pg_basebackup -D /pgtest/data -R -c fast -d 'host=${primary} user=rdsadmin sslmode=require'"`);

const ADMIN_PASSWORD = "password-of-ladder_admin";
/** As `pg_dumpall` of an RDS instance of version 17 has it. */
const GRANTED = [
  ...["pg_checkpoint", "pg_create_subscription", "pg_maintain", "pg_monitor", "pg_read_all_data", "pg_signal_backend"],
  ...["pg_use_reserved_connections", "pg_write_all_data", "rds_password", "rds_replication"],
].join(", ");

/** What a new RDS instance has: rds_superuser with what Amazon documents, and its master user, who owns the first database. */
const INSTANCE = [
  ...["rds_superuser", "rds_password", "rds_replication"].map((role) => `create role ${role} nologin`),
  `grant ${GRANTED} to rds_superuser with admin option`,
  `grant set on parameter "pgaudit.log", session_replication_role to rds_superuser`,
  `create role ladder_admin login createrole createdb password '${ADMIN_PASSWORD}'`,
  "grant rds_superuser to ladder_admin",
  "create database app owner ladder_admin",
];
const DATABASE = [
  "create extension pg_cron",
  "grant usage on schema cron to rds_superuser",
  "grant select on cron.job to rds_superuser",
  "grant select, delete on cron.job_run_details to rds_superuser",
];

/** Where RDS' servers have the authorities that their own certificates are proved by. */
const METADATA = "/rdsdbdata/rds-metadata";

export interface ManagedServer {
  host: string;
  /** PEM that its certificate is proved by. */
  ca: string;
}

type Which = "primary" | "replica" | "shard";

export interface Managed {
  primary: ManagedServer;
  replica: ManagedServer;
  /** A further primary, where one was asked for. */
  shard: ManagedServer | null;
  passwords: Record<string, string>;
  /** Logs in on a primary as RDS' clients do. */
  connect: (user: string, password: string, server?: ManagedServer) => Promise<pg.Client>;
  /** Rows on a server, as its superuser, whom RDS gives to nobody. */
  sql: (server: Which, text: string, database?: string) => Promise<string>;
  stop: () => Promise<void>;
}

/** Starts a primary and its replica, and another primary with `shard`. */
export async function startManaged({ shard: sharded = false } = {}): Promise<Managed> {
  const image = process.env.PGLADDER_TEST_IMAGE;
  if (image === undefined) throw new Error("PGLADDER_TEST_IMAGE: got nothing, want an image with PostgreSQL 17");
  const id = `pgladder-test-${randomBytes(4).toString("hex")}`;
  const names = { primary: `${id}-primary`, replica: `${id}-replica`, shard: `${id}-shard` };
  const sql: Managed["sql"] = (which, text, database = "postgres") =>
    docker("exec", names[which], "psql", ..."-XqAt -v ON_ERROR_STOP=1 -h /pgtest -U rdsadmin".split(" "), "-d", database, "-c", text);
  const start = async (which: Which, script: string): Promise<ManagedServer> => {
    const place = ["--user", "root", "--tmpfs", "/pgtest:rw,mode=1777", "--entrypoint", "bash"];
    await docker("run", "-d", "--rm", "--name", names[which], ...place, image, "-c", script);
    for (let tries = 0; !(await sql(which, "select 1").catch(() => "")); tries++) {
      if (tries >= 100) throw new Error(`${which}: got no answer in 20 s: ${await docker("logs", names[which])}`);
      await sleep(200);
    }
    return {
      host: await docker("exec", names[which], "hostname", "-i"),
      ca: await docker("exec", names[which], "cat", "/pgtest/server.crt"),
    };
  };
  const stop = async () => {
    await docker("rm", "-f", ...Object.values(names)).catch((error: ExecFileException) => console.error(error.message));
  };
  try {
    const instance = async (which: Which) => {
      const made = await start(which, PRIMARY);
      for (const statement of INSTANCE) await sql(which, statement);
      for (const statement of DATABASE) await sql(which, statement, "app");
      return made;
    };
    const primary = await instance("primary");
    const shard = sharded ? await instance("shard") : null;
    const replica = await start("replica", replicaOf(primary.host));
    const authorities = [primary, replica, ...(shard ? [shard] : [])].map(({ ca }) => ca).join("\n");
    for (const which of ["primary", "replica", ...(shard ? ["shard" as const] : [])] as const)
      await docker("exec", names[which], "bash", "-c", `mkdir -p ${METADATA} && cat > ${METADATA}/ca-cert.pem <<<"$0"`, authorities);
    const connect: Managed["connect"] = async (user, password, server = primary) => {
      const client = new pg.Client({ host: server.host, port: 5432, user, password, database: "app", ssl: { ca: server.ca } });
      client.on("error", () => undefined);
      await client.connect();
      return client;
    };
    const passwords = {
      ladder_admin: ADMIN_PASSWORD,
      app: "password-of-app",
      app_ro: "password-of-app_ro",
      ladder_monitor: "password-of-monitor",
      ladder_replication: "password-of-replication",
      ladder_gateway: "password-of-gateway",
      ladder_gateway_ro: "password-of-gateway_ro",
    };
    return { primary, replica, shard, passwords, connect, sql, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
