/** Ways to managed servers as a role of its own, and to the processes of the pooler hosts before them. */
import { readFileSync } from "node:fs";
import pg from "pg";
import { POOLER_ADMIN } from "../../plan/render/pgbouncer.ts";
import type { Context } from "../connections.ts";

const PATIENCE = 5_000;
/** Port of RDS. */
const PORT = 5432;

async function connect(config: pg.ClientConfig): Promise<pg.Client> {
  const limits = { connectionTimeoutMillis: PATIENCE, query_timeout: 2 * PATIENCE };
  const client = new pg.Client({ application_name: "ladder agent", ...limits, ...config });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Connects as a role whose password the run knows, to the application's database. @param host another node than the primary */
export function connectAs(context: Context, user: string, host?: string): Promise<pg.Client> {
  const { files, desired, passwords, managed } = context;
  const ssl = { ca: readFileSync(`${files}/ca.crt`) };
  const place = host === undefined ? managed : { host, port: PORT };
  return connect({ ...place, user, password: passwords[user], database: desired.database, ssl });
}

/** Connects to the admin console of one PgBouncer process. @param name what the host's certificate bears */
export function connectConsole(
  context: Context,
  place: { host: string; port: number },
  name: string,
  authority: string,
): Promise<pg.Client> {
  const ssl = { ca: authority, servername: name };
  return connect({ ...place, user: POOLER_ADMIN, password: context.passwords[POOLER_ADMIN], database: "pgbouncer", ssl });
}
