/** `agent view`: a view of schema ladder as JSON, read as ladder_monitor, who may change nothing. */
import { readFileSync } from "node:fs";
import pg from "pg";
import { ROLES } from "../../plan/render/patroni.ts";
import { type Context, connectPooler, withClient } from "../connections.ts";

/** Rows as PostgreSQL's own JSON: numbers are numbers, times are ISO 8601, intervals are text. */
export type Row = Readonly<Record<string, unknown>>;

const LIMIT = 60_000;

/** Connects as the monitor: to the primary, or to one node. */
export function connectMonitor(context: Context, node?: string): Promise<pg.Client> {
  const ca = readFileSync(`${context.files}/ca.crt`);
  const { pooler, cluster, database } = context.desired;
  const place =
    node === undefined
      ? { host: pooler.host, port: cluster.doors.write, ssl: { ca, checkServerIdentity: () => undefined } }
      : { host: node, port: 5432, ssl: { ca } };
  const client = new pg.Client({
    ...place,
    user: ROLES.monitor,
    password: context.passwords[ROLES.monitor],
    database,
    application_name: "ladder view",
    connectionTimeoutMillis: 5_000,
    statement_timeout: LIMIT,
    // Sizes wait for a table that somebody has locked.
    options: "-c default_transaction_read_only=on -c timezone=UTC -c lock_timeout=5s",
  });
  client.on("error", () => undefined);
  return client.connect().then(() => client);
}

/** @throws PostgreSQL's error for a view that does not exist. */
export async function readRows(client: pg.Client, view: string, limit: number): Promise<Row[]> {
  const { rows } = await client.query<{ rows: Row[] }>(
    `select coalesce(json_agg(v), '[]') as rows from (select * from ladder.${client.escapeIdentifier(view)} limit $1) v`,
    [limit],
  );
  return rows[0]?.rows ?? [];
}

/**
 * @param where "primary", "all" or a node's name; with "all" each row begins with its node, and a node that does not answer has one row
 * @returns rows of the view; of `pools` those of PgBouncer's console
 */
export async function readView(context: Context, view: string, where: string, limit: number): Promise<Row[]> {
  if (view === "pools") return withClient(connectPooler(context), readPools);
  if (where === "primary") return withClient(connectMonitor(context), (client) => readRows(client, view, limit));
  const { nodes } = context.desired.cluster;
  if (where !== "all") {
    if (!nodes.includes(where)) throw new Error(`--node: got ${JSON.stringify(where)}, want primary, all or one of ${nodes.join(", ")}`);
    return withClient(connectMonitor(context, where), (client) => readRows(client, view, limit));
  }
  const each = await Promise.all(
    nodes.map(async (node) => {
      const rows = await withClient(connectMonitor(context, node), (client) => readRows(client, view, limit)).catch((error: Error) => [
        { error: error.message },
      ]);
      return rows.map((row) => ({ on: node, ...row }));
    }),
  );
  return each.flat();
}

/** A pool's row as PgBouncer's SHOW POOLS and SHOW DATABASES give it. */
interface PoolRow {
  database: string;
  user: string;
  cl_active: number;
  cl_waiting: number;
  sv_active: number;
  sv_idle: number;
  maxwait: number;
  maxwait_us: number;
  pool_mode: string;
}

async function readPools(client: pg.Client): Promise<Row[]> {
  const pools = await client.query<PoolRow>("show pools");
  const databases = await client.query<{ name: string; pool_size: number }>("show databases");
  const sizes = new Map(databases.rows.map(({ name, pool_size }) => [name, Number(pool_size)]));
  return pools.rows.filter(({ database }) => database !== "pgbouncer").map((pool) => poolRow(pool, sizes.get(pool.database) ?? 0));
}

/** @param size server connections that the pool may hold, without its reserve */
export function poolRow(pool: PoolRow, size: number): Row {
  const used = Number(pool.sv_active);
  return {
    database: pool.database,
    user: pool.user,
    mode: pool.pool_mode,
    clients: Number(pool.cl_active) + Number(pool.cl_waiting),
    clients_waiting: Number(pool.cl_waiting),
    longest_wait_ms: Number(pool.maxwait) * 1_000 + Math.round(Number(pool.maxwait_us) / 1_000),
    servers_active: used,
    servers_idle: Number(pool.sv_idle),
    pool_size: size,
    used_percent: size === 0 ? null : Math.round((1_000 * used) / size) / 10,
  };
}
