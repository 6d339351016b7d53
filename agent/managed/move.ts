/** `move` where AWS keeps the servers: the work beside the cluster, for as long as an invocation may last. */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { ManagedNode } from "../../plan/lambda.ts";
import { type Context, connectPrimary, shardContexts, withClient } from "../connections.ts";
import { conversions } from "../convert/index.ts";
import { noteIndexUse } from "../maintenance/upkeep.ts";
import { connectMonitor } from "../maintenance/view.ts";
import type { SideWork } from "../move/side.ts";
import { finishShards } from "../shards/index.ts";
import { shards } from "./shards.ts";

/** Key of the advisory lock in the application's database that lets one run work at a time. */
const MOVE_LOCK = 7_215_112;
/** An invocation begins no further look when it has less than this left, in ms: a look may take a while. */
const RESERVE = 60_000;
/** A run ends after about this time, in ms: it knows what was wanted when it began, and the next one knows better. */
const LONGEST = 240_000;
const PAUSE_BETWEEN_LOOKS = 1_000;

/** Nothing can run pg_repack here: an answer is better than a task that waits for ever. */
async function declineReorders(context: Context): Promise<void> {
  await withClient(connectPrimary(context, context.desired.database), async (client) => {
    const { rows } = await client.query<{ object: string }>(
      `update ladder.task set state = 'failed', finished = clock_timestamp(),
         message = 'on RDS the agent has no pg_repack: run pg_repack -k --table from a host in the VPC'
       where kind = 'reorder' and state in ('waiting', 'running') returning object`,
    );
    for (const { object } of rows) context.log(`${object}: not put in order: the agent has no pg_repack here`);
  });
}

/** An index that only replicas use is not unused. */
async function visitReplicas(context: Context, nodes: readonly ManagedNode[]): Promise<void> {
  const replicas = nodes.filter(({ cluster, role }) => cluster === context.desired.cluster.name && role !== "primary");
  await withClient(connectPrimary(context, context.desired.database), async (primary) => {
    for (const { host } of replicas)
      await withClient(connectMonitor(context, host), (replica) => noteIndexUse(primary, replica, host)).catch((error: Error) =>
        context.log(`${host}: index use is not known: ${error.message}`),
      );
  });
}

/** Until there is nothing left to do. @param folder of the application's SQL */
const entryWork = (folder: string): readonly SideWork[] => [conversions, shards(folder)];
const SHARD_WORK: readonly SideWork[] = [conversions];

export interface MoveResult {
  phase: "moving" | "settled";
  /** What is under way or waited for. */
  moving: string | null;
}

export interface MoveOptions {
  /** Of all clusters. */
  nodes: readonly ManagedNode[];
  /** Of the application's SQL. */
  folder: string;
  /** Nobody wants the way back any more. */
  release: boolean;
  /** How many ms the invocation may still last. */
  remaining: () => number;
}

/** Works until there is nothing to do or the time is nearly up; the next run goes on. */
export async function moveManaged(context: Context, { nodes, folder, release, remaining }: MoveOptions): Promise<MoveResult> {
  return withClient(connectPrimary(context, context.desired.database), async (client) => {
    if (!(await alone(client))) return { phase: "moving", moving: "another run is at work" };
    const end = performance.now() + Math.min(LONGEST, remaining() - RESERVE);
    const said = release ? await finishShards(client) : undefined;
    if (said !== undefined) context.log(said);
    const others = shardContexts(context).map((shard) => shard.context);
    for (const cluster of [context, ...others]) {
      const once = declineReorders(cluster).then(() => visitReplicas(cluster, nodes));
      await (cluster === context ? once : once.catch((error: Error) => cluster.log(error.message)));
    }
    const entry = entryWork(folder);
    for (;;) {
      const moving = await look(context, entry, others);
      if (moving === null) return { phase: "settled", moving };
      if (performance.now() > end) return { phase: "moving", moving };
      await sleep(PAUSE_BETWEEN_LOOKS);
    }
  });
}

/** Looks at every cluster; a shard that is away holds up no other. */
async function look(context: Context, entry: readonly SideWork[], others: readonly Context[]): Promise<string | null> {
  const moving = [await lookAt(context, entry)];
  for (const shard of others) {
    const under = await lookAt(shard, SHARD_WORK).catch((error: Error) => {
      shard.log(`will look again: ${error.message}`);
      return `will look again: ${error.message}`;
    });
    moving.push(under === null ? null : `${shard.desired.cluster.name}: ${under}`);
  }
  return moving.filter((each) => each !== null).join("; ") || null;
}

async function lookAt(context: Context, work: readonly SideWork[]): Promise<string | null> {
  for (const each of work) {
    const moving = await each.advance(context, context.log);
    if (moving !== undefined) return moving;
  }
  return null;
}

async function alone(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ held: boolean }>("select pg_try_advisory_lock($1) as held", [MOVE_LOCK]);
  return rows[0]!.held;
}
