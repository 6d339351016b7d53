/** The configuration: defaults and values. Cannot prove that servers accept the values. */
import { describe, expect, it } from "vitest";
import { STAGE_PROFILES } from "../../plan/stages.ts";
import { gib, kib, mib, ms } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";

describe("defaults", () => {
  it("fills every key", () => {
    const { profile, profiles, tables, ...rest } = parse({});
    expect(rest).toEqual({
      stack: "dev",
      stage: 1,
      target: "docker",
      writtenPools: [],
      schema: "sql/app",
      database: "app",
      port: 6432,
      postgresVersion: 17,
      settings: {},
      workload: "oltp",
      synchronous: false,
      region: "us-east-1",
      replicaRegions: [],
      engine: "rds",
      platform: "patroni",
      aws: { vpcId: null, subnetIds: null, kmsKeyArn: null, zoneId: null, rdsProxy: false },
      images: { postgres: "debian:trixie-slim", citus: "citusdata/citus:13.0" },
      alerts: {
        connections: { warning: 70, critical: 90 },
        cacheHit: { warning: 99, critical: 95 },
        replicationLag: { warning: 1024, critical: 102_400 },
        disk: { warning: 70, critical: 85 },
        p99: { warning: 500, critical: 2_000 },
        deadTuples: { warning: 10_000_000, critical: 50_000_000 },
        receivers: [],
      },
      backup: { retentionDays: 7, restoreTest: "week" },
      monitoring: true,
      protect: false,
      release: false,
      rotation: 0,
    });
    expect(profile).toEqual(STAGE_PROFILES[1]);
    expect(profiles[1]).toBe(profile);
    expect(tables.messages).toEqual({
      partition: { kind: "range", by: "inserted_at", every: "month", ahead: 3, keep: null },
      shardBy: "user_id",
      global: false,
      autovacuum: "hot",
      tenant: null,
      plain: false,
    });
  });

  it("differ with target and stage where the contract says so", () => {
    expect([1, 2, 3, 4, 5].map((stage) => parse({ stage }).synchronous)).toEqual([false, true, true, true, true]);
    expect(
      [1, 4, 5].map((stage) => parse({ stage, target: "aws" })).map(({ engine, platform, protect }) => [engine, platform, protect]),
    ).toEqual([
      ["rds", "rds", true],
      ["rds", "rds", true],
      ["ec2", "patroni", true],
    ]);
    expect(parse({ schema: "db/migrations" }).tables).toEqual({});
  });
});

describe("values", () => {
  it("reads each kind", () => {
    const config = parse({
      stage: 3,
      synchronous: false,
      primary: { memory: "1.5GB", cores: "3", storage: 300, disk: "nvme" },
      replicas: { count: 4, memory: "512MB" },
      pooler: { processes: 3, serverIdleTimeout: "10min", clientIdleTimeout: 0 },
      cache: { memory: "256 MB" },
      settings: { work_mem: "8MB", jit: true, "cron.max_running_jobs": 8, "auto_explain.log_analyze": false },
      alerts: { replicationLag: { warning: "64kB" }, p99: { critical: "5s" }, receivers: ["ops@example.com", "https://example.com/hook"] },
      tables: {
        "audit.events": { partition: { by: "at", every: "week", ahead: 5, keep: "1 year" }, autovacuum: "hot" },
        orders: { partition: { by: "country", list: { eu: ["de", "fr"], other: [1] } }, shardBy: "customer_id" },
        carts: { partition: { by: "id", hash: 8 }, tenant: "shop_id" },
        plans: { global: true, plain: true },
      },
    });
    expect(config.profile.primary).toEqual({ cores: 3, memory: kib(1_572_864), storage: 300, disk: "nvme", class: "db.r7g.2xlarge" });
    expect(config.profile.replicas).toEqual({ cores: 3, memory: mib(512), storage: 300, disk: "nvme", class: "db.r7g.2xlarge", count: 4 });
    expect(config.profile.pooler).toEqual({
      ...STAGE_PROFILES[3].pooler,
      count: 1,
      processes: 3,
      serverIdleTimeout: ms(600_000),
      clientIdleTimeout: ms(0),
    });
    expect(config.profile.cache).toEqual({ groups: 1, replicas: 1, memory: mib(256), class: "cache.m7g.large" });
    expect(config.synchronous).toBe(false);
    expect(config.settings).toEqual({ work_mem: "8MB", jit: "on", "cron.max_running_jobs": "8", "auto_explain.log_analyze": "off" });
    expect(config.alerts.replicationLag).toEqual({ warning: 64, critical: 102_400 });
    expect(config.alerts.p99).toEqual({ warning: 500, critical: 5_000 });
    expect(config.alerts.receivers).toEqual(["ops@example.com", "https://example.com/hook"]);
    const plain = { partition: null, shardBy: null, global: false, autovacuum: null, tenant: null, plain: false };
    expect(config.tables).toEqual({
      "audit.events": { ...plain, partition: { kind: "range", by: "at", every: "week", ahead: 5, keep: "1 year" }, autovacuum: "hot" },
      orders: {
        ...plain,
        partition: { kind: "list", by: "country", partitions: { eu: ["de", "fr"], other: ["1"] } },
        shardBy: "customer_id",
      },
      carts: { ...plain, partition: { kind: "hash", by: "id", modulus: 8 }, tenant: "shop_id" },
      plans: { ...plain, global: true, plain: true },
    });
  });

  it("remembers which pool sizes were written, whatever their value", () => {
    const written = (given: Given) => parse(given).writtenPools;
    expect(written({ pooler: { defaultPoolSize: 25, processes: 1 } })).toEqual(["defaultPoolSize"]);
    expect(written({ stage: 4, pooler: { sessionPoolSize: 4, minPoolSize: 2 }, shards: { poolSize: 25, count: 2 } })).toEqual([
      "minPoolSize",
      "sessionPoolSize",
      "shardPoolSize",
    ]);
  });

  it("takes cores and memory from the class on aws, in the engine's spelling", () => {
    const size = (given: Given) => {
      const { primary, replicas } = parse({ target: "aws", ...given }).profile;
      return [primary, replicas].map(({ class: name, cores, memory }) => [name, cores, memory]);
    };
    expect(size({ stage: 2 })).toEqual([
      ["db.m7g.xlarge", 4, gib(16)],
      ["db.m7g.xlarge", 4, gib(16)],
    ]);
    expect(size({ stage: 2, primary: { class: "db.r8g.48xlarge" } })).toEqual([
      ["db.r8g.48xlarge", 192, gib(1536)],
      ["db.r8g.48xlarge", 192, gib(1536)],
    ]);
    expect(size({ stage: 3, engine: "ec2", replicas: { class: "m7g.large" } })).toEqual([
      ["r7g.2xlarge", 8, gib(64)],
      ["m7g.large", 2, gib(8)],
    ]);
    expect(size({ stage: 1, primary: { class: "db.t4g.medium" } })[0]).toEqual(["db.t4g.medium", 2, gib(4)]);
  });
});
