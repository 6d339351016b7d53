/** `move` where AWS keeps the servers: the work beside the cluster, for as long as an invocation may last. */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { type Context, connectPrimary, withClient } from "../connections.ts";
import { conversions } from "../convert/index.ts";
import { noteIndexUse } from "../maintenance/upkeep.ts";
import { connectMonitor } from "../maintenance/view.ts";
import type { SideWork } from "../move/side.ts";

/** Key of the advisory lock in the application's database that lets one run work at a time. */
const MOVE_LOCK = 7_215_112;
/** An invocation begins no further look when it has less than this left, in ms: a look may take a while. */
const RESERVE = 60_000;
/** A run ends after about this time, in ms: it knows what was wanted when it began, and the next one knows better. */
const LONGEST = 240_000;
const PAUSE_BETWEEN_LOOKS = 1_000;

/** Nothing can run pg_repack here: an answer is better than a task that waits for ever. */
const declineReorders: SideWork = {
  advance: async (context, done) => {
    await withClient(connectPrimary(context, context.desired.database), async (client) => {
      const { rows } = await client.query<{ object: string }>(
        `update ladder.task set state = 'failed', finished = clock_timestamp(),
           message = 'on RDS the agent has no pg_repack: run pg_repack -k --table from a host in the VPC'
         where kind = 'reorder' and state in ('waiting', 'running') returning object`,
      );
      for (const { object } of rows) done(`${object}: not put in order: the agent has no pg_repack here`);
    });
    return undefined;
  },
};

/** An index that only replicas use is not unused. */
const visitReplicas: SideWork = {
  advance: async (context) => {
    const [, ...replicas] = context.desired.cluster.nodes;
    await withClient(connectPrimary(context, context.desired.database), async (primary) => {
      for (const host of replicas)
        await withClient(connectMonitor(context, host), (replica) => noteIndexUse(primary, replica, host)).catch((error: Error) =>
          context.log(`${host}: index use is not known: ${error.message}`),
        );
    });
    return undefined;
  },
};

/** Once a run. */
const ONCE: readonly SideWork[] = [declineReorders, visitReplicas];
/** Until there is nothing left to do. */
const WORK: readonly SideWork[] = [conversions];

export interface MoveResult {
  phase: "moving" | "settled";
  /** What is under way or waited for. */
  moving: string | null;
}

/**
 * Works until there is nothing to do or the time is nearly up; the next run goes on.
 * @param remaining ms that the invocation may still last
 */
export async function moveManaged(context: Context, remaining: () => number): Promise<MoveResult> {
  return withClient(connectPrimary(context, context.desired.database), async (client) => {
    if (!(await alone(client))) return { phase: "moving", moving: "another run is at work" };
    const end = performance.now() + Math.min(LONGEST, remaining() - RESERVE);
    for (const work of ONCE) await work.advance(context, context.log);
    for (;;) {
      const moving = await look(context);
      if (moving === null) return { phase: "settled", moving };
      if (performance.now() > end) return { phase: "moving", moving };
      await sleep(PAUSE_BETWEEN_LOOKS);
    }
  });
}

async function look(context: Context): Promise<string | null> {
  for (const work of WORK) {
    const moving = await work.advance(context, context.log);
    if (moving !== undefined) return moving;
  }
  return null;
}

async function alone(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ held: boolean }>("select pg_try_advisory_lock($1) as held", [MOVE_LOCK]);
  return rows[0]!.held;
}
