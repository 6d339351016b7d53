import type { KiB } from "../types.ts";

export const CACHE_FILES = "/etc/pgladder";
/** The nodes' own talk about who is primary; each node has an address of its own. */
export const CACHE_BUS_PORT = 16_379;
/** Where clients reach every node: the same address as the pooler's. */
export const CACHE_ADDRESS = "127.0.0.1";

/** A user of the cache, the name of its password, and what it may do, as `ACL SETUSER` takes it. */
export interface CacheUser {
  readonly user: string;
  readonly role: string;
  readonly rules: readonly string[];
}

/** What clients of a cluster ask to find their way; the rest of CLUSTER belongs to the agent. */
const FINDING_THE_WAY = ["info", "keyslot", "myid", "nodes", "shards", "slots"].map((command) => `+cluster|${command}`);

/** The cache's users, each with what it needs and nothing else. The user `default` is off. */
export const CACHE_USERS = {
  /** The application: all data, no administration, nothing that blocks the server or empties it (`KEYS`, `FLUSHALL`). */
  app: {
    user: "app",
    role: "cache_app",
    rules: ["~*", "&*", "-@all", "+@all", "-@admin", "-@dangerous", "+info", ...FINDING_THE_WAY],
  },
  /** The agent forms the cluster, moves the lead and sets limits and users; it reads no data. */
  agent: {
    user: "ladder_cache",
    role: "ladder_cache",
    rules: ["-@all", "+role", "+info", "+cluster", "+config|get", "+config|set", "+acl|setuser", "+client|kill", "+flushall"],
  },
  copy: { user: "ladder_cache_copy", role: "ladder_cache_copy", rules: ["-@all", "+psync", "+replconf", "+ping"] },
  /** The door and the containers' health checks look for the primary. */
  door: { user: "ladder_cache_door", role: "ladder_cache_door", rules: ["-@all", "+role", "+cluster|info"] },
} as const satisfies Record<string, CacheUser>;

/** The ACL file of every node. @param digests SHA-256 of the passwords in hexadecimal, by role */
export const renderCacheUsers = (digests: Readonly<Record<string, string>>): string =>
  [
    "user default off resetpass resetkeys resetchannels -@all",
    ...Object.values(CACHE_USERS).map(({ user, role, rules }) => `user ${user} on #${digests[role]} ${rules.join(" ")}`),
    "",
  ].join("\n");

export interface ValkeyInput {
  name: string;
  /** The port for clients, the same inside and outside. */
  port: number;
  /** Most that the data may take; the agent changes it while the node runs. */
  memory: KiB;
  /** Password of the user that a replica copies with. */
  password: string;
}

/**
 * valkey.conf of one node. Read at start; what may change later the agent sets.
 *
 * Cluster mode with one group from the start, because it cannot be switched on later without moving every key.
 * Two nodes cannot vote, so the agent moves the lead: Valkey's own fail-over needs three primaries. The node time-out is longer than the
 * agent needs for it: a replica that has given its primary up waits for 5 s more before it takes writes.
 * Eviction: any key, the longest unused first. Everything in a cache is somewhere else too, and a policy that spares keys without
 * a time to live would refuse writes once they fill the memory.
 * The append-only file is there because a primary that restarted empty would make its replica empty as well. It is written before a
 * client is answered, so a killed server brings back nothing that was deleted; a machine that fails loses up to a second.
 * There are no snapshots: one would bring back keys that were deleted since.
 */
export function renderValkey({ name, port, memory, password }: ValkeyInput): string {
  return `port 0
tls-port ${port}
protected-mode no
tls-cert-file ${CACHE_FILES}/cache.crt
tls-key-file ${CACHE_FILES}/cache.key
tls-ca-cert-file ${CACHE_FILES}/ca.crt
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
tls-replication yes
tls-cluster yes
aclfile ${CACHE_FILES}/users.acl
primaryuser ${CACHE_USERS.copy.user}
primaryauth ${password}
cluster-enabled yes
cluster-port ${CACHE_BUS_PORT}
cluster-node-timeout 15000
cluster-announce-client-ipv4 ${CACHE_ADDRESS}
cluster-announce-human-nodename ${name}
cluster-allow-replica-migration no
cluster-require-full-coverage no
repl-ping-replica-period 2
repl-timeout 10
repl-diskless-sync-delay 0
dir /var/lib/valkey
appendonly yes
appendfsync everysec
save ""
maxmemory ${memory}kb
maxmemory-policy allkeys-lru
tcp-keepalive 60
`;
}
