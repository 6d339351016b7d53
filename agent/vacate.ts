import { exclusively } from "./configure.ts";
import { type Context, connectPooler, until, withClient } from "./connections.ts";
import { perform } from "./move/steps.ts";
import { Patroni } from "./patroni.ts";

const CANDIDATE_LIMIT = 600_000;

/**
 * Makes sure that a node can be replaced without a failed transaction: hands its lead to a replica that is in step, or,
 * where it is the only node, pauses the pooler; whoever configures the cluster next resumes it, or the pooler's watchdog.
 * Nothing to do where no cluster answers yet or another node leads.
 */
export async function vacate(context: Context, node: string): Promise<void> {
  const { desired, log } = context;
  const patroni = new Patroni(desired.cluster.nodes, context.files);
  const members = await patroni.members();
  const leader = members.find((member) => member.role === "leader");
  if (leader?.name !== node) return log(`${node} does not lead`);
  if (members.length === 1) return pauseAll(context);
  const to = await until(`a replica in step with ${node}`, CANDIDATE_LIMIT, async () => {
    const candidates = (await patroni.members()).filter(({ role, state, lag }) => role !== "leader" && state === "streaming" && lag === 0);
    return (candidates.find(({ role }) => role === "sync_standby") ?? candidates[0])?.name;
  });
  await exclusively(context, async () => log(await perform(context, patroni, { kind: "switchover", from: node, to })));
}

async function pauseAll(context: Context): Promise<void> {
  const { database } = context.desired;
  await withClient(connectPooler(context), async (client) => {
    for (const name of [database, `${database}_read`]) await client.query(`PAUSE ${name}`);
  }).catch((error: Error) => context.log(`not paused: ${error.message}`));
  context.log("the only node: clients wait while it is replaced");
}
