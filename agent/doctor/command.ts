/** `agent doctor`: what the doctor needs of a stack, from inside its network. */
import { statfsSync } from "node:fs";
import type pg from "pg";
import type { TableConfig } from "../../plan/config/tables.ts";
import { ROLES } from "../../plan/render/patroni.ts";
import { type Context, connectPrimary, withClient } from "../connections.ts";
import { examine, type Loopback, type Report } from "./index.ts";

/** What the operator asks, as JSON on the command line. */
export interface Asked {
  /** As the configuration says now, which may be ahead of the last `up`. */
  tables: Readonly<Record<string, TableConfig>>;
  shards: number;
  /** Nodes of each shard. */
  nodes: number;
  seconds: number;
  routed: number;
  routedRoles: readonly string[];
  measure: boolean;
}

/** On docker all nodes are on one disk, and so is the agent. */
function sharedDisk(nodes: number): { free: number; nodes: number } {
  const { bavail, bsize } = statfsSync("/");
  return { free: bavail * bsize, nodes };
}

/** A node lets the administrator in through its socket; a managed server by its name. */
async function loopback({ managed, passwords, desired }: Context, client: pg.Client): Promise<Loopback> {
  const dbname = desired.database;
  if (managed)
    return {
      server: { host: managed.host, port: String(managed.port), dbname, sslmode: "require" },
      user: { user: ROLES.admin, password: passwords[ROLES.admin]! },
    };
  const { rows } = await client.query<{ folder: string; port: string }>(
    "select trim(split_part(current_setting('unix_socket_directories'), ',', 1)) as folder, current_setting('port') as port",
  );
  return { server: { host: rows[0]!.folder, port: rows[0]!.port, dbname }, user: { user: ROLES.admin } };
}

/** Examines the primary. */
export function doctor(context: Context, asked: Asked): Promise<Report> {
  const connect = () => connectPrimary(context, context.desired.database);
  return withClient(connect(), async (client) =>
    examine(client, {
      ...asked,
      partitions: context.desired.partitions,
      shared: context.managed ? undefined : sharedDisk(asked.nodes),
      measure: asked.measure ? { connect, loopback: await loopback(context, client) } : undefined,
    }),
  );
}
