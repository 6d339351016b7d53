import { type Context, connectNode, until, withClient } from "../connections.ts";
import { checkPrimary, giveReads, putBack, readmit, retirePrimary, takeOut, trustPrimary } from "../haproxy.ts";
import type { Patroni } from "../patroni.ts";
import { leadingTo, paused, primaryReachable, reconnect, replicaReachable, resume } from "../pooler.ts";
import type { Step } from "./plan.ts";

/** New transactions wait at most this long for running ones before a restart is put off, in ms. */
const PATIENCE = 1_000;
/** A primary that is not back by then leaves the rest to Patroni's fail-over; clients get errors instead of waiting, in ms. */
const RETURN_LIMIT = 10_000;

/** Does one step. Returns what happened, for the log. */
export async function perform(context: Context, patroni: Patroni, step: Step): Promise<string> {
  const { pools } = context.desired.cluster;
  switch (step.kind) {
    case "wait":
      return step.reason;
    case "resume":
      await resume(context, step.databases);
      return `resumed ${step.databases.join(", ")}`;
    case "spread-reads":
      await warm(context, step.readers);
      await giveReads(context, step.readers);
      await reconnect(context, pools.read);
      return step.readers.length > 0 ? `reads go to ${step.readers.join(", ")}` : "reads go to the primary";
    case "drop-slots":
      await withClient(connectNode(context, step.node), async (client) => {
        for (const slot of step.slots) await client.query("select pg_drop_replication_slot($1)", [slot]);
      });
      return `${step.node} copies ${step.slots.join(", ")} from the primary again`;
    case "restart-replica":
      return restartReplica(context, patroni, step.node);
    case "restart-primary":
      return restartPrimary(context, patroni, step.node);
    case "switchover":
      return switchover(context, patroni, step.from, step.to);
  }
}

/** Reads wait as well: the candidate's stop being a replica's, which ends their connections. */
async function switchover(context: Context, patroni: Patroni, from: string, to: string): Promise<string> {
  await checkpoint(context, from);
  await checkpoint(context, to);
  let stall: number;
  let retired = false;
  try {
    stall = await paused(context, { databases: leadingTo(context, ["write", "read"]), patience: PATIENCE }, async () => {
      retired = true;
      await retirePrimary(context, from);
      await patroni.switchover(from, to);
      await primaryReachable(context, RETURN_LIMIT);
    });
  } finally {
    // Of a primary that stays one it would cut every connection.
    if (retired) await readmit(context, from);
  }
  return `${to} leads, writes waited ${Math.round(stall)} ms`;
}

/**
 * Reads leave the replica before it restarts; they wait only until their running transactions have ended. Reads through a gateway, which chooses
 * among a shard's servers itself, wait until the replica is back.
 */
async function restartReplica(context: Context, patroni: Patroni, node: string): Promise<string> {
  await checkpoint(context, node);
  const restart = () => patroni.restart(node);
  try {
    // The pause closes the connections that lead to the replica; those opened after it lead elsewhere.
    const stall = await paused(context, { databases: leadingTo(context, ["read"]), patience: PATIENCE }, async () => {
      await takeOut(context, node);
      if (context.entry) await restart();
    });
    if (!context.entry) await restart();
    return `${node} restarted, reads waited ${Math.round(stall)} ms`;
  } finally {
    await putBack(context, node);
  }
}

/**
 * Writes wait for as long as PostgreSQL itself needs: Patroni, which looks once a second, is asked again only afterwards.
 */
async function restartPrimary(context: Context, patroni: Patroni, node: string): Promise<string> {
  const alone = context.desired.cluster.nodes.length === 1;
  const databases = leadingTo(context, alone ? ["write", "read"] : ["write"]);
  if (!alone) await readsToReplicas(context);
  await checkpoint(context, node);
  let restart: Promise<void> | undefined;
  try {
    // Whatever can be done before clients wait is done before.
    await trustPrimary(context, node);
    const before = await startTime(context, node);
    const stall = await paused(context, { databases, patience: PATIENCE }, async () => {
      restart = patroni.restart(node);
      const back = until(`${node} as a primary after its restart`, RETURN_LIMIT, () => writableSince(context, node, before), 20);
      // A refusal by Patroni ends the wait at once.
      await Promise.race([back, restart.then(() => back)]);
    });
    await restart;
    return `${node} restarted, writes waited ${Math.round(stall)} ms`;
  } finally {
    await restart?.catch(() => undefined);
    await checkPrimary(context, node);
  }
}

/** Moves reads that had fallen back to the primary, whose restart would end their connections. */
async function readsToReplicas(context: Context): Promise<void> {
  await replicaReachable(context, RETURN_LIMIT);
  await paused(context, { databases: [context.desired.cluster.pools.read], patience: PATIENCE }, async () => undefined);
}

/** The first session in a database builds PostgreSQL's catalogue cache there, which no client should wait for. */
async function warm(context: Context, nodes: readonly string[]): Promise<void> {
  for (const node of nodes) await withClient(connectNode(context, node, context.desired.database), (client) => client.query("select"));
}

/** When this node's PostgreSQL started. */
async function startTime(context: Context, node: string): Promise<string | undefined> {
  return withClient(connectNode(context, node), async (client) => {
    const { rows } = await client.query<{ start: string }>("select pg_postmaster_start_time()::text as start");
    return rows[0]?.start;
  });
}

/** True when this node's PostgreSQL takes writes and is not the one that started at `before`. */
async function writableSince(context: Context, node: string, before: string | undefined): Promise<true | undefined> {
  return withClient(connectNode(context, node), async (client) => {
    const { rows } = await client.query<{ ready: boolean }>(
      "select pg_postmaster_start_time()::text is distinct from $1 and not pg_is_in_recovery() as ready",
      [before],
    );
    return rows[0]?.ready ? true : undefined;
  });
}

/** Twice: the first one takes the time, the second leaves next to nothing for the shutdown's own checkpoint. */
async function checkpoint(context: Context, node: string): Promise<void> {
  await withClient(connectNode(context, node), async (client) => {
    await client.query("checkpoint");
    await client.query("checkpoint");
  });
}

/** Whoever holds a transaction open for longest, so that the operator knows what a move waits for. */
export async function longestTransaction(context: Context, leader: string): Promise<string> {
  return withClient(connectNode(context, leader), async (client) => {
    const { rows } = await client.query<{ text: string }>(
      `select format('%s (pid %s) for %s s: %s', usename, pid, round(extract(epoch from now() - xact_start)), left(query, 100)) as text
         from pg_stat_activity where backend_type = 'client backend' and xact_start is not null and pid <> pg_backend_pid()
        order by xact_start limit 1`,
    );
    return rows[0]?.text ?? "nobody";
  });
}
