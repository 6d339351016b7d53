/** HAProxy's file for one cluster on a pooler host in front of RDS: the mirror's, with the host's own program in Patroni's place. */
import type { HostCluster, HostSettings } from "../pooler-host.ts";
import { POOLER_FILES } from "./pgbouncer.ts";
import { processAddress } from "./pgbouncer-rds.ts";

/** The program's HTTP port: the load balancer and HAProxy ask it. */
export const HEALTH_PORT = 8008;
/** Admin port of PgBouncer process i is this + i. */
export const ADMIN_PORT = 6500;

/** HAProxy's runtime interface of a cluster, and its file. */
export const haproxySocket = (cluster: string): string => `/tmp/haproxy-${cluster}.sock`;
export const haproxyFile = (cluster: string): string => `${POOLER_FILES}/haproxy-${cluster}.cfg`;

/** A replica that is further behind gets no reads: Patroni's 16 MiB, and what the heartbeat says, because 16 MiB of a quiet day are hours. */
export const MAX_LAG = { bytes: 16 * 1024 * 1024, seconds: 30 } as const;

/** HAProxy's ceiling, above what any stage's pools open on one host to one cluster. */
const MAXCONN = 2_000;

/**
 * A cluster's file names nothing of another one, so that a shard comes and goes without touching the others; the first cluster's also
 * has the ways to the processes' consoles.
 * Servers begin switched off and without an address: RDS' addresses move at a fail-over, so the program resolves them, gives them to
 * HAProxy and lets a server in once it has proved its role; from then on HAProxy asks every half second. Two servers that both take
 * writes cannot both pass, see agent/host/nodes.ts.
 */
export function renderRdsHaproxy({ clusters, processes, port }: HostSettings, { name, doors, primaries, replicas }: HostCluster): string {
  const servers = (names: readonly string[]) => names.map((name) => `  server ${name} 127.0.0.1:5432 check disabled`).join("\n");
  const admin = (index: number) => `
listen admin-${index}
  bind :${ADMIN_PORT + index}
  server process ${processAddress(index)}:${port}
`;
  return `global
  maxconn ${MAXCONN}
  log stdout format raw local0 warning
  stats socket ${haproxySocket(name)} mode 600 level admin

defaults
  mode tcp
  log global
  timeout connect 1s
  retries 3
  option redispatch 1
  timeout client 24d
  timeout server 24d
  timeout check 5s
  option clitcpka
  option srvtcpka
  default-server inter 500ms fall 3 rise 1 addr 127.0.0.1 port ${HEALTH_PORT} on-marked-down shutdown-sessions

listen write
  bind 127.0.0.1:${doors.write}
  option httpchk
  http-check send meth GET uri-lf /primary/%[srv_name]
  http-check expect status 200
${servers(primaries)}

frontend read
  bind 127.0.0.1:${doors.read}
  acl no_replica nbsrv(replicas) eq 0
  use_backend primary_for_reads if no_replica
  default_backend replicas

backend replicas
  balance leastconn
  option httpchk
  http-check send meth GET uri-lf /replica/%[srv_name]?lag=${MAX_LAG.bytes}&age=${MAX_LAG.seconds}
  http-check expect status 200
${servers(replicas)}

backend primary_for_reads
  option httpchk
  http-check send meth GET uri-lf /primary/%[srv_name]
  http-check expect status 200
${servers(primaries)}
${name === clusters[0].name ? Array.from({ length: processes }, (_, index) => admin(index)).join("") : ""}`;
}
