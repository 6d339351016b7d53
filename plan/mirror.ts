/** The docker target's files: what every container of a cluster reads, and what the agent is told to make true. */
import { cacheDoorPort, cacheNodePort, foreseenCacheNodes } from "./cache.ts";
import type { Desired, DesiredCache, Passwords } from "./desired.ts";
import { renderCacheDoor } from "./render/cache-door.ts";
import { renderHaproxy } from "./render/haproxy.ts";
import { type PatroniDynamic, patroniDynamic, ROLES, renderPatroni } from "./render/patroni.ts";
import { POOLER_ADMIN, renderPgbouncer } from "./render/pgbouncer.ts";
import { renderPostgresql } from "./render/postgresql.ts";
import { CACHE_USERS, renderCacheUsers, renderValkey } from "./render/valkey.ts";
import { type CacheNode, type Cluster, heldParts, type Node, type Topology } from "./topology.ts";
import { roleTimeouts, tune } from "./tuning/index.ts";
import { kib } from "./types.ts";

/** User ids inside the images; they own the files of the containers' volumes. */
export const UIDS = { node: 5432, cache: 6379, pooler: 6432, agent: 7432 } as const;

/** HAProxy's ceiling, above what any stage's pools open: it does not follow the clients, whose number a climb changes. */
const LEAST_MAXCONN = 1_000;

/** Nodes of a cluster that the pooler looks for from the start, so that adding one restarts nothing. */
const FORESEEN_NODES = 6;

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

/** The cluster that clients enter by, and its nodes in the order of their names. */
export function entryCluster(topology: Topology): { cluster: Cluster; nodes: readonly Node[] } {
  const cluster = topology.clusters.find(({ name }) => name === topology.entry)!;
  return { cluster, nodes: topology.nodes.filter((node) => node.cluster === cluster.name) };
}

/** Settings of a Patroni cluster: those of its smallest node, because any node may lead. */
export function clusterDynamic(topology: Topology): PatroniDynamic {
  const { cluster, nodes } = entryCluster(topology);
  const smallest = nodes.reduce((a, b) => (b.machine.memory < a.machine.memory ? b : a));
  const parameters = renderPostgresql(tune(topology.tuning[smallest.name]!));
  return patroniDynamic({ parameters, synchronous: cluster.synchronous, database: topology.database });
}

export function desired(topology: Topology): Desired {
  const { nodes } = entryCluster(topology);
  const { stack, stage, database, endpoint, poolers } = topology;
  const timeouts = roleTimeouts(topology.tuning[nodes[0]!.name]!);
  return {
    stack,
    stage,
    database,
    users: { write: endpoint.write.user, read: endpoint.read.user },
    roleSettings: { [endpoint.write.user]: timeouts, [endpoint.read.user]: timeouts },
    pooler: { host: poolers[0]!.name, port: endpoint.port },
    cluster: {
      nodes: nodes.map(({ name }) => name),
      wanted: nodes.filter(({ held }) => held === false).map(({ name }) => name),
      dynamic: clusterDynamic(topology),
    },
    cache: desiredCache(topology),
    tables: topology.tables,
    partitions: topology.partitions,
    held: heldParts(topology).map(({ name }) => name),
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
  const { nodes, cluster } = entryCluster(topology);
  const dynamic = clusterDynamic(topology);
  const volume = (part: string, uid: number, files: Record<string, string>): MirrorFile[] =>
    Object.entries({ "ca.crt": ca, ...files }).map(([file, content]) => ({ path: `${part}/${file}`, content, uid, gid: uid }));
  const identity = (part: string, file: string) => ({
    [`${file}.crt`]: identities[part]!.certificate,
    [`${file}.key`]: identities[part]!.key,
  });
  const password = (role: string) => passwords[role]!;
  const etcd = topology.consensus.map(({ name }) => name);
  const patroni = (name: string) =>
    renderPatroni({
      scope: `${topology.stack}-${cluster.name}`,
      name,
      etcd,
      dynamic,
      passwords: { admin: password(ROLES.admin), replication: password(ROLES.replication), rewind: password(ROLES.rewind) },
    });
  const { cacheDoor } = topology;
  const cacheRoles = Object.values(CACHE_USERS).map(({ role }): string => role);
  const agentPasswords = Object.entries(passwords).filter(([role]) => cacheDoor || !cacheRoles.includes(role));
  return [
    ...etcd.flatMap((name) => volume(name, UIDS.node, identity(name, "node"))),
    ...nodes.flatMap(({ name }) => volume(name, UIDS.node, { ...identity(name, "node"), "patroni.yml": patroni(name) })),
    ...topology.poolers.flatMap(({ name }) =>
      volume(name, UIDS.pooler, {
        ...identity(name, "pooler"),
        "pooler.pem": identities[name]!.certificate + identities[name]!.key,
        "pgbouncer.ini": renderPgbouncer({ port: topology.port, pooling: topology.pooling, pools: topology.pools }),
        "haproxy.cfg": haproxyConfig(topology),
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

/** HAProxy reads this at start only: a change restarts the pooler. */
export function haproxyConfig(topology: Topology): string {
  const { cluster, nodes } = entryCluster(topology);
  const planned = topology.tuning[nodes[0]!.name]!.plannedConnections ?? 0;
  const foreseen = Array.from({ length: FORESEEN_NODES }, (_, i) => `${cluster.name}-${i + 1}`);
  return renderHaproxy({
    hosts: [...new Set([...foreseen, ...nodes.map(({ name }) => name)])],
    maxLagMiB: 16,
    maxConnections: Math.max(LEAST_MAXCONN, 2 * planned),
  });
}

/** HAProxy reads this at start only, as above. It names every node that the group can ever have. */
export const cacheDoorConfig = (port: number, password: string): string =>
  renderCacheDoor({ port: cacheDoorPort(port), nodes: foreseenCacheNodes(port), password });

export const valkeyConfig = ({ port }: Topology, node: CacheNode, password: string): string =>
  renderValkey({ name: node.name, port: cacheNodePort(port, node), memory: node.memory, password });

/** What a running node does not read again, without what the agent changes on it and without the password. */
export const valkeyStatic = (topology: Topology, node: CacheNode): string => valkeyConfig(topology, { ...node, memory: kib(0) }, "");
