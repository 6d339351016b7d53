import { createHash } from "node:crypto";
import { lookup } from "node:dns/promises";
import type { Redis } from "iovalkey";
import { CACHE_ADDRESS, CACHE_BUS_PORT } from "../../plan/render/valkey.ts";
import type { Context } from "../connections.ts";
import { withNode } from "./client.ts";
import type { CacheStep } from "./plan.ts";

const LAST_SLOT = 16_383;

/** Does one step. */
export async function performCacheStep(context: Context, step: CacheStep): Promise<void> {
  const on = (name: string, use: (redis: Redis) => Promise<unknown>) => onNode(context, name, use);
  const portOf = (name: string) => nodeNamed(context, name).port;
  switch (step.kind) {
    case "wait":
      return;
    case "settings":
      await on(step.node, (redis) => setAll(context, step.node, redis));
      return;
    case "announce":
      // A value that is the same is not announced anew.
      await on(step.node, async (redis) => {
        await redis.config("SET", "cluster-announce-client-ipv4", "");
        await redis.config("SET", "cluster-announce-client-ipv4", CACHE_ADDRESS);
      });
      return;
    case "meet": {
      const { address } = await lookup(step.to, { family: 4 });
      await on(step.from, (redis) => redis.call("CLUSTER", "MEET", address, portOf(step.to), CACHE_BUS_PORT));
      return;
    }
    case "assign":
      await on(step.node, (redis) => redis.call("CLUSTER", "ADDSLOTSRANGE", 0, LAST_SLOT));
      return;
    case "follow":
      await on(step.node, (redis) => follow(redis, step.primaryId));
      return;
    case "take-over":
      // There is no majority to ask: two nodes cannot outvote each other.
      await on(step.node, (redis) => redis.call("CLUSTER", "FAILOVER", "TAKEOVER"));
      return;
    case "hand-over":
      await on(step.node, (redis) => redis.call("CLUSTER", "FAILOVER"));
      return;
    case "forget":
      for (const name of step.nodes) await on(name, (redis) => redis.call("CLUSTER", "FORGET", step.id));
      return;
  }
}

const nodeNamed = ({ desired }: Context, name: string) => desired.cache!.nodes.find((node) => node.name === name)!;

const onNode = (context: Context, name: string, use: (redis: Redis) => Promise<unknown>) =>
  withNode(context, { name, port: nodeNamed(context, name).port }, use);

/** Ends all clients' connections to a node, subscribers' too; replicas' stay. */
export async function endSessions(context: Context, name: string): Promise<void> {
  await onNode(context, name, async (redis) => {
    for (const type of ["normal", "pubsub"]) await redis.call("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes");
  });
}

/** A primary without slots may still hold keys that belong to others by now; it can become a replica only without them. */
async function follow(redis: Redis, primary: string): Promise<void> {
  if ((await redis.role())[0] === "master") await redis.flushall();
  await redis.call("CLUSTER", "REPLICATE", primary);
}

/** Users are set one by one, because loading the file anew would end sessions. */
async function setAll({ desired, passwords }: Context, name: string, redis: Redis): Promise<void> {
  const { users, nodes } = desired.cache!;
  for (const { user, role, rules } of users)
    await redis.call("ACL", "SETUSER", user, "reset", "on", `#${digest(passwords[role] ?? "")}`, ...rules);
  const { memory } = nodes.find((node) => node.name === name)!;
  await redis.config("SET", "maxmemory", `${memory}kb`);
}

const digest = (password: string) => createHash("sha256").update(password).digest("hex");
