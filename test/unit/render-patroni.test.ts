/** patroni.yml as Patroni's YAML 1.1 reads it. Cannot prove that Patroni and PostgreSQL take it: the mirror starts them. */
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { clusterDynamic } from "../../plan/mirror.ts";
import { tune } from "../../plan/tuning/index.ts";
import { needsRestart } from "../../plan/tuning/parameters.ts";
import { contentOf, passwordOf, topologyOf } from "../support/mirror.ts";

const yml = (stage: number, node: string) => parse(contentOf(topologyOf({ stage }), `${node}/patroni.yml`), { version: "1.1" });
const FILES = "/etc/pgladder";
const login = (username: string) => ({ username, password: passwordOf(username), sslmode: "verify-full", sslrootcert: `${FILES}/ca.crt` });

const HBA = [
  "local all ladder_admin peer map=os",
  "hostssl replication ladder_replication samenet scram-sha-256",
  "hostssl app,postgres ladder_replication samenet scram-sha-256",
  "hostssl app ladder_gateway,ladder_gateway_ro samenet scram-sha-256",
  "hostssl all ladder_rewind samenet scram-sha-256",
  "hostssl all ladder_admin samenet scram-sha-256",
  "hostssl app ladder_monitor samenet scram-sha-256",
  "hostssl app ladder_pooler samenet cert map=pooler",
  "hostssl app +ladder_pooled samenet cert map=pooler",
];
const IDENT = ["os postgres ladder_admin", "pooler /^pooler-.*$ ladder_pooler", "pooler /^pooler-.*$ +ladder_pooled"];

describe.each([
  { stage: 1, node: "main-1", synchronous: false },
  { stage: 2, node: "main-1", synchronous: true },
  { stage: 2, node: "main-2", synchronous: true },
])("$node at stage $stage", ({ stage, node, synchronous }) => {
  const { bootstrap, ...local } = yml(stage, node);

  test("is itself, behind the stack's certificates", () => {
    expect(local).toEqual({
      scope: "dev-main",
      namespace: "/pgladder/",
      name: node,
      restapi: {
        listen: "0.0.0.0:8008",
        connect_address: `${node}:8008`,
        certfile: `${FILES}/node.crt`,
        keyfile: `${FILES}/node.key`,
        cafile: `${FILES}/ca.crt`,
        verify_client: "optional",
      },
      ctl: { certfile: `${FILES}/node.crt`, keyfile: `${FILES}/node.key`, cacert: `${FILES}/ca.crt` },
      etcd3: {
        hosts: ["etcd-1:2379"],
        protocol: "https",
        cacert: `${FILES}/ca.crt`,
        cert: `${FILES}/node.crt`,
        key: `${FILES}/node.key`,
      },
      postgresql: {
        listen: "0.0.0.0:5432",
        connect_address: `${node}:5432`,
        data_dir: "/var/lib/postgresql/data",
        bin_dir: "/usr/lib/postgresql/17/bin",
        pgpass: "/var/lib/postgresql/.pgpass",
        use_unix_socket: true,
        basebackup: { checkpoint: "fast" },
        parameters: { unix_socket_directories: "/var/run/postgresql" },
        authentication: {
          superuser: login("ladder_admin"),
          replication: login("ladder_replication"),
          rewind: login("ladder_rewind"),
        },
      },
    });
  });

  test("starts the cluster with the shared configuration", () => {
    const { postgresql, ...dcs } = bootstrap.dcs;
    expect(dcs).toEqual({
      ttl: 20,
      loop_wait: 5,
      retry_timeout: 5,
      maximum_lag_on_failover: 16_777_216,
      synchronous_mode: synchronous,
      failsafe_mode: true,
      ignore_slots: [{ type: "logical", plugin: "pgoutput" }],
    });
    const { parameters, ...rest } = postgresql;
    expect(rest).toEqual({ use_pg_rewind: true, use_slots: true, pg_hba: HBA, pg_ident: IDENT });
    expect(parameters).toMatchObject({
      wal_level: "logical",
      hot_standby_feedback: true,
      sync_replication_slots: true,
      max_connections: "200",
      max_wal_senders: "34",
      max_replication_slots: "34",
      shared_preload_libraries: "pg_stat_statements,pg_cron,pgaudit",
      "cron.database_name": "app",
      password_encryption: "scram-sha-256",
      ssl: true,
      ssl_ca_file: `${FILES}/ca.crt`,
      ssl_cert_file: `${FILES}/node.crt`,
      ssl_key_file: `${FILES}/node.key`,
      ssl_min_protocol_version: "TLSv1.2",
    });
    expect(bootstrap.initdb).toEqual([
      { encoding: "UTF8" },
      { "locale-provider": "builtin" },
      { "builtin-locale": "C.UTF-8" },
      { locale: "C.UTF-8" },
      "data-checksums",
    ]);
  });
});

test("a node of its own database: pg_hba names it", () => {
  const { pg_hba } = clusterDynamic(topologyOf({ database: "shop" })).postgresql;
  expect(pg_hba).toEqual(HBA.map((line) => line.replace(/ app\b/, " shop")));
  expect(pg_hba.join("\n")).not.toMatch(/^host |trust|\ball all\b/m);
});

test("the cluster runs with what its smallest node can hold, whichever leads", () => {
  const topology = topologyOf({ stage: 2, primary: { memory: "8GB" }, replicas: { memory: "4GB" } });
  expect(clusterDynamic(topology).postgresql.parameters).toMatchObject({ shared_buffers: "1GB" });
  expect(tune(topology.tuning["main-1"]!).find(({ name }) => name === "shared_buffers")?.value).toEqual({
    kind: "memory",
    kib: 2 * 1024 * 1024,
  });
});

test("PostgreSQL's parameters that need a restart are the same at stages 1 and 2 on machines of one size", () => {
  const primary = { memory: "6GB", cores: 2 };
  const parametersAt = (stage: number): Record<string, string> => clusterDynamic(topologyOf({ stage, primary })).postgresql.parameters;
  const [one, two] = [parametersAt(1), parametersAt(2)];
  const changed = Object.keys({ ...one, ...two }).filter((name) => one[name] !== two[name]);
  expect(changed.filter(needsRestart)).toEqual([]);
  expect(changed).toContain("log_min_duration_statement");
});
