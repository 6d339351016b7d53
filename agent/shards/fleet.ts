/** The fleet of a stack, as the mover's side work sees it. */
import { readFileSync } from "node:fs";
import pg from "pg";
import type { KeyType } from "../../client/shards/bucket.ts";
import type { Desired } from "../../plan/desired.ts";
import { ROLES } from "../../plan/render/patroni.ts";
import { type Context, connectPrimary, shardContexts } from "../connections.ts";
import type { Fleet, GlobalTable, Server, Shard, ShardedTable } from "./types.ts";

const KEY_TYPES: Readonly<Record<string, KeyType>> = {
  int8: "bigint",
  int4: "integer",
  int2: "integer",
  uuid: "uuid",
  text: "text",
  varchar: "text",
};

/** Where the stack's authority lies on every node of ours. */
const NODE_AUTHORITY = "/etc/pgladder/ca.crt";
/** RDS' own `ssl_ca_file`, on each of its servers. */
const RDS_AUTHORITIES = "/rdsdbdata/rds-metadata/ca-cert.pem";

const place = (name: string): GlobalTable => {
  const [table, schema = "public"] = name.split(".").toReversed();
  return { schema, table: table! };
};

/** Declared tables that are there, with the types of their keys. @throws Error for a key that cannot be one */
async function shardedTables(client: pg.Client, tables: Desired["tables"]): Promise<ShardedTable[]> {
  const found: ShardedTable[] = [];
  for (const [name, { shardBy }] of Object.entries(tables)) {
    if (shardBy === null) continue;
    const table = place(name);
    const { rows } = await client.query<{ type: string | null }>(
      `select (select coalesce(b.typname, t.typname) from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = nullif(t.typbasetype, 0)
         where a.attrelid = c.oid and a.attname = $3 and not a.attisdropped) as type
       from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')`,
      [table.schema, table.table, shardBy],
    );
    const [row] = rows;
    if (!row) continue;
    const keyType = KEY_TYPES[row.type ?? ""];
    if (keyType === undefined)
      throw new Error(
        `${name}: got ${row.type ? `${shardBy} of type ${row.type}` : `no column ${shardBy}`}, want bigint, integer, uuid or text`,
      );
    found.push({ ...table, key: shardBy, keyType });
  }
  return found;
}

async function globalTables(client: pg.Client, tables: Desired["tables"]): Promise<GlobalTable[]> {
  const declared = Object.entries(tables).flatMap(([name, { global }]) => (global ? [place(name)] : []));
  const { rows } = await client.query<GlobalTable>(
    `select n.nspname as schema, c.relname as table from unnest($1::text[], $2::text[]) d (schema, name)
       join pg_namespace n on n.nspname = d.schema join pg_class c on c.relnamespace = n.oid and c.relname = d.name where c.relkind in ('r', 'p') order by 1, 2`,
    [declared.map(({ schema }) => schema), declared.map(({ table }) => table)],
  );
  return rows;
}

/** @param client to the gateway. Shards that are no longer wanted have the whole of the rows as their class: only a move that has begun knows better. */
export async function fleetOfStack(context: Context, client: pg.Client): Promise<Fleet> {
  const { desired, passwords, log } = context;
  const { database } = desired;
  const reach = (its: Context): Server => ({ hosts: its.desired.cluster.nodes, connect: () => connectPrimary(its, database) });
  const password = (role: string) => passwords[role] ?? "";
  return {
    gateway: reach(context),
    shards: shardContexts(context).map(
      ({ shard, context: its }): Shard => ({
        ...reach(its),
        index: shard.index,
        database: shard.pools.write,
        class: shard.class ?? { modulus: 1, remainder: 0 },
      }),
    ),
    database,
    buckets: desired.buckets,
    tables: await shardedTables(client, desired.tables),
    globals: await globalTables(client, desired.tables),
    passwords: { replication: password(ROLES.replication), gateway: password(ROLES.gateway), gatewayRead: password(ROLES.gatewayRead) },
    rootCertificate: context.managed ? RDS_AUTHORITIES : NODE_AUTHORITY,
    log,
  };
}

/** A session of the application through the pooler. */
export async function connectPooled(context: Context, user: string, database: string): Promise<pg.Client> {
  const { files, desired, passwords } = context;
  const { host, port } = desired.pooler;
  const ssl = { ca: readFileSync(`${files}/ca.crt`), servername: host };
  const client = new pg.Client({ host, port, user, password: passwords[user], database, ssl, connectionTimeoutMillis: 3_000 });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
