import type pg from "pg";
import { type Context, connectPooler, connectThrough, until, withClient } from "./connections.ts";

/** PgBouncer could not be paused: a transaction of the application went on for longer than the stall we allow. */
export class StillBusy extends Error {}

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
    await noMoreLogins(second, databases, patience);
    await pauseAll(first, databases, patience);
    await second.query("SET max_user_connections = 0");
    await work();
  } finally {
    for (const database of databases) await second.query(`RESUME ${database}`).catch(() => undefined);
    await second.query("RELOAD").catch(() => undefined);
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
      await noMoreLogins(client, [database], 1_000);
      await client.query(`RECONNECT ${database}`);
    } finally {
      await client.query("RELOAD");
    }
  });
}

/**
 * Waits until PgBouncer opens no server connection, and lets it open no other until RELOAD brings the file's limits back; the pooler's
 * watchdog does that when this process dies. PAUSE and RECONNECT break off a connection that is being opened, and so does every look at a paused
 * database that has fewer than `min_pool_size`: PgBouncer then opens none for a second, and fails clients that come meanwhile
 * with "server login has been failing" (PgBouncer 1.24: per_loop_pause, check_pool_size and check_fast_fail). With one connection allowed to
 * each user the ones that are there do all work for that moment.
 */
export async function noMoreLogins(client: pg.Client, databases: readonly string[], patience: number): Promise<void> {
  await client.query("SET min_pool_size = 0");
  await client.query("SET max_user_connections = 1");
  await noLogins(client, databases, patience);
}

async function noLogins(client: pg.Client, databases: readonly string[], patience: number): Promise<void> {
  const end = performance.now() + patience;
  for (;;) {
    const { rows } = await client.query<{ database: string; sv_login: number | string }>("SHOW POOLS");
    if (!rows.some(({ database, sv_login }) => databases.includes(database) && Number(sv_login) > 0)) return;
    if (performance.now() > end) throw new StillBusy(`server connections still being opened after ${patience} ms`);
  }
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
 * reaches it past the pooler.
 */
export function leadingTo({ desired, entry }: Context, own: readonly ("write" | "read")[]): string[] {
  const gateway = entry ? Object.values(entry.desired.cluster.pools) : [];
  return [...own.map((pool) => desired.cluster.pools[pool]), ...gateway];
}

/** Databases that are paused now. */
export async function pausedDatabases(context: Context): Promise<string[]> {
  return withClient(connectPooler(context), async (client) => {
    const { rows } = await client.query<{ name: string; paused: number | string }>("SHOW DATABASES");
    return rows.filter((row) => Number(row.paused) === 1).map((row) => row.name);
  });
}

/** Runs one command on PgBouncer's admin console. */
export async function poolerCommand(context: Context, command: string): Promise<void> {
  await withClient(connectPooler(context), (client) => client.query(command));
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
