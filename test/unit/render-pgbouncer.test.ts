/** pgbouncer.ini word by word. Cannot prove that PgBouncer takes it: the mirror runs it. */
import { describe, expect, test } from "vitest";
import { renderPgbouncer } from "../../plan/render/pgbouncer.ts";
import { ms } from "../../plan/types.ts";
import { contentOf, topologyOf } from "../support/mirror.ts";

const ini = (given: Record<string, unknown>) => contentOf(topologyOf(given), "pooler-1/pgbouncer.ini");
const section = (text: string, name: string) => text.split(`[${name}]\n`)[1]!.split("\n\n")[0]!.trimEnd().split("\n");
const to = (port: number) => `host=127.0.0.1 port=${port} dbname=app auth_user=ladder_pooler auth_dbname=app`;
const READ_ONLY = "connect_query='set default_transaction_read_only = on'";

describe("the three databases of the contract", () => {
  test("at stage 1", () => {
    expect(section(ini({ stage: 1 }), "databases")).toEqual([
      `app = ${to(5000)} pool_mode=transaction pool_size=25 reserve_pool=5 max_db_connections=30`,
      `app_read = ${to(5001)} pool_mode=transaction pool_size=25 reserve_pool=5 max_db_connections=30 ${READ_ONLY}`,
      `app_session = ${to(5000)} pool_mode=session pool_size=10 min_pool_size=0 reserve_pool=0 max_db_connections=10`,
    ]);
  });

  test("at stage 2: larger pools to the same places", () => {
    expect(section(ini({ stage: 2 }), "databases")).toEqual([
      `app = ${to(5000)} pool_mode=transaction pool_size=50 reserve_pool=10 max_db_connections=60`,
      `app_read = ${to(5001)} pool_mode=transaction pool_size=50 reserve_pool=10 max_db_connections=60 ${READ_ONLY}`,
      `app_session = ${to(5000)} pool_mode=session pool_size=20 min_pool_size=0 reserve_pool=0 max_db_connections=20`,
    ]);
  });

  test("under another name, with the operator's sizes, within the ceiling of one pool", () => {
    const pooler = { defaultPoolSize: 12, minPoolSize: 3, reservePoolSize: 4, sessionPoolSize: 2, maxDbConnections: 14 };
    const place = (port: number) => `host=127.0.0.1 port=${port} dbname=shop auth_user=ladder_pooler auth_dbname=shop`;
    expect(section(ini({ database: "shop", pooler }), "databases")).toEqual([
      `shop = ${place(5000)} pool_mode=transaction pool_size=12 reserve_pool=4 max_db_connections=14`,
      `shop_read = ${place(5001)} pool_mode=transaction pool_size=12 reserve_pool=4 max_db_connections=14 ${READ_ONLY}`,
      `shop_session = ${place(5000)} pool_mode=session pool_size=2 min_pool_size=0 reserve_pool=0 max_db_connections=2`,
    ]);
  });
});

const SETTINGS = [
  "listen_addr = 0.0.0.0",
  "listen_port = 6432",
  "unix_socket_dir = /tmp",
  "pool_mode = transaction",
  "auth_type = scram-sha-256",
  "auth_file = /etc/pgladder/userlist.txt",
  "auth_query = select usename, passwd from ladder.pooler_auth($1)",
  "admin_users = ladder_agent",
  "client_tls_sslmode = require",
  "client_tls_key_file = /etc/pgladder/pooler.key",
  "client_tls_cert_file = /etc/pgladder/pooler.crt",
  "client_tls_ca_file = /etc/pgladder/ca.crt",
  "server_tls_sslmode = verify-ca",
  "server_tls_ca_file = /etc/pgladder/ca.crt",
  "server_tls_key_file = /etc/pgladder/pooler.key",
  "server_tls_cert_file = /etc/pgladder/pooler.crt",
  "max_client_conn = 1000",
  "max_db_connections = 100",
  "max_user_connections = 100",
  "min_pool_size = 10",
  "reserve_pool_timeout = 3",
  "max_prepared_statements = 200",
  "server_connect_timeout = 3",
  "server_login_retry = 1",
  "server_idle_timeout = 600",
  "server_lifetime = 3600",
  "client_idle_timeout = 0",
  "query_wait_timeout = 120",
  "tcp_keepalive = 1",
  "ignore_startup_parameters = extra_float_digits,sslrootcert,uselibpqcompat",
  "log_connections = 0",
  "log_disconnections = 0",
];

test.each([1, 2])("the process's settings at stage %i", (stage) => {
  expect(section(ini({ stage }), "pgbouncer")).toEqual(SETTINGS);
});

test("durations are written in seconds, and every number of the profile arrives", () => {
  const { pooling, pools } = topologyOf({ stage: 1 });
  const own = {
    ...pooling,
    maxClientConn: 77,
    maxDbConnections: 66,
    maxUserConnections: 55,
    reservePoolTimeout: ms(2_500),
    serverConnectTimeout: ms(4_000),
    serverIdleTimeout: ms(60_000),
    serverLifetime: ms(120_000),
    clientIdleTimeout: ms(30_000),
  };
  const changed = section(renderPgbouncer({ port: 6999, pooling: own, pools }), "pgbouncer").filter((line) => !SETTINGS.includes(line));
  expect(changed).toEqual([
    "listen_port = 6999",
    "max_client_conn = 77",
    "max_db_connections = 66",
    "max_user_connections = 55",
    "reserve_pool_timeout = 2.5",
    "server_connect_timeout = 4",
    "server_idle_timeout = 60",
    "server_lifetime = 120",
    "client_idle_timeout = 30",
  ]);
});
