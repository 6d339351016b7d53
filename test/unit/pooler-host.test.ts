/**
 * What a pooler host in front of RDS is told and what it renders, word by word. Cannot prove that PgBouncer and HAProxy do it:
 * test/postgres/pooler-host.test.ts runs them before real servers.
 */
import { describe, expect, test } from "vitest";
import { PORTS } from "../../components/aws/contract.ts";
import { type HostSettings, hostClass, hostRoles, hostSettings } from "../../plan/pooler-host.ts";
import { ADMIN_PORT, HEALTH_PORT, renderRdsHaproxy } from "../../plan/render/haproxy-rds.ts";
import { renderRdsPgbouncer, renderUserlist } from "../../plan/render/pgbouncer-rds.ts";
import { plan } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";

const topologyOf = (given: Given) => plan(parse({ target: "aws", ...given }), undefined, { cores: 8, memory: gib(64) });
const SECRETS = { roles: { app: "a/password", app_ro: "r/password" }, identity: "pooler/identity" };
const settingsOf = (given: Given, region = "us-east-1", proxy: string | null = null): HostSettings => {
  const topology = topologyOf(given);
  const nodes = topology.nodes.map(({ name }) => ({ name, host: `${name}.rds.test` }));
  return hostSettings({ topology, region, nodes, proxy, secrets: SECRETS });
};
const six = (cluster: string) => [1, 2, 3, 4, 5, 6].map((n) => `${cluster}-${n}`);

describe("settings", () => {
  test("home: all pools, writes and reads on the home nodes, six of them foreseen", () => {
    expect(settingsOf({ stage: 2 })).toMatchObject({
      region: "us-east-1",
      database: "app",
      port: 6432,
      processes: 1,
      nodes: [
        { name: "main-1", cluster: "main", host: "main-1.rds.test" },
        { name: "main-2", cluster: "main", host: "main-2.rds.test" },
      ],
      clusters: [{ name: "main", doors: { write: 5000, read: 5001 }, primaries: six("main"), replicas: six("main") }],
      proxy: null,
      secrets: SECRETS,
    });
    expect(settingsOf({ stage: 2 }).pools.map(({ database }) => database)).toEqual(["app", "app_read", "app_session"]);
  });

  test("a further region: its reads, on its own standbys, and the home nodes to fall back to", () => {
    const { pools, clusters, nodes } = settingsOf({ stage: 4, shards: { count: 2 }, replicaRegions: ["eu-west-1"] }, "eu-west-1");
    expect(pools.map(({ database }) => database)).toEqual(["app_read"]);
    expect(clusters).toEqual([
      { name: "main-eu-west-1", doors: { write: 5000, read: 5001 }, primaries: six("main"), replicas: six("main-eu-west-1") },
    ]);
    expect(nodes.map(({ name, cluster }) => [name, cluster])).toEqual([
      ["main-1", "main"],
      ["main-2", "main"],
      ["main-eu-west-1-1", "main"],
    ]);
  });

  test("shards: a pair of pools and doors of their own for each", () => {
    const { pools, clusters, nodes } = settingsOf({ stage: 4, shards: { count: 2 } });
    expect(pools.map(({ database, cluster }) => [database, cluster])).toEqual([
      ["app", "main"],
      ["app_read", "main"],
      ["app_session", "main"],
      ["app_shard_0", "shard-0"],
      ["app_shard_0_read", "shard-0"],
      ["app_shard_1", "shard-1"],
      ["app_shard_1_read", "shard-1"],
    ]);
    expect(clusters.map(({ name, doors }) => [name, doors.write, doors.read])).toEqual([
      ["main", 5000, 5001],
      ["shard-0", 5010, 5011],
      ["shard-1", 5020, 5021],
    ]);
    expect(clusters[2]).toMatchObject({ primaries: six("shard-1"), replicas: six("shard-1") });
    expect(nodes.map(({ name }) => name)).toEqual(["main-1", "main-2", "shard-0-1", "shard-0-2", "shard-1-1", "shard-1-2"]);
  });

  test("more nodes than foreseen are all there", () => {
    expect(settingsOf({ stage: 3, replicas: { count: 8 } }).clusters[0].primaries).toEqual(
      Array.from({ length: 9 }, (_, i) => `main-${i + 1}`),
    );
  });

  test("a region's hosts know the passwords of their pools' roles, the agent's and the health checks', no others", () => {
    const topology = topologyOf({ stage: 3, replicaRegions: ["eu-west-1"] });
    expect(hostRoles(topology, "us-east-1")).toEqual(["app", "app_ro", "ladder_agent", "ladder_monitor"]);
    expect(hostRoles(topology, "eu-west-1")).toEqual(["app_ro", "ladder_agent", "ladder_monitor"]);
  });

  test.each([
    [1, "x86_64", "t3.small"],
    [2, "x86_64", "c6i.large"],
    [3, "x86_64", "c6i.xlarge"],
    [4, "arm64", "c7g.xlarge"],
    [64, "x86_64", "c6i.16xlarge"],
  ] as const)("a core for each of %d processes on %s: %s", (processes, architecture, expected) => {
    const topology = topologyOf({ stage: 1 });
    expect(hostClass({ ...topology, pooling: { ...topology.pooling, processes } }, architecture)).toBe(expected);
  });

  test("more processes than any host has cores", () => {
    const topology = topologyOf({ stage: 1 });
    expect(() => hostClass({ ...topology, pooling: { ...topology.pooling, processes: 65 } }, "x86_64")).toThrow(
      "pgladder:pooler.processes: got 65, want at most 64 on AWS",
    );
  });
});

describe("pgbouncer.ini", () => {
  const lines = (settings: HostSettings, index = 0) => renderRdsPgbouncer(settings, index).split("\n");
  const READ_ONLY = "connect_query='set default_transaction_read_only = on'";
  const at = (port: number) => `host=127.0.0.1 port=${port} dbname=app`;

  test("a process has its share of every total: stage 3, two hosts of two processes", () => {
    const all = lines(settingsOf({ stage: 3 }));
    expect(all.slice(1, 4)).toEqual([
      `app = ${at(5000)} pool_mode=transaction pool_size=12 reserve_pool=6 max_db_connections=18`,
      `app_read = ${at(5001)} pool_mode=transaction pool_size=12 reserve_pool=6 max_db_connections=18 ${READ_ONLY}`,
      `app_session = ${at(5000)} pool_mode=session pool_size=5 min_pool_size=0 reserve_pool=0 max_db_connections=5`,
    ]);
    for (const line of ["max_client_conn = 1250", "max_db_connections = 25", "max_user_connections = 25", "min_pool_size = 2"])
      expect(all).toContain(line);
  });

  test("all processes share the port; each has a socket, an address and a number of its own, and knows its peers", () => {
    const second = lines(settingsOf({ stage: 3 }), 1);
    for (const line of [
      "listen_addr = 0.0.0.0,127.0.0.11",
      "listen_port = 6432",
      "unix_socket_dir = /etc/pgladder/process-1",
      "so_reuseport = 1",
      "peer_id = 2",
      "tcp_keepidle = 60",
      "tcp_keepintvl = 15",
      "tcp_keepcnt = 4",
    ])
      expect(second).toContain(line);
    expect(second.slice(second.indexOf("[peers]"))).toEqual([
      "[peers]",
      "1 = host=/etc/pgladder/process-0 port=6432",
      "2 = host=/etc/pgladder/process-1 port=6432",
      "",
    ]);
  });

  test("roles prove themselves by scram on both sides, without a look-up and without a client certificate", () => {
    const all = lines(settingsOf({ stage: 2 }));
    expect(all.filter((line) => /^(auth|server_tls)/.test(line))).toEqual([
      "auth_type = scram-sha-256",
      "auth_file = /etc/pgladder/userlist.txt",
      "server_tls_sslmode = verify-ca",
      "server_tls_ca_file = /etc/pgladder/server-ca.crt",
    ]);
    expect(renderUserlist({ app: 'a"b', app_ro: "c" })).toBe('"app" "a""b"\n"app_ro" "c"\n');
  });

  test("with RDS Proxy the transaction pool goes through it, sessions and reads past it", () => {
    const databases = lines(settingsOf({ stage: 2, aws: { rdsProxy: true } }, "us-east-1", "proxy.test")).slice(1, 4);
    expect(databases.map((line) => / = (host=\S+ port=\d+)/.exec(line)![1])).toEqual([
      "host=proxy.test port=5432",
      "host=127.0.0.1 port=5001",
      "host=127.0.0.1 port=5000",
    ]);
    const sharded = lines(settingsOf({ stage: 4, shards: { count: 2 }, aws: { rdsProxy: true } }, "us-east-1", "proxy.test")).slice(1, 6);
    expect(sharded.map((line) => /^(\S+) = (host=\S+ port=\d+)/.exec(line)!.slice(1))).toEqual([
      ["app", "host=proxy.test port=5432"],
      ["app_read", "host=127.0.0.1 port=5001"],
      ["app_session", "host=127.0.0.1 port=5000"],
      ["app_shard_0", "host=127.0.0.1 port=5010"],
      ["app_shard_0_read", "host=127.0.0.1 port=5011"],
    ]);
  });
});

describe("haproxy.cfg", () => {
  test("asks the host's own program, and lets no server in by itself", () => {
    const settings = settingsOf({ stage: 3 });
    const text = renderRdsHaproxy(settings, { ...settings.clusters[0], primaries: ["main-1"], replicas: ["main-2", "main-3"] });
    expect(text).toContain("stats socket /tmp/haproxy-main.sock mode 600 level admin\n");
    expect(
      text.slice(text.indexOf("  default-server")),
    ).toBe(`  default-server inter 500ms fall 3 rise 1 addr 127.0.0.1 port 8008 on-marked-down shutdown-sessions

listen write
  bind 127.0.0.1:5000
  option httpchk
  http-check send meth GET uri-lf /primary/%[srv_name]
  http-check expect status 200
  server main-1 127.0.0.1:5432 check disabled

frontend read
  bind 127.0.0.1:5001
  acl no_replica nbsrv(replicas) eq 0
  use_backend primary_for_reads if no_replica
  default_backend replicas

backend replicas
  balance leastconn
  option httpchk
  http-check send meth GET uri-lf /replica/%[srv_name]?lag=16777216&age=30
  http-check expect status 200
  server main-2 127.0.0.1:5432 check disabled
  server main-3 127.0.0.1:5432 check disabled

backend primary_for_reads
  option httpchk
  http-check send meth GET uri-lf /primary/%[srv_name]
  http-check expect status 200
  server main-1 127.0.0.1:5432 check disabled

listen admin-0
  bind :6500
  server process 127.0.0.10:6432

listen admin-1
  bind :6501
  server process 127.0.0.11:6432
`);
  });

  test("a shard's has ports of its own and no ways to the consoles, and another shard changes no word of it", () => {
    const [two, three] = [2, 3].map((count) => settingsOf({ stage: 4, shards: { count } }));
    const text = renderRdsHaproxy(two!, two!.clusters[2]!);
    const bound = text.split("\n").filter((line) => /^ {2}(bind|stats)/.test(line));
    expect(bound).toEqual([
      "  stats socket /tmp/haproxy-shard-1.sock mode 600 level admin",
      "  bind 127.0.0.1:5020",
      "  bind 127.0.0.1:5021",
    ]);
    expect(text).not.toContain("main-1");
    expect([0, 1, 2].map((i) => renderRdsHaproxy(three!, three!.clusters[i]!))).toEqual(
      [0, 1, 2].map((i) => renderRdsHaproxy(two!, two!.clusters[i]!)),
    );
  });

  test("the ports are those that the security groups open", () => {
    expect([HEALTH_PORT, ADMIN_PORT]).toEqual([PORTS.health, PORTS.admin]);
  });
});
