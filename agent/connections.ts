import { readFileSync } from "node:fs";
import pg from "pg";
import type { Desired, DesiredCluster, DesiredShard, Passwords } from "../plan/desired.ts";
import { ROLES } from "../plan/render/patroni.ts";
import { POOLER_ADMIN } from "../plan/render/pgbouncer.ts";
import { UNAUDITED } from "./audit.ts";

/** Everything that one run of the agent knows: read once from the files that the program put into its volume. */
export interface Context {
  /** Folder with desired.json, passwords.json and the agent's certificate. */
  files: string;
  desired: Desired;
  passwords: Passwords;
  log: (line: string) => void;
  /** The primary of a managed server, by a name that follows it; undefined where Patroni keeps the cluster behind our own pooler. */
  managed?: { host: string; port: number };
  /** The whole of it, where this is the context of one shard. */
  entry?: Context;
}

/**
 * The same with another cluster in the place of the one that clients enter by: what works on `desired.cluster` then works there.
 * A shard has no cache and no shards of its own.
 */
export function clusterContext(context: Context, cluster: DesiredCluster): Context {
  const entry = context.entry ?? context;
  if (cluster.name === entry.desired.cluster.name) return entry;
  const desired = { ...entry.desired, cluster, shards: [], cache: null };
  const managed = entry.managed ? { managed: { ...entry.managed, host: cluster.nodes[0]! } } : {};
  return { ...entry, ...managed, desired, entry, log: (line) => entry.log(`${cluster.name}: ${line}`) };
}

/** The contexts of the shards, held ones too. */
export const shardContexts = (context: Context): readonly { shard: DesiredShard; context: Context }[] =>
  context.desired.shards.map((shard) => ({ shard, context: clusterContext(context, shard) }));

export function readContext(files: string, log: (line: string) => void): Context {
  const json = (name: string) => JSON.parse(readFileSync(`${files}/${name}`, "utf8"));
  return { files, desired: json("desired.json") as Desired, passwords: json("passwords.json") as Passwords, log };
}

/** Connects as the platform's administrator to the primary, wherever it is now. */
export const connectPrimary = (context: Context, database: string): Promise<pg.Client> =>
  connectThrough(context, context.desired.cluster.doors.write, database);

/** Connects as the platform's administrator through one of the pooler's HAProxy ports; to the primary itself where it has a name. */
export function connectThrough(context: Context, port: number, database = "postgres"): Promise<pg.Client> {
  const ca = readFileSync(`${context.files}/ca.crt`);
  if (context.managed) return connect({ ...context.managed, ...admin(context), database, ssl: { ca } });
  // HAProxy passes TLS through, so the certificate is a node's and its name cannot be known beforehand.
  const ssl = { ca, checkServerIdentity: () => undefined };
  return connect({ host: context.desired.pooler.host, port, ...admin(context), database, ssl });
}

/** Connects as the platform's administrator to one node, past the pooler. */
export function connectNode(context: Context, host: string, database = "postgres"): Promise<pg.Client> {
  const ssl = { ca: readFileSync(`${context.files}/ca.crt`) };
  return connect({ host, port: 5432, ...admin(context), database, ssl });
}

/** A managed server's administrator is no superuser, who alone may leave the audit log. */
const admin = ({ passwords, managed }: Context) => ({
  user: ROLES.admin,
  password: passwords[ROLES.admin],
  ...(managed ? {} : { options: UNAUDITED }),
});

/** Connects to PgBouncer's admin console. */
export function connectPooler(context: Context): Promise<pg.Client> {
  const { host, port } = context.desired.pooler;
  const ssl = { ca: readFileSync(`${context.files}/ca.crt`), servername: host };
  return connect({
    host,
    port,
    user: POOLER_ADMIN,
    password: context.passwords[POOLER_ADMIN],
    database: "pgbouncer",
    ssl,
    query_timeout: 30_000,
  });
}

async function connect(config: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client({ connectionTimeoutMillis: 3_000, application_name: "ladder agent", ...config });
  // A connection that breaks while idle is noticed at its next query.
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Runs `use` with a connection and closes it in any case. */
export async function withClient<T>(connecting: Promise<pg.Client>, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connecting;
  try {
    return await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Calls `attempt` until it returns something, every `every` ms; the last error is in the message when `timeout` ms are over. */
export async function until<T>(what: string, timeout: number, attempt: () => Promise<T | undefined>, every = 1_000): Promise<T> {
  const end = Date.now() + timeout;
  let last = "";
  do {
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      last = `: ${(error as Error).message}`;
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  } while (Date.now() < end);
  throw new Error(`${what}: not within ${Math.round(timeout / 1000)} s${last}`);
}

/** Key of the advisory lock in database `postgres` of the entry cluster that lets one command of the agent change the clusters at a time. */
export const AGENT_LOCK = 7_215_110;

/** Holds the agent's lock while `work` runs: one lock for all clusters, because they share the pooler. */
export async function exclusively({ entry, ...own }: Context, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const context = entry ?? own;
  // The mover may be restarting the primary just now.
  const connecting = until("a connection to the primary", 120_000, () => connectPrimary(context, "postgres"));
  await withClient(connecting, async (client) => {
    await client.query("select pg_advisory_lock($1)", [AGENT_LOCK]);
    await work(client);
  });
}
