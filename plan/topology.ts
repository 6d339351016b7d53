/** The one picture of the system, for all stages and both targets: from the configuration and what the last run left. */
import { cacheDoorPort, cacheNodes } from "./cache.ts";
import type { StackConfig, TableConfig } from "./config.ts";
import { keep, type LastOutputs, refuseChanges } from "./held.ts";
import { type CacheNode, type Cluster, type ClusterKind, type ConsensusMember, type Node, partName, zoneOf } from "./parts.ts";
import { connectionsOf, fittingPools, type Pool, type PoolNumbers, plannedConnections, pools, USERS } from "./pools.ts";
import type { MachineProfile, PoolerProfile } from "./stages.ts";
import { maxServerConnections } from "./tuning/budget.ts";
import { lookIn, readOverrides } from "./tuning/overrides.ts";
import type { TuningInput } from "./tuning/types.ts";
import { InputError, type KiB, kib, type Machine, mib, type Stage, type Target } from "./types.ts";

export { type HeldPart, heldParts, type LastOutputs, parseLastOutputs, toOutputs } from "./held.ts";
export type { CacheNode, Cluster, ClusterKind, ConsensusMember, Held, Node } from "./parts.ts";
export { type Pool, perProcess } from "./pools.ts";

/** Cores and memory of the machine that runs the docker target; without meaning on aws. */
export interface Host {
  cores: number;
  memory: KiB;
}

export interface Pooler {
  readonly name: string;
  readonly region: string;
  readonly zone: number;
}

export interface Login {
  readonly database: string;
  readonly user: string;
}

/** Where applications connect. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly write: Login;
  readonly read: Login;
  readonly session: Login;
}

/** The nearest reads of a further region. */
export interface RegionalReads {
  readonly region: string;
  readonly host: string;
  readonly port: number;
  readonly read: Login;
}

export interface Topology {
  readonly stack: string;
  readonly stage: Stage;
  readonly target: Target;
  readonly database: string;
  readonly port: number;
  readonly postgresVersion: number;
  readonly buckets: number;
  /** The home region first. */
  readonly regions: readonly [string, ...string[]];
  /** The cluster that clients enter by. */
  readonly entry: string;
  readonly clusters: readonly Cluster[];
  readonly nodes: readonly Node[];
  readonly consensus: readonly ConsensusMember[];
  readonly poolers: readonly Pooler[];
  readonly pooling: PoolerProfile;
  readonly pools: readonly Pool[];
  readonly cache: readonly CacheNode[];
  /** The one way in to the cache, for clients that know nothing of its nodes; null without a cache, and on AWS, which has its own. */
  readonly cacheDoor: { readonly name: string; readonly port: number } | null;
  readonly agent: { readonly name: string; readonly region: string };
  readonly endpoint: Endpoint;
  readonly regionalReads: readonly RegionalReads[];
  /** What the operator declared about tables, by name. */
  readonly tables: Readonly<Record<string, TableConfig>>;
  /** The stage partitions the tables that are declared so. */
  readonly partitions: boolean;
  /** Input of the tuning functions by node name. */
  readonly tuning: Readonly<Record<string, TuningInput>>;
}

/** etcd members in each region: one container is enough on one host, three hosts survive the loss of one. */
const CONSENSUS_MEMBERS: Record<Target, number> = { docker: 1, aws: 3 };

/** The share of the docker host's memory that database nodes may take together. */
const DATABASE_SHARE = 0.6;
/** Below this a container's PostgreSQL with its extensions does not start reliably. */
const SMALLEST_NODE = mib(256);
/** Shares are rounded down to this, so that a kernel update, which changes the host's total a little, restarts nothing. */
const MEMORY_STEP = mib(32);

/**
 * Plans the whole system. Pure: the same arguments give the same topology, and planning again from `toOutputs` of it
 * changes nothing unless `release` is set.
 * @throws InputError for changes that a running stack cannot make, and for a docker host too small for the stage.
 */
export function plan(config: StackConfig, last: LastOutputs | undefined, host: Host): Topology {
  const { profile, target, stage, stack, database, port, postgresVersion } = config;
  const regions = [config.region, ...config.replicaRegions] as const;
  const specs = clusterSpecs(config);
  const wantedClusters = specs.flatMap((spec) => regions.map((region) => clusterOf(spec, region, config)));
  const buckets = profile.shards?.buckets ?? last?.buckets ?? 64;
  if (last) refuseChanges(config, wantedClusters, buckets, last);

  const wantedNodes = specs.flatMap((spec) => regions.flatMap((region) => nodesOf(spec, region, config)));
  const kept = keep(
    wantedNodes.map((node) => neverShrink(node, last)),
    last?.nodes ?? [],
    config.release,
  );
  const nodes = target === "docker" ? fitted(kept, host, stack) : kept;
  const clusters = [
    ...wantedClusters,
    ...(last?.clusters ?? []).filter(
      ({ name }) => nodes.some((node) => node.cluster === name) && !wantedClusters.some((cluster) => cluster.name === name),
    ),
  ];
  const members = config.platform === "patroni" ? CONSENSUS_MEMBERS[target] : 0;
  const inRegions = <P>(count: number, make: (name: string, region: string, ordinal: number) => P, base: string) =>
    regions.flatMap((region) => ordinals(count).map((n) => make(partName(base, abroad(region, config), n), region, n)));
  const write = { database, user: USERS.write };
  const read = { database: `${database}_read`, user: USERS.read };
  const sized = sizedPools(config, nodes, clusters);
  const cache = keep(cacheNodes(config, host), last?.cache ?? [], config.release);

  return {
    stack,
    stage,
    target,
    database,
    port,
    postgresVersion,
    buckets,
    regions,
    entry: profile.entry,
    clusters,
    nodes,
    consensus: keep(
      inRegions(members, (name, region, n): ConsensusMember => ({ name, region, zone: zoneOf(0, n), held: false }), "etcd"),
      last?.consensus ?? [],
      config.release,
    ),
    poolers: inRegions(profile.pooler.count, (name, region, n): Pooler => ({ name, region, zone: zoneOf(0, n) }), "pooler"),
    pooling: sized.pooler,
    pools: pools(config, clusters, sized),
    cache,
    cacheDoor: target === "docker" && cache.length > 0 ? { name: "cache-door", port: cacheDoorPort(port) } : null,
    agent: { name: "agent", region: config.region },
    endpoint: { host: hostName(config, config.region), port, write, read, session: { database: `${database}_session`, user: USERS.write } },
    regionalReads: regionalPorts(config, last).map(([region, its]) => ({ region, host: hostName(config, region), port: its, read })),
    tables: config.tables,
    partitions: profile.partitions,
    tuning: Object.fromEntries(nodes.map((node) => [node.name, tuningInput(node, nodes, clusters, config, sized)])),
  };
}

/** One cluster in the home region; further regions repeat it with standbys. */
interface ClusterSpec {
  kind: ClusterKind;
  index: number;
  name: string;
  first: MachineProfile;
  others: MachineProfile;
  /** Nodes beside the first. */
  replicas: number;
}

function clusterSpecs({ profile }: StackConfig): readonly ClusterSpec[] {
  const { entry, primary, replicas, shards, workers } = profile;
  const many = (kind: ClusterKind, count: number, machine: MachineProfile, copies: number): readonly ClusterSpec[] =>
    ordinals(count).map((n) => ({ kind, index: n - 1, name: `${kind}-${n - 1}`, first: machine, others: machine, replicas: copies }));
  return [
    { kind: entry, index: 0, name: entry, first: primary, others: replicas, replicas: replicas.count },
    ...(shards ? many("shard", shards.count, shards, shards.replicas) : []),
    ...(workers ? many("worker", workers.count, workers, workers.standbys) : []),
  ];
}

const ordinals = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

/** The region as it stands in names: nothing in the home region. */
const abroad = (region: string, config: StackConfig): string | null => (region === config.region ? null : region);

function clusterOf({ kind, index, name, replicas }: ClusterSpec, region: string, config: StackConfig): Cluster {
  const away = abroad(region, config);
  return {
    name: partName(name, away),
    kind,
    index,
    region,
    follows: away === null ? null : name,
    platform: config.platform,
    multiAz: config.platform === "rds" && away === null && config.profile.multiAz,
    synchronous: config.synchronous && away === null && replicas > 0,
  };
}

function nodesOf({ index, name, first, others, replicas }: ClusterSpec, region: string, config: StackConfig): readonly Node[] {
  const away = abroad(region, config);
  const cluster = partName(name, away);
  return ordinals(away === null ? 1 + replicas : config.profile.standbysPerRegion).map((n): Node => {
    const { class: type, ...machine } = away === null && n === 1 ? first : others;
    return {
      name: partName(cluster, n),
      cluster,
      role: away !== null ? "standby" : n === 1 ? "primary" : "replica",
      region,
      zone: zoneOf(index, n),
      machine: machineOf(machine),
      class: config.target === "aws" ? type : null,
      held: false,
    };
  });
}

const machineOf = ({ cores, memory, storage, disk }: Machine): Machine => ({ cores, memory, storage, disk });

/** A volume that exists never shrinks: neither RDS nor EBS can. */
function neverShrink(node: Node, last: LastOutputs | undefined): Node {
  const before = last?.nodes.find(({ name }) => name === node.name)?.machine.storage ?? 0;
  return { ...node, machine: { ...node.machine, storage: Math.max(node.machine.storage, before) } };
}

/** Containers share the host: each gets at most an equal share of 60% of its memory, held ones too. */
function fitted(nodes: readonly Node[], host: Host, stack: string): readonly Node[] {
  const share = kib(Math.floor((host.memory * DATABASE_SHARE) / nodes.length / MEMORY_STEP) * MEMORY_STEP);
  if (share < SMALLEST_NODE) {
    const needed = Math.ceil((SMALLEST_NODE * nodes.length) / DATABASE_SHARE / 1024);
    throw new InputError(`the Docker host of stack ${stack}`, [
      {
        path: "memory",
        got: `${Math.floor(host.memory / 1024)}MB`,
        want: `at least ${needed}MB: ${nodes.length} database nodes of ${SMALLEST_NODE / 1024}MB in 60% of it`,
      },
    ]);
  }
  return nodes.map((node) => ({
    ...node,
    machine: {
      ...node.machine,
      cores: Math.min(node.machine.cores, host.cores),
      memory: kib(Math.min(node.machine.memory, share)),
    },
  }));
}

/** On AWS a name of our own zone, so that it outlives load balancers; on docker this machine only. */
function hostName(config: StackConfig, region: string): string {
  return config.target === "docker" ? "127.0.0.1" : `${partName("db", abroad(region, config))}.${config.stack}.pgladder.internal`;
}

/** A further region's port: on docker the next free one, kept for as long as the region stays; on AWS the contract's. */
function regionalPorts({ target, port, replicaRegions }: StackConfig, last: LastOutputs | undefined): readonly [string, number][] {
  const kept = last?.regionPorts ?? {};
  const taken = new Set([port, ...replicaRegions.flatMap((region) => kept[region] ?? [])]);
  return replicaRegions.map((region) => {
    if (target === "aws") return [region, port];
    let free = kept[region] ?? port;
    while (kept[region] === undefined && taken.has(free)) free++;
    taken.add(free);
    return [region, free];
  });
}

/** Containers are as small as the host makes them: pools that nobody chose give way. On AWS the class of a machine carries the profile's. */
function sizedPools(config: StackConfig, nodes: readonly Node[], clusters: readonly Cluster[]): PoolNumbers {
  const carries = (numbers: PoolNumbers) =>
    nodes.every((node) => {
      const input = tuningInput(node, nodes, clusters, config, numbers);
      return input.serverConnections <= maxServerConnections(input, lookIn(readOverrides(input).overrides));
    });
  return fittingPools(config, config.target === "docker" ? carries : () => true);
}

function tuningInput(
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
