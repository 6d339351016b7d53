/** The docker target's files: what every container of a cluster reads, and what the agent is told to make true. */
import type { Desired, Passwords } from "./desired.ts";
import { renderHaproxy } from "./render/haproxy.ts";
import { type PatroniDynamic, patroniDynamic, ROLES, renderPatroni } from "./render/patroni.ts";
import { POOLER_ADMIN, renderPgbouncer } from "./render/pgbouncer.ts";
import { renderPostgresql } from "./render/postgresql.ts";
import { type Cluster, heldParts, type Node, type Topology } from "./topology.ts";
import { roleTimeouts, tune } from "./tuning/index.ts";

/** User ids inside the images; they own the files of the containers' volumes. */
export const UIDS = { node: 5432, pooler: 6432, agent: 7432 } as const;

/** Nodes of a cluster that the pooler looks for from the start, so that adding one restarts nothing. */
const FORESEEN_NODES = 6;

export interface Identity {
  certificate: string;
  key: string;
}

export interface MirrorSecrets {
  ca: string;
  /** By name of node, consensus member, pooler or agent. */
  identities: Readonly<Record<string, Identity>>;
  passwords: Passwords;
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
    tables: topology.tables,
    partitions: topology.partitions,
    held: heldParts(topology).map(({ name }) => name),
  };
}

/** All files of all volumes. Contains every password: only ever a secret value. */
export function mirrorFiles(topology: Topology, { ca, identities, passwords }: MirrorSecrets): MirrorFile[] {
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
    ...volume(topology.agent.name, UIDS.agent, {
      ...identity(topology.agent.name, "agent"),
      "desired.json": JSON.stringify(desired(topology)),
      "passwords.json": JSON.stringify(passwords),
    }),
  ];
}

/** HAProxy reads this at start only: a change restarts the pooler. */
export function haproxyConfig(topology: Topology): string {
  const { cluster, nodes } = entryCluster(topology);
  const foreseen = Array.from({ length: FORESEEN_NODES }, (_, i) => `${cluster.name}-${i + 1}`);
  return renderHaproxy({
    hosts: [...new Set([...foreseen, ...nodes.map(({ name }) => name)])],
    maxLagMiB: 16,
    maxConnections: topology.pooling.maxClientConn,
  });
}
