/**
 * A gateway and shards for tests: one PostgreSQL each, in a docker network of their own, where they find each other by name. The gateway's roles
 * log in with their passwords, all others without. Everything is gone with the test process; a network that it left goes with a later start.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import type { Fleet, Server } from "../../agent/shards/types.ts";
import { shardClasses } from "../../plan/shards.ts";
import { applyPlatform } from "./migrations.ts";
import { startPostgres, type TestDatabase, type TestServer } from "./postgres.ts";

const run = promisify(execFile);
const LABEL = "pgladder-test";

const SETTINGS = {
  wal_level: "logical",
  max_connections: "200",
  max_prepared_transactions: "20",
  max_worker_processes: "40",
  max_logical_replication_workers: "30",
  max_sync_workers_per_subscription: "2",
  max_replication_slots: "40",
  max_wal_senders: "40",
  wal_retrieve_retry_interval: "200ms",
  shared_buffers: "32MB",
} as const;

const PASSWORDS = { replication: "replication-secret", gateway: "gateway-secret", gatewayRead: "gateway-read-secret" };

/** Where the first line that fits decides: between servers the gateway's roles need their passwords. */
const ACCESS = ["host all ladder_gateway,ladder_gateway_ro all scram-sha-256"];

export interface TestShard {
  server: TestServer;
  /** The database `app`, with the platform's migrations. */
  db: TestDatabase;
  /** Kills PostgreSQL as a crash does; its data stays. */
  crash: () => Promise<void>;
  /** Starts it again, and returns when it answers. */
  revive: () => Promise<void>;
}

export interface TestFleet {
  /** The configured tables are those of the options. */
  fleet: Fleet;
  gateway: TestShard;
  /** By index. */
  shards: readonly TestShard[];
  stop: () => Promise<void>;
}

export interface FleetOptions extends Partial<Pick<Fleet, "tables" | "globals" | "log">> {
  shards: number;
  settings?: Readonly<Record<string, string>>;
}

async function startShard(network: string, host: string, settings: Readonly<Record<string, string>>): Promise<TestShard> {
  const server = await startPostgres({ network: { name: network, host }, settings: { ...SETTINGS, ...settings }, access: ACCESS });
  const db = await server.createDatabase({ name: "app" });
  await applyPlatform(db);
  const admin = await db.connect();
  await admin.query("create role ladder_replication login replication");
  for (const [role, password] of [
    ["ladder_replication", PASSWORDS.replication],
    ["ladder_gateway", PASSWORDS.gateway],
    ["ladder_gateway_ro", PASSWORDS.gatewayRead],
  ])
    await admin.query(`alter role ${role} password '${password}'`);
  await admin.end();
  const bash = (script: string, ...options: string[]) => run("docker", ["exec", ...options, server.name, "bash", "-c", script]);
  return {
    server,
    db,
    crash: async () => {
      await bash("/usr/lib/postgresql/17/bin/pg_ctl -D /pgtest/data -m immediate -w stop");
    },
    revive: async () => {
      await bash("eval exec $(cat /pgtest/data/postmaster.opts)", "-d");
      await bash("until /usr/lib/postgresql/17/bin/pg_isready -q -h /pgtest; do sleep 0.1; done");
    },
  };
}

/** Starts the servers. Their hosts are called gateway-1 and shard-0-1, shard-1-1 …; each shard has the class that it has on a stack. */
export async function startShards({ shards: count, settings = {}, tables = [], globals = [], log }: FleetOptions): Promise<TestFleet> {
  const network = `${LABEL}-${randomBytes(5).toString("hex")}`;
  await run("docker", ["network", "prune", "--force", "--filter", `label=${LABEL}`, "--filter", "until=10m"]);
  await run("docker", ["network", "create", "--label", LABEL, network]);
  const names = ["gateway-1", ...Array.from({ length: count }, (_, index) => `shard-${index}-1`)];
  const started = await Promise.allSettled(names.map((host) => startShard(network, host, settings)));
  const members = started.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const stop = async () => {
    await Promise.all(members.map(({ server }) => server.stop()));
    await run("docker", ["network", "rm", network]);
  };
  const failed = started.find((outcome) => outcome.status === "rejected");
  if (failed) {
    await stop();
    throw failed.reason;
  }
  const reach = (index: number): Server => ({ hosts: [names[index]!], connect: () => members[index]!.db.connect() });
  const classes = shardClasses(count);
  const fleet: Fleet = {
    gateway: reach(0),
    shards: classes.map((of, index) => ({ ...reach(index + 1), index, database: `app_shard_${index}`, class: of })),
    database: "app",
    buckets: 64,
    tables,
    globals,
    passwords: PASSWORDS,
    rootCertificate: null,
    log: log ?? (() => undefined),
  };
  return { fleet, gateway: members[0]!, shards: members.slice(1), stop };
}
