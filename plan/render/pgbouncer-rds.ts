/** pgbouncer.ini and userlist.txt of the processes of a pooler host in front of RDS. */
import { type HostSettings, poolingOfProcess, poolOfProcess } from "../pooler-host.ts";
import { haproxyPort, type PgbouncerPlace, POOLER_FILES, renderPgbouncer } from "./pgbouncer.ts";

/** Where process `index` (from 0) has its socket. Its peers and the host's program find it there. */
export const socketFolder = (index: number): string => `${POOLER_FILES}/process-${index}`;

/** An address of the host that reaches process `index` only; the client port itself is shared by all. */
export const processAddress = (index: number): string => `127.0.0.${10 + index}`;

/** Certificates of RDS, and of RDS Proxy where there is one. */
export const SERVER_AUTHORITIES = `${POOLER_FILES}/server-ca.crt`;

/** Far below the load balancer's idle timeout, which forgets a silent connection after 350 s and tells neither side. In seconds. */
const KEEPALIVE = ["tcp_keepidle = 60", "tcp_keepintvl = 15", "tcp_keepcnt = 4"];

/**
 * pgbouncer.ini of process `index`, from 0. All processes listen on the same port, the kernel spreads clients over them; a cancel
 * request that reaches the wrong one is passed on to its peer.
 * RDS hides verifiers and knows no client certificates, so roles are in userlist.txt and prove themselves by scram on both sides.
 */
export function renderRdsPgbouncer(settings: HostSettings, index: number): string {
  const { port, pooling, pools, processes, proxy } = settings;
  const peers = Array.from({ length: processes }, (_, i) => `${i + 1} = host=${socketFolder(i)} port=${port}`);
  const place: PgbouncerPlace = {
    listening: [
      `listen_addr = 0.0.0.0,${processAddress(index)}`,
      `unix_socket_dir = ${socketFolder(index)}`,
      "so_reuseport = 1",
      `peer_id = ${index + 1}`,
      ...KEEPALIVE,
    ],
    authentication: [],
    serverTls: [`server_tls_ca_file = ${SERVER_AUTHORITIES}`],
    leading: (pool) =>
      proxy !== null && pool.shard === null && pool.to === "primary" && pool.mode === "transaction"
        ? `host=${proxy} port=5432 dbname=${pool.realDatabase}`
        : `host=127.0.0.1 port=${haproxyPort(pool)} dbname=${pool.realDatabase}`,
    sections: `\n[peers]\n${peers.join("\n")}\n`,
  };
  return renderPgbouncer({ port, pooling: poolingOfProcess(pooling), pools: pools.map((pool) => poolOfProcess(pool, pooling)) }, place);
}

/** userlist.txt: roles with their passwords. */
export const renderUserlist = (passwords: Readonly<Record<string, string>>): string =>
  Object.entries(passwords)
    .map(([role, password]) => `"${role}" "${password.replaceAll('"', '""')}"\n`)
    .join("");
