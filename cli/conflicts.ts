import { engine, engineIsLocal, ifThere } from "./engine.ts";
import { Failure } from "./failure.ts";
import { portHolder } from "./ports.ts";
import type { Change } from "./progress.ts";
import type { Opened } from "./stack.ts";
import { ownerOf, readState } from "./state.ts";

interface Found {
  id: string;
  labels: Readonly<Record<string, string>>;
}

const LOOK: Readonly<Record<string, (name: string) => Promise<Found | undefined>>> = {
  container: containerNamed,
  task: containerNamed,
  volume: async (name) => {
    const found = await ifThere(engine.getVolume(name).inspect());
    return found && { id: found.Name, labels: found.Labels ?? {} };
  },
  network: async (name) => {
    const found = (await engine.listNetworks({ filters: { name: [name] } })).find((network) => network.Name === name);
    return found && { id: found.Id, labels: found.Labels ?? {} };
  },
};

async function containerNamed(name: string): Promise<Found | undefined> {
  const found = await ifThere(engine.getContainer(name).inspect());
  return found && { id: found.Id, labels: found.Config.Labels ?? {} };
}

/**
 * Looks whether names and ports that the next `up` needs are taken, before it changes anything.
 *
 * @returns whether a container of ours is in the way: the last step of a run that was killed, which `repair` removes
 * @throws Failure with every name and port that something else has.
 */
export async function refuseConflicts({ name: stack, stack: pulumi }: Opened, changes: readonly Change[]): Promise<boolean> {
  const { resources } = await readState(pulumi);
  const owner = ownerOf(resources);
  const ids = new Set(resources.map(({ id }) => id));
  const isOurs = ({ id, labels }: Found) => ids.has(id) || (owner !== undefined && labels["pgladder.owner"] === owner);
  const problems: string[] = [];
  let late = false;
  for (const { op, kind, inputs } of changes) {
    if (op !== "create" && op !== "replace") continue;
    const name = inputs?.name;
    const found = typeof name === "string" ? await LOOK[kind]?.(name) : undefined;
    if (found && !isOurs(found)) problems.push(`${kind === "task" ? "container" : kind} ${name}: exists and ${whose(found, stack)}`);
    late ||= found !== undefined && kind !== "volume" && !ids.has(found.id);
    for (const port of publishedPorts(inputs)) {
      const holder = await holderOf(port, isOurs);
      if (holder) problems.push(`port ${port}: is taken by ${holder}; free it, or set another one: pulumi config set pgladder:port`);
    }
  }
  if (problems.length > 0) throw new Failure([...problems, "Nothing was changed."].join("\n"));
  return late;
}

function whose({ labels }: Found, stack: string): string {
  const theirs = labels["pgladder.stack"];
  if (theirs === undefined) return "was not made by pgladder; remove or rename it";
  if (theirs !== stack) return `belongs to stack ${theirs}`;
  return `belongs to another checkout or a lost state of stack ${stack}; take the stack down there, or use another stack name here`;
}

function publishedPorts(inputs: Change["inputs"]): readonly number[] {
  const ports = inputs?.ports;
  if (!Array.isArray(ports)) return [];
  return ports.flatMap(({ external }: { external?: unknown }) => (typeof external === "number" ? [external] : []));
}

/** What holds a port of the engine's machine, in words; undefined when it is free or ours. */
async function holderOf(port: number, isOurs: (found: Found) => boolean): Promise<string | undefined> {
  const containers = await engine.listContainers();
  const container = containers.find(({ Ports }) => Ports.some(({ PublicPort, Type }) => PublicPort === port && Type === "tcp"));
  if (container)
    return isOurs({ id: container.Id, labels: container.Labels }) ? undefined : `container ${container.Names[0]?.slice(1) ?? container.Id}`;
  return engineIsLocal() ? portHolder(port) : undefined;
}
