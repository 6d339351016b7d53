import type pg from "pg";
import { type Context, connectPooler, connectThrough, until, withClient } from "./connections.ts";
import { noMoreLogins, StillBusy } from "./logins.ts";

export interface PauseOptions {
  databases: readonly string[];
  /** How long new transactions may wait for running ones to end, in ms, before the pause is given up. */
  patience: number;
}

/**
 * Runs `work` while PgBouncer holds all new transactions on the databases; clients wait, none fails.
 * The pause ends in any case: at the end of `work`, when it throws, and by the pooler's own watchdog when this process dies.
 *
 * @returns how long the pause lasted, in ms.
 * @throws StillBusy when running transactions did not end in time; nothing was done then.
 */
export async function paused(context: Context, { databases, patience }: PauseOptions, work: () => Promise<void>): Promise<number> {
  const [first, second] = await Promise.all([connectPooler(context), connectPooler(context)]);
  const start = performance.now();
  try {
    await noMoreLogins(second, patience, databases);
    await pauseAll(first, databases, patience);
    await second.query("SET max_user_connections = 0");
    await work();
  } finally {
    for (const database of databases) await second.query(`RESUME ${database}`).catch(() => undefined);
    await limits(second, context).catch(() => undefined);
    await Promise.all([first.end(), second.end()].map((end) => end.catch(() => undefined)));
  }
  return performance.now() - start;
}

/**
 * Has the pooler open new server connections on a database, in place of each one that is there as soon as its transaction has ended.
 *
 * @throws StillBusy when connections are being opened for longer than a second.
 */
export async function reconnect(context: Context, database: string): Promise<void> {
  await withClient(connectPooler(context), async (client) => {
    try {
      await noMoreLogins(client, 1_000, [database]);
      await client.query(`RECONNECT ${database}`);
    } finally {
      await limits(client, context);
    }
  });
}

/** Brings back the limits of the pooler's file, which is not read for it: see `reload`. */
async function limits(client: pg.Client, { desired }: Context): Promise<void> {
  const { maxUserConnections, minPoolSize } = desired.pooler.limits;
  await client.query(`SET max_user_connections = ${maxUserConnections}`);
  await client.query(`SET min_pool_size = ${minPoolSize}`);
}

/** Ends pauses that nobody ends any more. */
export async function resume(context: Context, databases: readonly string[]): Promise<void> {
  await withClient(connectPooler(context), async (client) => {
    for (const name of databases) await client.query(`RESUME ${name}`);
    await limits(client, context);
  });
}

async function pauseAll(client: pg.Client, databases: readonly string[], patience: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StillBusy(`transactions still running after ${patience} ms`)), patience);
  });
  try {
    for (const database of databases) await Promise.race([client.query(`PAUSE ${database}`), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The pooler's databases whose transactions may be on a cluster's nodes: its own, and where it is a shard those of the gateway too, which
 * reaches it past the pooler; of these only the reads' come to replicas.
 */
export function leadingTo({ desired, entry }: Context, own: readonly ("write" | "read")[]): string[] {
  const reach = own.includes("write") ? (["write", "read"] as const) : own;
  const gateway = entry ? reach.map((pool) => entry.desired.cluster.pools[pool]) : [];
  return [...own.map((pool) => desired.cluster.pools[pool]), ...gateway];
}

/** Databases that are paused now. */
export async function pausedDatabases(context: Context): Promise<string[]> {
  return withClient(connectPooler(context), async (client) => {
    const { rows } = await client.query<{ name: string; paused: number | string }>("SHOW DATABASES");
    return rows.filter((row) => Number(row.paused) === 1).map((row) => row.name);
  });
}

/** Returns when the pooler reaches a primary that takes writes. */
export async function primaryReachable(context: Context, timeout: number): Promise<void> {
  const { write } = context.desired.cluster.doors;
  await until("a primary behind the pooler", timeout, () => withClient(connectThrough(context, write), isRecovering(false)), 20);
}

/** Returns when the pooler's reads lead to a replica. */
export async function replicaReachable(context: Context, timeout: number): Promise<void> {
  const { read } = context.desired.cluster.doors;
  await until("a replica behind the pooler", timeout, () => withClient(connectThrough(context, read), isRecovering(true)), 100);
}

const isRecovering = (wanted: boolean) => async (client: pg.Client) => {
  const { rows } = await client.query<{ recovering: boolean }>("select pg_is_in_recovery() as recovering");
  return rows[0]?.recovering === wanted ? true : undefined;
};
