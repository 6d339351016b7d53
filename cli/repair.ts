import { engine, ifThere } from "./engine.ts";
import type { Opened } from "./stack.ts";
import { ownerOf, type Resource, readState } from "./state.ts";

/** Longer than a database node's own stop time-out. */
const STOP_SECONDS = 60;

/**
 * Cleans up after a run that was killed. What it had begun and not written down is forgotten, and containers and
 * networks that it made without writing them down are removed; the next `up` makes them again. Volumes stay: a volume of
 * the same name is taken as it is.
 */
export async function repair({ name, stack }: Opened, say: (line: string) => void): Promise<void> {
  const { resources, pending, write } = await readState(stack);
  const owner = ownerOf(resources);
  if (owner) await removeOrphans(name, owner, resources, say);
  if (pending.length === 0) return;
  const what = pending.length === 1 ? "a step" : `${pending.length} steps`;
  say(`forgetting ${what} that a killed run had begun: ${pending.length === 1 ? "it is" : "they are"} done again`);
  await write();
}

/** Removes containers and networks with our label that the state does not know. */
async function removeOrphans(stack: string, owner: string, resources: readonly Resource[], say: (line: string) => void): Promise<void> {
  const known = new Set(resources.map(({ id }) => id));
  const filters = { label: [`pgladder.owner=${owner}`, `pgladder.stack=${stack}`] };
  for (const { Id, Names } of await engine.listContainers({ all: true, filters })) {
    if (known.has(Id)) continue;
    say(`removing container ${Names[0]?.slice(1) ?? Id}, which a killed run had begun`);
    const container = engine.getContainer(Id);
    await ifThere(container.stop({ t: STOP_SECONDS })).catch(unlessStatus(304));
    // 409: its removal is under way.
    await ifThere(container.remove({ force: true })).catch(unlessStatus(409));
    await ifThere(container.wait({ condition: "removed" }));
  }
  for (const { Id, Name } of await engine.listNetworks({ filters })) {
    if (known.has(Id)) continue;
    const network = await ifThere(engine.getNetwork(Id).inspect());
    if (!network || Object.keys(network.Containers ?? {}).length > 0) continue;
    say(`removing network ${Name}, which a killed run had begun`);
    await ifThere(engine.getNetwork(Id).remove());
  }
}

const unlessStatus = (code: number) => (error: { statusCode?: number }) => {
  if (error.statusCode !== code) throw error;
};
