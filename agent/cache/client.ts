import { readFileSync } from "node:fs";
import { Redis, type RedisOptions } from "iovalkey";
import { CACHE_USERS } from "../../plan/render/valkey.ts";
import type { Context } from "../connections.ts";

/** A node that is slower than this counts as one that does not answer, in ms. */
const PATIENCE = 1_500;

/** Runs `use` with a connection to one node as the agent's user, and closes it in any case. No command is tried twice. */
export const withNode = <T>(context: Context, { name, port }: { name: string; port: number }, use: (node: Redis) => Promise<T>) =>
  withRedis(context, { host: name, port, tls: { servername: name } }, use);

/** The same through the door, behind which the node and so the name in its certificate is not known beforehand. */
export const withDoor = <T>(context: Context, use: (node: Redis) => Promise<T>) =>
  withRedis(context, { ...context.desired.cache!.door, tls: { checkServerIdentity: () => undefined } }, use);

async function withRedis<T>({ files, passwords }: Context, { tls, ...where }: RedisOptions, use: (node: Redis) => Promise<T>): Promise<T> {
  const { user, role } = CACHE_USERS.agent;
  const node = new Redis({
    ...where,
    tls: { ca: readFileSync(`${files}/ca.crt`), ...tls },
    username: user,
    password: passwords[role] ?? "",
    connectTimeout: PATIENCE,
    commandTimeout: PATIENCE,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    lazyConnect: true,
  });
  // The reason comes again with the command that fails.
  node.on("error", () => undefined);
  try {
    await node.connect();
    return await use(node);
  } finally {
    node.disconnect();
  }
}
