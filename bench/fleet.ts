/** A gateway and shards as they are after a climb, each a PostgreSQL in a container, behind one PgBouncer that has a stack's databases. */
import { execFile, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { buildTrees, lockNames, settleServers, swapIn } from "../agent/shards/gateway/index.ts";
import { classCondition, qualified } from "../agent/shards/sql.ts";
import type { ShardedTable } from "../agent/shards/types.ts";
import { ID_RANGE, shardOfBuckets } from "../plan/shards.ts";
import { cpuOf } from "../rehearsal/climb/cpu.ts";
import { applyPlatform } from "../test/support/migrations.ts";
import type { TestDatabase } from "../test/support/postgres.ts";
import { startShards, type TestFleet } from "../test/support/shards.ts";

const run = promisify(execFile);
const TRIES = 240;

export interface FleetTable extends ShardedTable {
  /** Makes the table, and its sequence where it has one. */
  sql: string;
  sequence?: string;
}

export interface Sharded extends TestFleet {
  /** Through the pooler; databases are app, app_read, app_shard_0, app_shard_0_read … and whole, whole_read: the tables on one server. */
  url: (database: string) => string;
  /** CPU time that the servers and the pooler have used since they started, ms. */
  cpu: () => Promise<number>;
}

/** The pooler ends when standard input closes. */
const pooler = (ini: string): string => `cat > /tmp/pool.ini <<'INI'
${ini}
INI
pgbouncer -q /tmp/pool.ini </dev/null >&2 & cat > /dev/null; kill %1; wait`;

const iniOf = (shards: number): string => `[databases]
app = host=gateway-1 dbname=app user=app
app_read = host=gateway-1 dbname=app user=app_ro
whole = host=gateway-1 dbname=whole user=app
whole_read = host=gateway-1 dbname=whole user=app_ro
${Array.from({ length: shards }, (_, i) => `app_shard_${i} = host=shard-${i}-1 dbname=app user=app\napp_shard_${i}_read = host=shard-${i}-1 dbname=app user=app_ro`).join("\n")}
[pgbouncer]
listen_addr = *
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_prepared_statements = 200
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
unix_socket_dir =`;

export async function startPooler(network: string, name: string, shards: number): Promise<{ port: number; stop: () => Promise<void> }> {
  const image = process.env.PGLADDER_TEST_POOLER_IMAGE;
  if (!image) throw new Error("PGLADDER_TEST_POOLER_IMAGE: got nothing, want the pooler's image");
  const place = ["--network", network, "-p", "127.0.0.1::6432", "--entrypoint", "bash"];
  const child = spawn("docker", ["run", "--rm", "-i", "--name", name, ...place, image, "-c", pooler(iniOf(shards))], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = () => {
    child.stdin!.end();
    return ended;
  };
  for (let tries = 0; tries < TRIES && child.exitCode === null; tries++) {
    const { stdout } = await run("docker", ["port", name, "6432/tcp"]).catch(() => ({ stdout: "" }));
    const port = Number(stdout.trim().split("\n")[0]?.split(":").at(-1));
    const client = new pg.Client({ host: "127.0.0.1", port, user: "app", database: "app" });
    const answered =
      port > 0 &&
      (await client.connect().then(
        () => client.end().then(() => true),
        () => false,
      ));
    if (answered) return { port, stop };
    await sleep(250);
  }
  await stop();
  throw new Error("pooler: got no answer, want one");
}

/** The docker network that a container is in. */
export const networkOf = async (container: string): Promise<string> =>
  (
    await run("docker", ["inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}", container])
  ).stdout.trim();

/** Puts the trees in the tables' places and tells everybody which shard has what. No rows are moved: there are none. */
async function flip({ fleet, shards }: TestFleet): Promise<void> {
  const { tables, buckets } = fleet;
  const databases = fleet.shards.map(({ database }) => database);
  const owners = shardOfBuckets(
    fleet.shards.map((shard) => shard.class),
    buckets,
  );
  const map = (here: string | null) => ["select ladder.set_shard_map(1, $1, $2, $3)", [databases, owners, here]] as const;
  for (const [index, shard] of shards.entries()) {
    const admin = await shard.db.connect();
    const own = fleet.shards[index]!;
    await admin.query("select ladder.open_to_gateway($1::text[]::regclass[])", [tables.map((table) => qualified(table))]);
    for (const table of tables)
      await admin.query(
        `alter table ${qualified(table)} add constraint ${table.table}_ladder_bucket check (${classCondition(table, own.class)})`,
      );
    const [sql, values] = map(own.database);
    await admin.query(sql, [...values]);
    await admin.end();
  }
  const gateway = await fleet.gateway.connect();
  await settleServers(gateway, fleet);
  await buildTrees(gateway, fleet);
  await gateway.query("begin");
  await gateway.query(`lock table ${(await lockNames(gateway, fleet)).join(", ")} in access exclusive mode`);
  await swapIn(gateway, fleet);
  const [sql, values] = map(null);
  await gateway.query(sql, [...values]);
  await gateway.query("commit");
  await gateway.end();
}

/** On the gateway's server, as everything was before the climb. */
async function wholeDatabase({ gateway }: TestFleet): Promise<TestDatabase> {
  const database = await gateway.server.createDatabase({ name: "whole" });
  await applyPlatform(database);
  return database;
}

/** Starts everything and makes the tables, empty. */
export async function startSharded(shards: number, tables: readonly FleetTable[]): Promise<Sharded> {
  const started = await startShards({ shards, tables });
  const stops: (() => Promise<unknown>)[] = [started.stop];
  const stop = async () => {
    for (const one of stops.reverse()) await one();
  };
  try {
    const whole = await wholeDatabase(started);
    for (const [index, db] of [started.gateway.db, ...started.shards.map((shard) => shard.db), whole].entries()) {
      const app = await db.connect("app");
      for (const { sql, sequence } of tables) {
        await app.query(sql);
        if (sequence !== undefined) await app.query(`alter sequence ${sequence} restart with ${index * ID_RANGE + 1}`);
      }
      await app.end();
    }
    await flip(started);
    const network = await networkOf(started.gateway.server.name);
    const pool = `${started.gateway.server.name}-pooler`;
    const { port, stop: stopPooler } = await startPooler(network, pool, shards);
    const containers = [pool, started.gateway.server.name, ...started.shards.map(({ server }) => server.name)];
    stops.push(stopPooler);
    const url = (database: string) => `postgresql://${database.endsWith("_read") ? "app_ro" : "app"}@127.0.0.1:${port}/${database}`;
    return { ...started, url, cpu: () => cpuOf(containers), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
