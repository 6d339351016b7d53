/** The one picture of the system, for all stages and both targets: from the configuration and what the last run left. */
import { cacheDoorPort, cacheNodes } from "./cache.ts";
import type { StackConfig, TableConfig } from "./config.ts";
import { fitHost, type Host, tuningInput } from "./fit.ts";
import { heldSplits, keep, type LastOutputs, refuseChanges } from "./held.ts";
import { type CacheNode, type Cluster, type ClusterKind, type ConsensusMember, type Node, partName, zoneOf } from "./parts.ts";
import { type Pool, pools, USERS } from "./pools.ts";
import type { MachineProfile, PoolerProfile } from "./stages.ts";
import type { TuningInput } from "./tuning/types.ts";
import type { Machine, Stage, Target } from "./types.ts";

export type { Host } from "./fit.ts";
export { type HeldPart, heldParts, type LastOutputs, parseLastOutputs, toOutputs } from "./held.ts";
export type { CacheNode, Cluster, ClusterKind, ConsensusMember, Held, Node } from "./parts.ts";
export { type Pool, perProcess } from "./pools.ts";

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
  /** By shard, the earlier one that it took half of, where that is not the default. */
  readonly splits: Readonly<Record<string, number>>;
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
  const splits = { ...heldSplits(wantedClusters, last), ...profile.shards?.splits };

  const wantedNodes = specs.flatMap((spec) => regions.flatMap((region) => nodesOf(spec, region, config)));
  const kept = keep(
    wantedNodes.map((node) => neverShrink(node, last)),
    last?.nodes ?? [],
    config.release,
  );
  const clusters = [
    ...wantedClusters,
    ...(last?.clusters ?? []).filter(
      ({ name }) => kept.some((node) => node.cluster === name) && !wantedClusters.some((cluster) => cluster.name === name),
    ),
  ];
  const { nodes, numbers } = fitHost(config, kept, clusters, host);
  const members = config.platform === "patroni" ? CONSENSUS_MEMBERS[target] : 0;
  const inRegions = <P>(count: number, make: (name: string, region: string, ordinal: number) => P, base: string) =>
    regions.flatMap((region) => ordinals(count).map((n) => make(partName(base, abroad(region, config), n), region, n)));
  const write = { database, user: USERS.write };
  const read = { database: `${database}_read`, user: USERS.read };
  const cache = keep(cacheNodes(config, host), last?.cache ?? [], config.release);

  return {
    stack,
    stage,
    target,
    database,
    port,
    postgresVersion,
    buckets,
    splits,
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
    pooling: numbers.pooler,
    pools: pools(config, clusters, numbers),
    cache,
    cacheDoor: target === "docker" && cache.length > 0 ? { name: "cache-door", port: cacheDoorPort(port) } : null,
    agent: { name: "agent", region: config.region },
    endpoint: { host: hostName(config, config.region), port, write, read, session: { database: `${database}_session`, user: USERS.write } },
    regionalReads: regionalPorts(config, last).map(([region, its]) => ({ region, host: hostName(config, region), port: its, read })),
    tables: config.tables,
    partitions: profile.partitions,
    tuning: Object.fromEntries(nodes.map((node) => [node.name, tuningInput(node, nodes, clusters, config, numbers)])),
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
