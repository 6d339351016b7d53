/** Exact values of the tuning. Cannot prove that a server accepts them: test/postgres/tuning.test.ts does. */
import { describe, expect, test } from "vitest";
import { lookUp, roleTimeouts, settingValue, sharedMemorySize, tune } from "../../plan/tuning/index.ts";
import { gib, type Machine, mib, ms } from "../../plan/types.ts";
import { inputFor, shown } from "../support/tuning.ts";

const machine = (cores: number, memory: number, storage: number): Machine => ({ cores, memory: gib(memory), storage, disk: "ssd" });

const COLUMNS = [
  "shared_buffers",
  "effective_cache_size",
  "work_mem",
  "maintenance_work_mem",
  "autovacuum_work_mem",
  "wal_buffers",
  "min_wal_size",
  "max_wal_size",
  "max_slot_wal_keep_size",
  "max_connections",
  "max_worker_processes",
  "max_parallel_workers",
  "max_parallel_workers_per_gather",
  "autovacuum_max_workers",
  "autovacuum_vacuum_cost_limit",
  "max_wal_senders",
] as const;

test.each([
  ["stage 1", machine(2, 4, 50), 50, 0, "1GB 3GB 16MB 256MB 64MB 64MB 2GB 8GB 12GB 100 33 2 1 3 500 34"],
  ["stage 2", machine(4, 8, 200), 140, 1, "2GB 6GB 11MB 512MB 128MB 64MB 4GB 16GB 48GB 200 35 4 2 3 500 34"],
  ["db.t4g.medium", machine(2, 4, 50), 70, 0, "1GB 3GB 11MB 256MB 64MB 64MB 2GB 8GB 12GB 100 33 2 1 3 500 34"],
  ["db.m7g.xlarge", machine(4, 16, 200), 140, 1, "4GB 12GB 27MB 1GB 256MB 64MB 4GB 16GB 48GB 200 35 4 2 3 500 34"],
  ["db.r7g.2xlarge", machine(8, 64, 2_000), 170, 2, "16GB 48GB 64MB 1GB 256MB 64MB 4GB 16GB 480GB 200 39 8 2 4 667 34"],
  ["db.r7g.4xlarge", machine(16, 128, 4_000), 220, 1, "32GB 96GB 64MB 1GB 256MB 64MB 4GB 16GB 960GB 300 47 16 2 6 1000 34"],
])("%s: the machine decides", (_, size, serverConnections, replicas, expected) => {
  const settings = tune(inputFor({ machine: size, serverConnections, replicas }));
  expect(COLUMNS.map((name) => shown(settings, name)).join(" ")).toBe(expected);
});

const EVERYWHERE: Readonly<Record<string, string>> = {
  checkpoint_completion_target: "0.9",
  checkpoint_timeout: "15min",
  wal_keep_size: "1GB",
  wal_level: "logical",
  wal_compression: "lz4",
  default_toast_compression: "lz4",
  random_page_cost: "1.1",
  effective_io_concurrency: "200",
  io_combine_limit: "256kB",
  jit: "off",
  hash_mem_multiplier: "2",
  log_min_duration_statement: "1s",
  log_line_prefix: "%m [%p] user=%u db=%d app=%a client=%h ",
  log_lock_waits: "on",
  log_statement: "none",
  statement_timeout: "0",
  lock_timeout: "0",
  idle_in_transaction_session_timeout: "5min",
  transaction_timeout: "0",
  shared_preload_libraries: "pg_stat_statements,pg_cron,pgaudit",
  "cron.database_name": "app",
  password_encryption: "scram-sha-256",
  ssl: "on",
  hot_standby: "on",
  wal_log_hints: "on",
  archive_mode: "on",
  archive_command: "/bin/true",
  huge_pages: "try",
  track_io_timing: "on",
  max_prepared_transactions: "8",
  max_locks_per_transaction: "256",
  max_replication_slots: "34",
  max_logical_replication_workers: "24",
  max_sync_workers_per_subscription: "2",
  superuser_reserved_connections: "5",
  reserved_connections: "10",
  wal_sender_timeout: "20s",
  wal_receiver_timeout: "20s",
  hot_standby_feedback: "on",
};

test("what does not depend on the machine", () => {
  const settings = tune(inputFor());
  expect(Object.fromEntries(Object.keys(EVERYWHERE).map((name) => [name, shown(settings, name)]))).toEqual(EVERYWHERE);
});

test("every parameter once, with a reason", () => {
  const settings = tune(inputFor());
  expect(new Set(settings.map(({ name }) => name)).size).toBe(settings.length);
  expect(settings.filter(({ reason }) => reason.length < 10)).toEqual([]);
});

describe("workloads", () => {
  test.each([
    ["web", "16MB 2 off 15min 2 100 10min 30s 5min"],
    ["oltp", "16MB 2 off 15min 2 100 30min 30s 5min"],
    ["mixed", "11MB 2 off 15min 4 100 2h 1min 15min"],
    ["analytics", "8MB 4 on 30min 4 500 12h 5min 1h"],
  ] as const)("%s", (workload, expected) => {
    const input = inputFor({ workload });
    const settings = tune(input);
    const parallel = tune(inputFor({ workload, machine: machine(8, 64, 50) }));
    const roles = roleTimeouts(input);
    expect(
      [
        ...["work_mem", "hash_mem_multiplier", "jit", "checkpoint_timeout"].map((name) => shown(settings, name)),
        shown(parallel, "max_parallel_workers_per_gather"),
        shown(settings, "default_statistics_target"),
        roles.statement_timeout,
        roles.lock_timeout,
        shown(settings, "idle_in_transaction_session_timeout"),
      ].join(" "),
    ).toBe(expected);
  });
});

test.each([
  ["hdd", "4 2 10 128kB 200 200ms 100"],
  ["ssd", "1.1 200 200 256kB 500 20ms 1000"],
  ["nvme", "1.1 1000 1000 256kB 2000 20ms 1000"],
] as const)("disk %s", (disk, expected) => {
  const settings = tune(inputFor({ machine: { ...machine(2, 4, 50), disk } }));
  const names = [
    "random_page_cost",
    "effective_io_concurrency",
    "maintenance_io_concurrency",
    "io_combine_limit",
    "autovacuum_vacuum_cost_limit",
    "bgwriter_delay",
    "bgwriter_lru_maxpages",
  ];
  expect(names.map((name) => shown(settings, name)).join(" ")).toBe(expected);
});

test.each([
  [2, "1GB 512MB 2GB 1GB"],
  [50, "8GB 2GB 12GB 12800MB"],
  [500, "16GB 4GB 120GB 125GB"],
  [16_000, "16GB 4GB 3840GB 1024GB"],
])("%i GB of storage bound the WAL, the slots and the temporary files", (storage, expected) => {
  const settings = tune(inputFor({ machine: machine(2, 4, storage) }));
  const names = ["max_wal_size", "min_wal_size", "max_slot_wal_keep_size", "temp_file_limit"];
  expect(names.map((name) => shown(settings, name)).join(" ")).toBe(expected);
});

test("one core gets no parallel workers for a query", () => {
  const settings = tune(inputFor({ machine: machine(1, 4, 50) }));
  expect(shown(settings, "max_parallel_workers_per_gather")).toBe("0");
  expect(shown(settings, "max_parallel_maintenance_workers")).toBe("0");
});

test("Citus: first library, two-phase commit on every connection, more workers", () => {
  const settings = tune(inputFor({ citus: true }));
  expect(shown(settings, "shared_preload_libraries")).toBe("citus,pg_stat_statements,pg_cron,pgaudit");
  expect(shown(settings, "max_prepared_transactions")).toBe("100");
  expect(shown(settings, "max_worker_processes")).toBe("41");
});

test("the stage's slow log threshold and the database of pg_cron are taken over", () => {
  const settings = tune(inputFor({ logMinDuration: ms(100), database: "shop" }));
  expect(shown(settings, "log_min_duration_statement")).toBe("100ms");
  expect(shown(settings, "cron.database_name")).toBe("shop");
});

test("max_connections is for the pool to come, the budget for the pool that is", () => {
  const settings = tune(inputFor({ plannedConnections: 170 }));
  expect(shown(settings, "max_connections")).toBe("200");
  expect(shown(settings, "work_mem")).toBe("16MB");
  expect(lookUp(settings, "max_connections")?.reason).toBe(
    "170 of the poolers + 20 reserved (5 superuser, 4 agent, 4 monitor, 2 auth_query, 5 pg_cron), up to the next 100: static, replication is counted apart",
  );
});

test("15 replicas get their WAL senders", () => {
  expect(shown(tune(inputFor({ replicas: 15 })), "max_wal_senders")).toBe("41");
});

test("RDS: what the service owns is left out", () => {
  const names = tune(inputFor({ platform: "rds" })).map(({ name }) => name);
  for (const owned of ["huge_pages", "archive_mode", "archive_command", "fsync", "log_line_prefix", "cron.use_background_workers"]) {
    expect(names).not.toContain(owned);
  }
});

test("restart and source are PostgreSQL's and ours", () => {
  const settings = tune(inputFor({ overrides: { work_mem: "8MB" } }));
  const flags = (name: string) => [lookUp(settings, name)?.restart, lookUp(settings, name)?.source];
  expect(flags("shared_buffers")).toEqual([true, "default"]);
  expect(flags("work_mem")).toEqual([false, "override"]);
  expect(flags("wal_level")).toEqual([true, "fixed"]);
});

test("work_mem's reason adds up", () => {
  expect(lookUp(tune(inputFor()), "work_mem")?.reason).toBe(
    "(4GB − 1GB − 64MB − 410MB − 256MB − 3 × 64MB autovacuum − 70 connections × 6MB) = 1730MB, ÷ 2 a backend ÷ 52 backends that sort, 4 to 64MB",
  );
});

test("/dev/shm for a container: two processes for each parallel worker, each with its hash", () => {
  expect(sharedMemorySize(tune(inputFor()))).toBe(mib(128));
  expect(sharedMemorySize(tune(inputFor({ machine: machine(1, 2, 20), serverConnections: 20 })))).toBe(mib(76));
});

test("settingValue names the parameter that is not set", () => {
  expect(() => settingValue(tune(inputFor()), "geqo")).toThrow("geqo is not set on this node");
});
