import type { Context } from "../connections.ts";
import { withDoor, withNode } from "./client.ts";
import type { SeenCache, SeenNode } from "./plan.ts";

/** Marks in a node's table of others that are not to be reached. */
const AWAY = ["fail", "fail?", "handshake", "noaddr"];

/** Looks at every node of the cache at the same time. @param usersSet whether this run of this node has been given the users */
export async function observeCache(
  context: Context,
  before: SeenCache["missed"],
  usersSet: (name: string, run: string) => boolean,
): Promise<SeenCache> {
  const { nodes } = context.desired.cache!;
  const looks = await Promise.allSettled(nodes.map((node) => withNode(context, node, (redis) => lookAt(redis, node.name, usersSet))));
  const seen = looks.flatMap((look) => (look.status === "fulfilled" ? [look.value] : []));
  const silent = nodes.flatMap(({ name }, i) => (looks[i]!.status === "fulfilled" ? [] : [name]));
  // A door without a primary answers late, and the next look must come soon while a node is away.
  const door = silent.length === 0 && (await withDoor(context, async (redis) => (await redis.role())[0] === "master").catch(() => false));
  return { nodes: seen, missed: Object.fromEntries(silent.map((name) => [name, (before[name] ?? 0) + 1])), door };
}

interface Asked {
  info(): Promise<string>;
  cluster(subcommand: "NODES"): Promise<unknown>;
}

async function lookAt(redis: Asked, name: string, usersSet: (name: string, run: string) => boolean): Promise<SeenNode> {
  const info = parseInfo(await redis.info());
  const table = parseTable(String(await redis.cluster("NODES")));
  const own = table.find(({ flags }) => flags.includes("myself"));
  if (!own) throw new Error(`${name}: got a cluster table without itself`);
  const others = table.filter((row) => row !== own);
  return {
    name,
    id: own.id,
    role: own.flags.includes("master") ? "primary" : "replica",
    follows: own.primary === "-" ? undefined : own.primary,
    slots: own.slots,
    linked: info.master_link_status === "up",
    offset: Number(info.slave_repl_offset ?? info.master_repl_offset ?? 0),
    reaches: others.filter(({ flags, link }) => link === "connected" && !flags.some((flag) => AWAY.includes(flag))).map(({ id }) => id),
    lists: others.filter(({ flags }) => !flags.includes("handshake")).map(({ id }) => id),
    announced: own.address,
    memory: Math.round(Number(info.maxmemory ?? 0) / 1_024),
    users: usersSet(name, info.run_id ?? ""),
  };
}

/** The lines `key:value` of INFO. */
export const parseInfo = (text: string): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(text.split(/\r?\n/).flatMap((line) => (line.includes(":") ? [splitAt(line, line.indexOf(":"))] : [])));

const splitAt = (text: string, at: number): [string, string] => [text.slice(0, at), text.slice(at + 1)];

/** One line of CLUSTER NODES. */
export interface TableRow {
  id: string;
  address: string;
  flags: readonly string[];
  /** Id of its primary, or "-". */
  primary: string;
  link: string;
  slots: number;
}

/** `<id> <ip:port@bus,host> <flags> <primary> <ping> <pong> <epoch> <link> <slot> <from-to> …`; slots that move are in brackets. */
export function parseTable(text: string): TableRow[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [id = "", address = "", flags = "", primary = "", , , , link = "", ...ranges] = line.split(" ");
      const slots = ranges.filter((range) => !range.startsWith("[")).map((range) => range.split("-").map(Number));
      return {
        id,
        address: address.slice(0, address.lastIndexOf(":")),
        flags: flags.split(","),
        primary,
        link,
        slots: slots.reduce((sum, [from = 0, to = from]) => sum + to - from + 1, 0),
      };
    });
}
