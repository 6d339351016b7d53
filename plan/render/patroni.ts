import { stringify } from "yaml";

/** Where the files of a node are inside its container: a read-only volume that the agent fills. */
export const NODE_FILES = "/etc/pgladder";
export const PGDATA = "/var/lib/postgresql/data";

/** Roles that live outside the application's contract. */
export const ROLES = {
  admin: "ladder_admin",
  replication: "ladder_replication",
  rewind: "ladder_rewind",
  pooler: "ladder_pooler",
  pooled: "ladder_pooled",
  monitor: "ladder_monitor",
  /** The gateway's sessions on shards. */
  gateway: "ladder_gateway",
  gatewayRead: "ladder_gateway_ro",
} as const;

export interface ClusterSettings {
  /** Parameters as postgresql.conf takes them, from the tuning functions. */
  parameters: Readonly<Record<string, string>>;
  /** Wait for a replica before a commit is acknowledged. */
  synchronous: boolean;
  database: string;
}

/**
 * The cluster-wide ("dynamic") configuration of a Patroni cluster, kept in etcd and changed through `PUT /config`.
 * Times: ttl 20, loop_wait 5, retry_timeout 5 is the fastest fail-over that Patroni's own limits allow
 * (ttl ≥ 20, loop_wait + 2 × retry_timeout ≤ ttl).
 */
export function patroniDynamic({ parameters, synchronous, database }: ClusterSettings) {
  const all: Record<string, string> = { ...parameters, ...mechanics, ...files, "cron.database_name": database };
  return {
    ttl: 20,
    loop_wait: 5,
    retry_timeout: 5,
    maximum_lag_on_failover: 16 * 1024 * 1024,
    synchronous_mode: synchronous,
    failsafe_mode: true,
    // Those of subscriptions: whoever makes one also drops it, and PostgreSQL itself carries it over a fail-over.
    ignore_slots: [{ type: "logical", plugin: "pgoutput" }],
    postgresql: {
      use_pg_rewind: true,
      use_slots: true,
      parameters: all,
      pg_hba: hostBasedAccess(database),
      pg_ident: identities,
    },
  };
}
export type PatroniDynamic = ReturnType<typeof patroniDynamic>;

/** A synchronous commit waits for a replica that lost its primary for a moment until it looks again: 5 s by default. */
const mechanics = {
  wal_retrieve_retry_interval: "200ms",
  // Replicas keep a copy of the subscriptions' slots.
  sync_replication_slots: "on",
} as const;

const files = {
  ssl: "on",
  ssl_ca_file: `${NODE_FILES}/ca.crt`,
  ssl_cert_file: `${NODE_FILES}/node.crt`,
  ssl_key_file: `${NODE_FILES}/node.key`,
  ssl_min_protocol_version: "TLSv1.2",
} as const;

/**
 * Every way into a node, first match wins. Roles of the application come in through the pooler only, which shows the
 * stack's certificate for `pooler`: so a new password never breaks the pooler's own connections.
 */
function hostBasedAccess(database: string): string[] {
  return [
    `local all ${ROLES.admin} peer map=os`,
    `hostssl replication ${ROLES.replication} samenet scram-sha-256`,
    // Subscriptions ask for the database that they copy, replicas for one in which they may look at slots.
    `hostssl ${database},postgres ${ROLES.replication} samenet scram-sha-256`,
    `hostssl ${database} ${ROLES.gateway},${ROLES.gatewayRead} samenet scram-sha-256`,
    `hostssl all ${ROLES.rewind} samenet scram-sha-256`,
    `hostssl all ${ROLES.admin} samenet scram-sha-256`,
    `hostssl ${database} ${ROLES.monitor} samenet scram-sha-256`,
    `hostssl ${database} ${ROLES.pooler} samenet cert map=pooler`,
    `hostssl ${database} +${ROLES.pooled} samenet cert map=pooler`,
  ];
}

const identities = [`os postgres ${ROLES.admin}`, `pooler /^pooler-.*$ ${ROLES.pooler}`, `pooler /^pooler-.*$ +${ROLES.pooled}`];

export interface PatroniNode {
  /** Patroni scope: one per cluster of the stack. */
  scope: string;
  /** The node's name, which is also its host name in the private network. */
  name: string;
  /** Host names of the etcd members. */
  etcd: readonly string[];
  dynamic: PatroniDynamic;
  passwords: { admin: string; replication: string; rewind: string };
}

/** patroni.yml of one node. Holds passwords: mode 0400, never in state, environment or logs in plain text. */
export function renderPatroni({ scope, name, etcd, dynamic, passwords }: PatroniNode): string {
  const tls = { sslmode: "verify-full", sslrootcert: `${NODE_FILES}/ca.crt` };
  return stringify(
    {
      scope,
      namespace: "/pgladder/",
      name,
      restapi: {
        listen: "0.0.0.0:8008",
        connect_address: `${name}:8008`,
        certfile: `${NODE_FILES}/node.crt`,
        keyfile: `${NODE_FILES}/node.key`,
        cafile: `${NODE_FILES}/ca.crt`,
        verify_client: "optional",
      },
      ctl: { certfile: `${NODE_FILES}/node.crt`, keyfile: `${NODE_FILES}/node.key`, cacert: `${NODE_FILES}/ca.crt` },
      etcd3: {
        hosts: etcd.map((host) => `${host}:2379`),
        protocol: "https",
        cacert: `${NODE_FILES}/ca.crt`,
        cert: `${NODE_FILES}/node.crt`,
        key: `${NODE_FILES}/node.key`,
      },
      bootstrap: {
        dcs: dynamic,
        initdb: [
          { encoding: "UTF8" },
          { "locale-provider": "builtin" },
          { "builtin-locale": "C.UTF-8" },
          { locale: "C.UTF-8" },
          "data-checksums",
        ],
      },
      postgresql: {
        listen: "0.0.0.0:5432",
        connect_address: `${name}:5432`,
        data_dir: PGDATA,
        bin_dir: "/usr/lib/postgresql/17/bin",
        pgpass: "/var/lib/postgresql/.pgpass",
        use_unix_socket: true,
        basebackup: { checkpoint: "fast" },
        parameters: { unix_socket_directories: "/var/run/postgresql" },
        authentication: {
          superuser: { username: ROLES.admin, password: passwords.admin, ...tls },
          replication: { username: ROLES.replication, password: passwords.replication, ...tls },
          rewind: { username: ROLES.rewind, password: passwords.rewind, ...tls },
        },
      },
    },
    { lineWidth: 0 },
  );
}
