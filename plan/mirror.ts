/** The docker target's files: what every container of a cluster reads, and what the agent is told to make true. */
import { cacheDoorPort, cacheNodePort, foreseenCacheNodes } from "./cache.ts";
import type { Desired, DesiredCache, DesiredCluster, Passwords } from "./desired.ts";
import { renderCacheDoor } from "./render/cache-door.ts";
import { doorsOf, renderHaproxy, socketOf } from "./render/haproxy.ts";
import { type PatroniDynamic, patroniDynamic, ROLES, renderPatroni } from "./render/patroni.ts";
import { POOLER_ADMIN, poolerLimits, renderPgbouncer } from "./render/pgbouncer.ts";
import { renderPostgresql } from "./render/postgresql.ts";
import { CACHE_USERS, renderCacheUsers, renderValkey } from "./render/valkey.ts";
import { shardParts } from "./shard-map.ts";
import { type CacheNode, type Cluster, heldParts, type Node, type Pool, type Topology } from "./topology.ts";
import { roleTimeouts, tune } from "./tuning/index.ts";
import { kib } from "./types.ts";

/** User ids inside the images; they own the files of the containers' volumes. */
export const UIDS = { node: 5432, cache: 6379, pooler: 6432, agent: 7432 } as const;

/** HAProxy's ceiling, above what any stage's pools open: it does not follow the clients, whose number a climb changes. */
const LEAST_MAXCONN = 1_000;

/** Nodes of a cluster that the pooler looks for from the start, so that adding one restarts nothing. */
const FORESEEN_NODES = { entry: 6, shard: 4 } as const;

export interface Identity {
  certificate: string;
  key: string;
}

export interface MirrorSecrets {
  ca: string;
  /** By name of node, consensus member, cache node, pooler or agent. */
  identities: Readonly<Record<string, Identity>>;
  passwords: Passwords;
  /** SHA-256 of the cache users' passwords in hexadecimal, by role. */
  digests: Readonly<Record<string, string>>;
}

export interface MirrorFile {
  /** `<part>/<file>`: each part has a volume of its own. */
  path: string;
  content: string;
  uid: number;
  gid: number;
}

/** A cluster, the one that clients enter by unless another is named, and its nodes in the order of their names. */
export function clusterParts(topology: Topology, name = topology.entry): { cluster: Cluster; nodes: readonly Node[] } {
  const cluster = topology.clusters.find((each) => each.name === name)!;
  return { cluster, nodes: topology.nodes.filter((node) => node.cluster === cluster.name) };
}

/** Settings of a Patroni cluster: those of its smallest node, because any node may lead. */
export function clusterDynamic(topology: Topology, name = topology.entry): PatroniDynamic {
  const { cluster, nodes } = clusterParts(topology, name);
  const smallest = nodes.reduce((a, b) => (b.machine.memory < a.machine.memory ? b : a));
  const parameters = renderPostgresql(tune(topology.tuning[smallest.name]!));
  return patroniDynamic({ parameters, synchronous: cluster.synchronous, database: topology.database });
}

export function desired(topology: Topology): Desired {
  const { nodes } = clusterParts(topology);
  const { stack, stage, database, buckets, endpoint, poolers } = topology;
  const timeouts = roleTimeouts(topology.tuning[nodes[0]!.name]!);
  return {
    stack,
    stage,
    database,
    users: { write: endpoint.write.user, read: endpoint.read.user },
    roleSettings: { [endpoint.write.user]: timeouts, [endpoint.read.user]: timeouts },
    pooler: { host: poolers[0]!.name, port: endpoint.port, limits: poolerLimits(topology) },
    cluster: desiredCluster(topology, topology.entry),
    shards: shardParts(topology).map(({ cluster: { name, index }, class: rows }) => ({
      ...desiredCluster(topology, name),
      ...{ index, class: rows },
    })),
    buckets,
    cache: desiredCache(topology),
    tables: topology.tables,
    partitions: topology.partitions,
    held: heldParts(topology).map(({ name }) => name),
  };
}

function desiredCluster(topology: Topology, name: string): DesiredCluster {
  const { cluster, nodes } = clusterParts(topology, name);
  const pool = (to: Pool["to"]) =>
    topology.pools.find((each) => each.cluster === name && each.to === to && each.mode === "transaction")!.database;
  return {
    name,
    nodes: nodes.map((node) => node.name),
    wanted: nodes.filter(({ held }) => held === false).map((node) => node.name),
    dynamic: clusterDynamic(topology, name),
    doors: doorsOf(cluster),
    pools: { write: pool("primary"), read: pool("replicas") },
  };
}

function desiredCache({ cache, cacheDoor, port }: Topology): DesiredCache | null {
  if (!cacheDoor) return null;
  return {
    nodes: cache.map((node) => ({ name: node.name, port: cacheNodePort(port, node), memory: node.memory })),
    wanted: cache.filter(({ held }) => held === false).map(({ name }) => name),
    users: Object.values(CACHE_USERS),
    door: { host: cacheDoor.name, port: cacheDoor.port },
  };
}

/** All files of all volumes. Contains every password: only ever a secret value. */
export function mirrorFiles(topology: Topology, { ca, identities, passwords, digests }: MirrorSecrets): MirrorFile[] {
  const { poolers, pooling, port } = topology;
  const volume = (part: string, uid: number, files: Record<string, string>): MirrorFile[] =>
    Object.entries({ "ca.crt": ca, ...files }).map(([file, content]) => ({ path: `${part}/${file}`, content, uid, gid: uid }));
  const identity = (part: string, file: string) => ({
    [`${file}.crt`]: identities[part]!.certificate,
    [`${file}.key`]: identities[part]!.key,
  });
  const password = (role: string) => passwords[role]!;
  const etcd = topology.consensus.map(({ name }) => name);
  const dynamics = new Map(topology.clusters.map(({ name }) => [name, clusterDynamic(topology, name)]));
  const patroni = ({ name, cluster }: Node) =>
    renderPatroni({
      scope: `${topology.stack}-${cluster}`,
      name,
      etcd,
      dynamic: dynamics.get(cluster)!,
      passwords: { admin: password(ROLES.admin), replication: password(ROLES.replication), rewind: password(ROLES.rewind) },
    });
  const { cacheDoor } = topology;
  const cacheRoles = Object.values(CACHE_USERS).map(({ role }): string => role);
  const agentPasswords = Object.entries(passwords).filter(([role]) => cacheDoor || !cacheRoles.includes(role));
  return [
    ...etcd.flatMap((name) => volume(name, UIDS.node, identity(name, "node"))),
    ...topology.nodes.flatMap((node) => volume(node.name, UIDS.node, { ...identity(node.name, "node"), "patroni.yml": patroni(node) })),
    ...poolers.flatMap(({ name }) =>
      volume(name, UIDS.pooler, {
        ...identity(name, "pooler"),
        "pooler.pem": identities[name]!.certificate + identities[name]!.key,
        "pgbouncer.ini": renderPgbouncer({ port, pooling, pools: topology.pools }),
        "haproxy.cfg": haproxyConfig(topology),
        ...Object.fromEntries(shardParts(topology).map(({ cluster: { name } }) => [`${name}.cfg`, haproxyConfig(topology, name)])),
        "userlist.txt": `"${POOLER_ADMIN}" "${password(POOLER_ADMIN)}"\n`,
      }),
    ),
    ...topology.cache.flatMap((node) =>
      volume(node.name, UIDS.cache, {
        ...identity(node.name, "cache"),
        "valkey.conf": valkeyConfig(topology, node, password(CACHE_USERS.copy.role)),
        "users.acl": renderCacheUsers(digests),
        "door.password": password(CACHE_USERS.door.role),
      }),
    ),
    ...(cacheDoor
      ? volume(cacheDoor.name, UIDS.pooler, { "haproxy.cfg": cacheDoorConfig(topology.port, password(CACHE_USERS.door.role)) })
      : []),
    ...volume(topology.agent.name, UIDS.agent, {
      ...identity(topology.agent.name, "agent"),
      "desired.json": JSON.stringify(desired(topology)),
      "passwords.json": JSON.stringify(Object.fromEntries(agentPasswords)),
    }),
  ];
}

/** The application's SQL for the mover, which gives shards the same definitions. @param schema content by path */
export const schemaFiles = ({ agent }: Topology, schema: Readonly<Record<string, string>>): MirrorFile[] =>
  Object.entries(schema).map(([path, content]) => ({ path: `${agent.name}/schema/${path}`, content, uid: UIDS.agent, gid: UIDS.agent }));

/**
 * A cluster's HAProxy reads this at start only: a change of the entry cluster's restarts the pooler, a change of a shard's cuts that
 * shard's connections.
 */
export function haproxyConfig(topology: Topology, name = topology.entry): string {
  const { cluster, nodes } = clusterParts(topology, name);
  const planned = topology.tuning[nodes[0]!.name]!.plannedConnections ?? 0;
  const sparing = name !== topology.entry;
  const foreseen = Array.from({ length: FORESEEN_NODES[sparing ? "shard" : "entry"] }, (_, i) => `${name}-${i + 1}`);
  return renderHaproxy({
    hosts: [...new Set([...foreseen, ...nodes.map(({ name }) => name)])],
    doors: doorsOf(cluster),
    maxLagMiB: 16,
    maxConnections: Math.max(LEAST_MAXCONN, 2 * planned),
    socket: socketOf(sparing ? name : "haproxy"),
    sparing,
  });
}

/** HAProxy reads this at start only, as above. It names every node that the group can ever have. */
export const cacheDoorConfig = (port: number, password: string): string =>
  renderCacheDoor({ port: cacheDoorPort(port), nodes: foreseenCacheNodes(port), password });

export const valkeyConfig = ({ port }: Topology, node: CacheNode, password: string): string =>
  renderValkey({ name: node.name, port: cacheNodePort(port, node), memory: node.memory, password });

/** What a running node does not read again, without what the agent changes on it and without the password. */
export const valkeyStatic = (topology: Topology, node: CacheNode): string => valkeyConfig(topology, { ...node, memory: kib(0) }, "");
