/** Makes the nodes and the poolers' numbers fit the docker host, and says what the tuning functions are asked for each node. */
import type { StackConfig } from "./config.ts";
import type { Cluster, Node } from "./parts.ts";
import { connectionsOf, fittingPools, leastPools, type PoolNumbers, plannedConnections } from "./pools.ts";
import { maxServerConnections } from "./tuning/budget.ts";
import { lookIn, readOverrides } from "./tuning/overrides.ts";
import type { TuningInput } from "./tuning/types.ts";
import { InputError, type KiB, kib, mib } from "./types.ts";

/** Cores and memory of the machine that runs the docker target; without meaning on aws. */
export interface Host {
  cores: number;
  memory: KiB;
}

/** The share of the docker host's memory that database nodes may take together. */
const DATABASE_SHARE = 0.6;
/** Below this a container's PostgreSQL with its extensions does not start reliably. */
const SMALLEST_NODE = mib(256);
/** Shares are rounded down to this, so that a kernel update, which changes the host's total a little, restarts nothing. */
const MEMORY_STEP = mib(32);
/** How far beyond the host's memory a size is looked for that would do, and in which steps. */
const SEARCH = { times: 16, step: mib(256) } as const;

/**
 * The nodes as the target makes them, and pools that they carry: containers share their host, and pools that nobody chose give way. On
 * AWS the class of a machine carries the profile's.
 * @throws InputError where the docker host has too little memory for that many nodes.
 */
export function fitHost(
  config: StackConfig,
  wanted: readonly Node[],
  clusters: readonly Cluster[],
  host: Host,
): { nodes: readonly Node[]; numbers: PoolNumbers } {
  if (config.target !== "docker") return { nodes: wanted, numbers: fittingPools(config, () => true) };
  const carries = (nodes: readonly Node[]) => (numbers: PoolNumbers) =>
    nodes.every((node) => {
      const input = tuningInput(node, nodes, clusters, config, numbers);
      return input.serverConnections <= maxServerConnections(input, lookIn(readOverrides(input).overrides));
    });
  const roomy = (one: Host) => shareOf(one, wanted.length) >= SMALLEST_NODE;
  const nodes = shared(wanted, host);
  const numbers = fittingPools(config, carries(nodes));
  if (roomy(host) && carries(nodes)(numbers)) return { nodes, numbers };
  // Sizes that the operator wrote are the tuning's to refuse, with the arithmetic; so is what more memory alone would not help.
  if (config.writtenPools.length > 0 && roomy(host)) return { nodes, numbers };
  const least = leastPools(config);
  for (let memory = host.memory; memory < host.memory * SEARCH.times; memory = kib(memory + SEARCH.step)) {
    const larger = { ...host, memory };
    if (roomy(larger) && carries(shared(wanted, larger))(least)) refuse(config, wanted.length, shareOf(larger, wanted.length), host);
  }
  if (!roomy(host)) refuse(config, wanted.length, SMALLEST_NODE, host);
  return { nodes, numbers };
}

/** What each of `count` nodes may take of the host. */
const shareOf = ({ memory }: Host, count: number): KiB => kib(Math.floor((memory * DATABASE_SHARE) / count / MEMORY_STEP) * MEMORY_STEP);

/** Each gets at most an equal share, held ones too. */
function shared(nodes: readonly Node[], host: Host): readonly Node[] {
  const share = shareOf(host, nodes.length);
  return nodes.map((node) => ({
    ...node,
    machine: {
      ...node.machine,
      cores: Math.min(node.machine.cores, host.cores),
      memory: kib(Math.min(node.machine.memory, share)),
    },
  }));
}

function refuse({ stack }: StackConfig, nodes: number, each: KiB, { memory }: Host): never {
  const needed = Math.ceil((each * nodes) / DATABASE_SHARE / 1024);
  throw new InputError(`the Docker host of stack ${stack}`, [
    {
      path: "memory",
      got: `${Math.floor(memory / 1024)}MB`,
      want: `at least ${needed}MB: ${nodes} database nodes of ${each / 1024}MB in ${100 * DATABASE_SHARE}% of it; or fewer nodes (pgladder:replicas, pgladder:shards)`,
    },
  ]);
}

/** What the tuning functions are asked for a node. */
export function tuningInput(
  node: Node,
  nodes: readonly Node[],
  clusters: readonly Cluster[],
  config: StackConfig,
  numbers: PoolNumbers,
): TuningInput {
  const cluster = clusters.find(({ name }) => name === node.cluster)!;
  const home = cluster.follows ?? cluster.name;
  const family = new Set(clusters.filter(({ name, follows }) => name === home || follows === home).map(({ name }) => name));
  return {
    machine: node.machine,
    workload: config.workload,
    serverConnections: connectionsOf(cluster.kind, numbers),
    plannedConnections: plannedConnections(cluster.kind, config),
    replicas: nodes.filter((other) => family.has(other.cluster)).length - 1,
    logMinDuration: config.profile.logMinDuration,
    citus: cluster.kind === "coordinator" || cluster.kind === "worker",
    platform: cluster.platform,
    overrides: config.settings,
    database: config.database,
  };
}
