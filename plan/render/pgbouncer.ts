import type { Pool } from "../pools.ts";
import type { PoolerProfile } from "../stages.ts";
import { doorsOf } from "./haproxy.ts";
import { ROLES } from "./patroni.ts";

export const POOLER_FILES = "/etc/pgladder";
/** The role that the agent uses on PgBouncer's admin console. */
export const POOLER_ADMIN = "ladder_agent";

export interface PgbouncerInput {
  port: number;
  pooling: PoolerProfile;
  /** The pools of this pooler's region. */
  pools: readonly Pool[];
}

/** Settings of one process that a pause changes while it runs, and sets back. */
export interface PoolerLimits {
  maxUserConnections: number;
  minPoolSize: number;
}

/** The smallest pool is in one place, and not in each database's line: only this one can be set while PgBouncer runs. */
export const poolerLimits = ({ pooling, pools }: Pick<PgbouncerInput, "pooling" | "pools">): PoolerLimits => ({
  maxUserConnections: pooling.maxUserConnections,
  minPoolSize: Math.max(0, ...pools.map((pool) => pool.minSize)),
});

/** What differs between places where PgBouncer runs: lines of the file. */
export interface PgbouncerPlace {
  listening: readonly string[];
  authentication: readonly string[];
  serverTls: readonly string[];
  /** What stands in a database's line for where it leads and who looks up its users. */
  leading: (pool: Pool) => string;
  /** Further sections. */
  sections?: string;
}

/**
 * In front of a Patroni cluster: one process, which finds the servers by HAProxy and reaches them with the pooler's certificate.
 * Clients prove themselves by scram against `ladder.pooler_auth`.
 */
const BEFORE_PATRONI: PgbouncerPlace = {
  listening: ["listen_addr = 0.0.0.0", "unix_socket_dir = /tmp"],
  authentication: ["auth_query = select usename, passwd from ladder.pooler_auth($1)"],
  serverTls: [
    `server_tls_ca_file = ${POOLER_FILES}/ca.crt`,
    `server_tls_key_file = ${POOLER_FILES}/pooler.key`,
    `server_tls_cert_file = ${POOLER_FILES}/pooler.crt`,
  ],
  leading: (pool) =>
    `host=127.0.0.1 port=${haproxyPort(pool)} dbname=${pool.realDatabase} auth_user=${ROLES.pooler} auth_dbname=${lookUpIn(pool)}`,
};

/** The port of HAProxy that leads a pool to its servers. */
export function haproxyPort({ to, shard }: Pool): number {
  const doors = doorsOf(shard === null ? { kind: "main", index: 0 } : { kind: "shard", index: shard });
  return to === "primary" ? doors.write : doors.read;
}

/** The pooler's database in which users are looked up: a shard's own, so that it needs no other cluster for its clients. */
const lookUpIn = ({ realDatabase, shard }: Pool): string => (shard === null ? realDatabase : `${realDatabase}_shard_${shard}`);

/**
 * pgbouncer.ini of one PgBouncer process in front of one cluster.
 * Limits are set per pool, because PgBouncer's own max_db_connections would count each name of the database alone.
 */
export function renderPgbouncer({ port, pooling, pools }: PgbouncerInput, place: PgbouncerPlace = BEFORE_PATRONI): string {
  const seconds = (duration: number) => duration / 1_000;
  const [address, ...listening] = place.listening;
  const { maxUserConnections, minPoolSize } = poolerLimits({ pooling, pools });
  return `[databases]
${pools.map((pool) => entry(pool, minPoolSize, place)).join("\n")}

[pgbouncer]
${[address, `listen_port = ${port}`, ...listening].join("\n")}
pool_mode = transaction
auth_type = scram-sha-256
auth_file = ${POOLER_FILES}/userlist.txt
${place.authentication.map((line) => `${line}\n`).join("")}admin_users = ${POOLER_ADMIN}
client_tls_sslmode = require
client_tls_key_file = ${POOLER_FILES}/pooler.key
client_tls_cert_file = ${POOLER_FILES}/pooler.crt
client_tls_ca_file = ${POOLER_FILES}/ca.crt
server_tls_sslmode = verify-ca
${place.serverTls.join("\n")}
max_client_conn = ${pooling.maxClientConn}
max_db_connections = ${pooling.maxDbConnections}
max_user_connections = ${maxUserConnections}
min_pool_size = ${minPoolSize}
reserve_pool_timeout = ${seconds(pooling.reservePoolTimeout)}
max_prepared_statements = 200
server_connect_timeout = ${seconds(pooling.serverConnectTimeout)}
server_login_retry = 1
server_idle_timeout = ${seconds(pooling.serverIdleTimeout)}
server_lifetime = ${seconds(pooling.serverLifetime)}
client_idle_timeout = ${seconds(pooling.clientIdleTimeout)}
query_wait_timeout = 120
tcp_keepalive = 1
ignore_startup_parameters = extra_float_digits,sslrootcert,uselibpqcompat
log_connections = 0
log_disconnections = 0
${place.sections ?? ""}`;
}

function entry(pool: Pool, minSize: number, { leading }: PgbouncerPlace): string {
  const { database, to, mode, size, reserve, maxConnections } = pool;
  const least = pool.minSize === minSize ? "" : ` min_pool_size=${pool.minSize}`;
  const readOnly = to === "replicas" ? ` connect_query='set default_transaction_read_only = on'` : "";
  return [
    `${database} = ${leading(pool)}`,
    `pool_mode=${mode} pool_size=${size}${least} reserve_pool=${reserve} max_db_connections=${maxConnections}${readOnly}`,
  ].join(" ");
}
