import type { Cluster } from "../parts.ts";

export const WRITE_PORT = 5000;
export const READ_PORT = 5001;

/** Ports of the pooler's HAProxy in front of one cluster. */
export interface Doors {
  write: number;
  read: number;
  /** HAProxy's runtime interface, for holders of the stack's certificates only. */
  control: number;
}

/** The entry cluster's doors are always the same; each shard has its own, ten ports further on than those of the one before. */
export function doorsOf({ kind, index }: Pick<Cluster, "kind" | "index">): Doors {
  const first = kind === "shard" ? WRITE_PORT + 10 * (index + 1) : WRITE_PORT;
  return { write: first, read: first + 1, control: first + 2 };
}

export interface HaproxyInput {
  /** Host names that a node of the cluster can ever have; those that do not exist (yet) stay down. */
  hosts: readonly string[];
  doors: Doors;
  /** A replica that lags more than this many MiB gets no reads. */
  maxLagMiB: number;
  maxConnections: number;
  /** Of the runtime interface, for processes beside it. */
  socket: string;
  /** Half as many checks of a node, half as often: where many clusters share a machine. */
  sparing: boolean;
}

/** The file of the runtime interface: of the process that reads `<name>.cfg`. */
export const socketOf = (name: string): string => `/tmp/${name}.sock`;

/**
 * haproxy.cfg of a pooler: finds the primary and the healthy replicas by asking Patroni on every node.
 * A check must connect within `inter`, so a busy node may miss one: only three in a row count, else its sessions would be
 * cut off for nothing (seen at a load of 20 on 2 cores).
 * It names all hosts that may ever come, because a reload would leave old sessions without health checks. HAProxy 3.0 takes a
 * server for healthy from the moment its name resolves until its first check fails: so replicas get no reads (weight 0) until the
 * agent gives them a weight, and a connection that does not come about is tried on another server.
 */
export function renderHaproxy({ hosts, doors, maxLagMiB, maxConnections, socket, sparing }: HaproxyInput): string {
  const server = (host: string, how: string) => `  server ${host} ${host}:5432 ${how}`;
  const servers = (more = "") => hosts.map((host) => server(host, `check port 8008${more}`)).join("\n");
  const primaryForReads = sparing
    ? hosts.map((host) => server(host, `track write/${host}`)).join("\n")
    : `  http-check send meth OPTIONS uri /primary\n${servers()}`;
  return `global
  maxconn ${maxConnections}
  log stdout format raw local0 warning
  ca-base /etc/pgladder
  crt-base /etc/pgladder
  stats socket ${socket} mode 600 level admin

defaults
  mode tcp
  log global
  timeout connect 1s
  retries 3
  option redispatch 1
  timeout client 24d
  timeout server 24d
  timeout check 5s
  option httpchk
  option clitcpka
  option srvtcpka
  http-check expect status 200
  default-server inter ${sparing ? "1s" : "500ms"} fall 3 rise 1 check-ssl verify required ca-file ca.crt on-marked-down shutdown-sessions resolvers docker init-addr last,libc,none

resolvers docker
  parse-resolv-conf
  hold valid 1s
  hold nx 1s
  timeout resolve 1s
  timeout retry 1s

# The runtime interface itself speaks no TLS.
listen control
  bind :${doors.control} ssl crt pooler.pem ca-file ca.crt verify required
  server runtime unix@${socket}

listen write
  bind :${doors.write}
  http-check send meth OPTIONS uri /primary
${servers()}

frontend read
  bind :${doors.read}
  acl no_replica nbsrv(replicas) eq 0
  use_backend primary_for_reads if no_replica
  default_backend replicas

backend replicas
  balance leastconn
  http-check send meth OPTIONS uri /replica?lag=${maxLagMiB}MB
${servers(" weight 0")}

backend primary_for_reads
${primaryForReads}
`;
}
