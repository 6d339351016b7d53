import type pg from "pg";
import { type Context, connectNode, withClient } from "../connections.ts";
import { readers } from "../haproxy.ts";
import type { Member, Patroni } from "../patroni.ts";
import { pausedDatabases } from "../pooler.ts";
import type { Observed, ObservedNode } from "./plan.ts";

/** Looks at every member of the cluster and at the pooler's way to it. */
export async function observe(context: Context, patroni: Patroni, memory: { pausedFor: number }): Promise<Observed> {
  const members = await patroni.members();
  const nodes = await Promise.all(members.map((member) => observeNode(context, member)));
  const { write, read } = context.desired.cluster.pools;
  const paused = (await pausedDatabases(context)).filter((name) => name === write || name === read);
  return { paused, pausedFor: paused.length > 0 ? memory.pausedFor + 1 : 0, nodes, readers: await readers(context) };
}

async function observeNode(context: Context, member: Member): Promise<ObservedNode> {
  const leads = member.role === "leader";
  const node = {
    name: member.name,
    role: leads ? "leader" : "replica",
    synchronous: member.role === "sync_standby",
    healthy: member.state === (leads ? "running" : "streaming"),
  } as const;
  try {
    return { ...node, ...(await withClient(connectNode(context, member.name), settings)) };
  } catch {
    return { ...node, healthy: false, generation: undefined, pendingRestart: false, staleSlots: [] };
  }
}

async function settings(client: pg.Client): Promise<Pick<ObservedNode, "generation" | "pendingRestart" | "staleSlots">> {
  const { rows } = await client.query<{ generation: string | null; pending: boolean; stale: string[] }>(
    `select current_setting('ladder.generation', true) as generation, exists (select from pg_settings where pending_restart) as pending,
            array(select slot_name::text from pg_replication_slots
                   where pg_is_in_recovery() and failover and not synced and not active order by 1) as stale`,
  );
  const { generation, pending, stale } = rows[0]!;
  return { generation: generation ?? undefined, pendingRestart: pending, staleSlots: stale };
}
