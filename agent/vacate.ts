import { type Context, clusterContext, connectPooler, exclusively, until, withClient } from "./connections.ts";
import { takeOut } from "./haproxy.ts";
import { noMoreLogins } from "./logins.ts";
import { perform } from "./move/steps.ts";
import { Patroni } from "./patroni.ts";
import { leadingTo, paused } from "./pooler.ts";

const CANDIDATE_LIMIT = 600_000;
/** Reads that run for longer are cut off by the replacement. */
const PATIENCE_FOR_READS = 60_000;

/**
 * Makes sure that a node can be replaced without a failed transaction: hands its lead to a replica that is in step and
 * sends reads elsewhere, or, where it is the only node, pauses the pooler; whoever configures the cluster next resumes it,
 * or the pooler's watchdog. Nothing to do where no cluster answers yet.
 */
export async function vacate(context: Context, node: string): Promise<void> {
  const { desired } = context;
  const cluster = [desired.cluster, ...desired.shards].find(({ nodes }) => nodes.includes(node)) ?? desired.cluster;
  await vacateIn(clusterContext(context, cluster), node);
}

async function vacateIn(context: Context, node: string): Promise<void> {
  const { desired, log } = context;
  const patroni = new Patroni(desired.cluster.nodes, context.files);
  const members = await patroni.members();
  const leader = members.find((member) => member.role === "leader");
  if (leader === undefined || !members.some(({ name }) => name === node)) return log(`${node} is not part of a running cluster`);
  if (members.length === 1) return pauseAll(context);
  if (leader.name === node) await handOver(context, patroni, node);
  await exclusively(context, () => readsLeave(context, node));
}

async function handOver(context: Context, patroni: Patroni, node: string): Promise<void> {
  const to = await until(`a replica in step with ${node}`, CANDIDATE_LIMIT, async () => {
    const candidates = (await patroni.members()).filter(({ role, state, lag }) => role !== "leader" && state === "streaming" && lag === 0);
    return (candidates.find(({ role }) => role === "sync_standby") ?? candidates[0])?.name;
  });
  await exclusively(context, async () => context.log(await perform(context, patroni, { kind: "switchover", from: node, to })));
}

/** Whoever configures the cluster next puts the node back, or the pooler's watchdog. */
export async function readsLeave(context: Context, node: string): Promise<void> {
  const databases = leadingTo(context, ["read"]);
  await until(`reads to leave ${node}`, PATIENCE_FOR_READS, async () => {
    await paused(context, { databases, patience: 1_000 }, () => takeOut(context, node));
    return true;
  });
  context.log(`${node} gets no reads`);
}

async function pauseAll(context: Context): Promise<void> {
  await withClient(connectPooler(context), async (client) => {
    const databases = leadingTo(context, ["write", "read"]);
    await noMoreLogins(client, 1_000, databases);
    for (const name of databases) await client.query(`PAUSE ${name}`);
  }).catch((error: Error) => context.log(`not paused: ${error.message}`));
  context.log("the only node: clients wait while it is replaced");
}
