/** The topology of every stage and target: names, contract, machines, pools. Cannot prove that a target can build it. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { perProcess, plan, toOutputs } from "../../plan/topology.ts";
import { tune } from "../../plan/tuning/index.ts";
import { gib, InputError, mib, STAGES, type Stage, TARGETS } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";

const HOST = { cores: 32, memory: gib(2048) };
const planned = (given: Given, host = HOST) => plan(parse(given), undefined, host);
const names = (parts: readonly { name: string }[]) => parts.map(({ name }) => name).join(" ");

const series = (prefix: string, groups: number, members: number) =>
  Array.from({ length: groups }, (_, group) => Array.from({ length: members }, (_, i) => `${prefix}-${group}-${i + 1}`).join(" ")).join(
    " ",
  );

const NODES: Record<Stage, string> = {
  1: "main-1",
  2: "main-1 main-2",
  3: "main-1 main-2 main-3",
  4: `main-1 main-2 ${series("shard", 4, 2)}`,
  5: `coordinator-1 coordinator-2 ${series("worker", 4, 2)}`,
};
const CACHE: Record<Stage, string> = { 1: "", 2: "", 3: series("cache", 1, 2), 4: series("cache", 3, 2), 5: series("cache", 3, 3) };
const ONE_GROUP: Record<Stage, string> = { ...CACHE, 4: series("cache", 1, 2), 5: series("cache", 1, 3) };

describe("names", () => {
  it.each(STAGES)("stage %i on docker", (stage) => {
    const topology = planned({ stage });
    expect(names(topology.nodes)).toBe(NODES[stage]);
    expect(names(topology.cache)).toBe(ONE_GROUP[stage]);
    expect(names(topology.consensus)).toBe("etcd-1");
    expect(names(topology.poolers)).toBe("pooler-1");
    expect(topology.cacheDoor).toEqual(stage < 3 ? null : { name: "cache-door", port: 7432 });
  });

  it.each(STAGES)("stage %i on aws: the same, with etcd on EC2 only and more poolers", (stage) => {
    const topology = planned({ stage, target: "aws" });
    const onEc2 = planned({ stage, target: "aws", engine: "ec2" });
    expect([topology, onEc2].map(({ nodes }) => names(nodes))).toEqual([NODES[stage], NODES[stage]]);
    expect(names(topology.cache)).toBe(CACHE[stage]);
    expect(topology.cacheDoor).toBeNull();
    expect(names(topology.consensus)).toBe(stage === 5 ? "etcd-1 etcd-2 etcd-3" : "");
    expect(names(onEc2.consensus)).toBe("etcd-1 etcd-2 etcd-3");
    expect(names(topology.poolers)).toBe(
      ["", "pooler-1", "pooler-1 pooler-2", "pooler-1 pooler-2", "pooler-1 pooler-2", "pooler-1 pooler-2 pooler-3"][stage],
    );
  });

  it("further regions repeat each cluster with a standby", () => {
    const regions = (stage: Stage) => planned({ stage, replicaRegions: ["eu-west-1"], target: "aws", engine: "ec2" });
    expect(names(regions(3).nodes)).toBe("main-1 main-2 main-3 main-eu-west-1-1");
    expect(names(regions(3).consensus)).toBe("etcd-1 etcd-2 etcd-3 etcd-eu-west-1-1 etcd-eu-west-1-2 etcd-eu-west-1-3");
    expect(names(regions(3).poolers)).toBe("pooler-1 pooler-2 pooler-eu-west-1-1 pooler-eu-west-1-2");
    expect(names(regions(4).clusters)).toBe(
      "main main-eu-west-1 shard-0 shard-0-eu-west-1 shard-1 shard-1-eu-west-1 shard-2 shard-2-eu-west-1 shard-3 shard-3-eu-west-1",
    );
    expect(names(regions(5).nodes.filter(({ role }) => role === "standby"))).toBe(
      "coordinator-eu-west-1-1 worker-0-eu-west-1-1 worker-1-eu-west-1-1 worker-2-eu-west-1-1 worker-3-eu-west-1-1",
    );
  });

  it("gives a node its role, place and cluster", () => {
    const { nodes, clusters } = planned({ stage: 4, target: "aws", replicaRegions: ["eu-west-1"] });
    const huge = { cores: 16, memory: gib(128), storage: 4_000, disk: "ssd" };
    const common = { machine: huge, class: "db.r7g.4xlarge", held: false };
    expect(nodes.filter(({ name }) => name.startsWith("shard-1"))).toEqual([
      { name: "shard-1-1", cluster: "shard-1", role: "primary", region: "us-east-1", zone: 1, ...common },
      { name: "shard-1-2", cluster: "shard-1", role: "replica", region: "us-east-1", zone: 2, ...common },
      { name: "shard-1-eu-west-1-1", cluster: "shard-1-eu-west-1", role: "standby", region: "eu-west-1", zone: 1, ...common },
    ]);
    expect(clusters.filter(({ index, kind }) => kind === "shard" && index === 1)).toEqual([
      { name: "shard-1", kind: "shard", index: 1, region: "us-east-1", follows: null, platform: "rds", multiAz: true, synchronous: true },
      {
        name: "shard-1-eu-west-1",
        kind: "shard",
        index: 1,
        region: "eu-west-1",
        follows: "shard-1",
        platform: "rds",
        multiAz: false,
        synchronous: false,
      },
    ]);
  });
});

describe("contract", () => {
  it("is the same at every stage, whatever the overrides", () => {
    const overrides = fc.record({
      target: fc.constantFrom(...TARGETS),
      stage: fc.constantFrom(...STAGES),
      database: fc.constantFrom("app", "shop"),
      port: fc.integer({ min: 1024, max: 65_535 }),
      workload: fc.constantFrom("web", "analytics"),
      pooler: fc.record({ processes: fc.integer({ min: 1, max: 5 }) }),
    });
    fc.assert(
      fc.property(overrides, (given) => {
        const { endpoint, entry, pools } = planned(given);
        expect(endpoint).toEqual({
          host: given.target === "docker" ? "127.0.0.1" : "db.dev.pgladder.internal",
          port: given.port,
          write: { database: given.database, user: "app" },
          read: { database: `${given.database}_read`, user: "app_ro" },
          session: { database: `${given.database}_session`, user: "app" },
        });
        const { database } = given;
        expect(pools.slice(0, 3).map((pool) => [pool.database, pool.realDatabase, pool.user, pool.cluster, pool.to, pool.mode])).toEqual([
          [database, database, "app", entry, "primary", "transaction"],
          [`${database}_read`, database, "app_ro", entry, "replicas", "transaction"],
          [`${database}_session`, database, "app", entry, "primary", "session"],
        ]);
      }),
    );
  });

  it("reads of further regions keep their port on docker", () => {
    const config = (...replicaRegions: string[]) => parse({ stage: 3, replicaRegions });
    const first = plan(config("eu-west-1", "ap-south-1"), undefined, HOST);
    const read = { database: "app_read", user: "app_ro" };
    expect(first.regionalReads).toEqual([
      { region: "eu-west-1", host: "127.0.0.1", port: 6433, read },
      { region: "ap-south-1", host: "127.0.0.1", port: 6434, read },
    ]);
    const second = plan(config("sa-east-1", "ap-south-1"), toOutputs(first), HOST);
    expect(second.regionalReads.map(({ region, port }) => [region, port])).toEqual([
      ["sa-east-1", 6433],
      ["ap-south-1", 6434],
    ]);
    const { regionalReads } = planned({ stage: 3, target: "aws", replicaRegions: ["eu-west-1"] });
    expect(regionalReads).toEqual([{ region: "eu-west-1", host: "db-eu-west-1.dev.pgladder.internal", port: 6432, read }]);
  });
});

describe("pools", () => {
  it("stage 4 has a pair for each shard, further regions a read pool", () => {
    const { pools } = planned({ stage: 4, replicaRegions: ["eu-west-1"], shards: { count: 2 } });
    expect(
      pools.map((pool) => [pool.database, pool.region, pool.cluster, pool.size, pool.minSize, pool.reserve, pool.maxConnections]),
    ).toEqual([
      ["app", "us-east-1", "main", 50, 10, 25, 75],
      ["app_read", "us-east-1", "main", 50, 10, 25, 75],
      ["app_session", "us-east-1", "main", 20, 0, 0, 20],
      ["app_shard_0", "us-east-1", "shard-0", 25, 0, 0, 25],
      ["app_shard_0_read", "us-east-1", "shard-0", 25, 0, 0, 25],
      ["app_shard_1", "us-east-1", "shard-1", 25, 0, 0, 25],
      ["app_shard_1_read", "us-east-1", "shard-1", 25, 0, 0, 25],
      ["app_read", "eu-west-1", "main-eu-west-1", 50, 10, 25, 75],
    ]);
  });

  it("never passes maxDbConnections", () => {
    const { pools, tuning } = planned({ pooler: { defaultPoolSize: 90, reservePoolSize: 40, maxDbConnections: 100 } });
    expect(pools.map(({ maxConnections }) => maxConnections)).toEqual([100, 100, 10]);
    expect(tuning["main-1"]?.serverConnections).toBe(210);
  });

  it("divides among processes without passing the total", () => {
    expect([
      perProcess(50, { count: 3, processes: 4 }),
      perProcess(5, { count: 3, processes: 4 }),
      perProcess(0, { count: 3, processes: 4 }),
    ]).toEqual([4, 1, 0]);
  });
});

describe("tuning inputs", () => {
  it("counts every pool for every node, and plans for the whole ladder", () => {
    const shown = (stage: Stage, node: string) => {
      const input = planned({ stage, replicaRegions: stage > 2 ? ["eu-west-1"] : [] }).tuning[node];
      return [input?.serverConnections, input?.plannedConnections, input?.replicas, input?.citus, input?.platform, input?.logMinDuration];
    };
    expect(shown(1, "main-1")).toEqual([70, 170, 0, false, "patroni", 1_000]);
    expect(shown(2, "main-2")).toEqual([140, 170, 1, false, "patroni", 500]);
    expect(shown(3, "main-eu-west-1-1")).toEqual([170, 170, 3, false, "patroni", 250]);
    expect(shown(4, "shard-0-1")).toEqual([220, 220, 2, false, "patroni", 100]);
    expect(shown(5, "worker-0-1")).toEqual([170, 170, 2, true, "patroni", 100]);
  });

  it("exist for every node and carry the operator's wishes", () => {
    for (const target of TARGETS)
      for (const stage of STAGES) {
        const topology = planned({ stage, target, workload: "web", database: "shop", settings: { work_mem: "8MB" } });
        expect(Object.keys(topology.tuning)).toEqual(topology.nodes.map(({ name }) => name));
        for (const node of topology.nodes)
          expect(topology.tuning[node.name]).toMatchObject({
            machine: node.machine,
            workload: "web",
            overrides: { work_mem: "8MB" },
            platform: target === "aws" && stage < 5 ? "rds" : "patroni",
            database: "shop",
          });
      }
  });
});

describe("pools on a small docker host", () => {
  const HOST_24 = { cores: 2, memory: gib(24) };
  const shown = (given: Given, host = HOST_24) => {
    const { nodes, pools, pooling, tuning } = planned(given, host);
    return {
      memory: nodes[0]!.machine.memory / 1024,
      pools: pools.slice(0, 4).map(({ size, minSize, reserve }) => [size, minSize, reserve].join("/")),
      pooling: [pooling.defaultPoolSize, pooling.minPoolSize, pooling.reservePoolSize, pooling.sessionPoolSize],
      connections: [...new Set(Object.values(tuning).map((input) => `${input.serverConnections} of ${input.plannedConnections}`))],
    };
  };

  it.each<[Stage, ReturnType<typeof shown>]>([
    [1, { memory: 4_096, pools: ["25/10/5", "25/10/5", "10/0/0"], pooling: [25, 10, 5, 10], connections: ["70 of 170"] }],
    [2, { memory: 7_360, pools: ["50/10/10", "50/10/10", "20/0/0"], pooling: [50, 10, 10, 20], connections: ["140 of 170"] }],
    [3, { memory: 4_896, pools: ["50/10/25", "50/10/25", "20/0/0"], pooling: [50, 10, 25, 20], connections: ["170 of 170"] }],
    [4, { memory: 1_472, pools: ["10/2/5", "10/2/5", "4/0/0", "5/0/0"], pooling: [10, 2, 5, 4], connections: ["34 of 170", "44 of 220"] }],
    [5, { memory: 1_472, pools: ["13/2/6", "13/2/6", "5/0/0"], pooling: [13, 2, 6, 5], connections: ["43 of 170"] }],
  ])("stage %i on 24 GB and 2 cores has pools that its nodes carry, and the connections of the whole ladder planned", (stage, want) => {
    expect(shown({ stage })).toEqual(want);
  });

  it.each(STAGES)("stage %i on 24 GB is tuned, not refused", (stage) => {
    for (const input of Object.values(planned({ stage }, HOST_24).tuning)) expect(() => tune(input)).not.toThrow();
  });

  it("takes all sizes down by the same share, as little as the memory asks for", () => {
    expect(shown({ stage: 3 }, { cores: 2, memory: gib(16) }).pools).toEqual(["33/6/16", "33/6/16", "13/0/0"]);
    expect(shown({ stage: 3 }, { cores: 2, memory: gib(16) }).connections).toEqual(["111 of 170"]);
  });

  it("leaves what the operator wrote, also where it is the profile's own number, and refuses it where it does not fit", () => {
    const written = { stage: 4, pooler: { defaultPoolSize: 12, minPoolSize: 3 } };
    expect(shown(written).pools).toEqual(["12/3/4", "12/3/4", "3/0/0", "4/0/0"]);
    const tooMuch = planned({ stage: 4, pooler: { defaultPoolSize: 50 } }, HOST_24);
    expect(tooMuch.pools.slice(0, 3).map(({ size }) => size)).toEqual([50, 50, 20]);
    expect(() => tune(tooMuch.tuning["main-1"]!)).toThrow(/serverConnections: got 170, want at most 45 server connections/);
  });

  it("touches nothing on aws, where the class decides the memory", () => {
    const { pools, tuning } = planned({ stage: 4, target: "aws" }, { cores: 1, memory: mib(512) });
    expect([pools[0]?.size, tuning["main-1"]?.serverConnections]).toEqual([50, 170]);
  });

  it("counts held nodes, which share the host", () => {
    const host = { cores: 2, memory: gib(12) };
    const three = plan(parse({ stage: 3 }), undefined, host);
    const back = plan(parse({ stage: 2 }), toOutputs(three), host);
    expect([three, back].map(({ pools, nodes }) => [nodes.length, pools[0]?.size])).toEqual([
      [3, 24],
      [3, 29],
    ]);
  });
});

describe("docker host", () => {
  const memory = (stage: Stage, host: number) =>
    planned({ stage }, { cores: 2, memory: mib(host) }).nodes.map(({ machine }) => machine.memory / 1024);

  it("shares 60% of its memory, rounded down to 32 MB, at most the profile's", () => {
    expect(memory(1, 16_384)).toEqual([4_096]);
    expect(memory(1, 4_000)).toEqual([2_400]);
    expect(memory(2, 8_000)).toEqual([2_400, 2_400]);
    expect(memory(2, 8_050)).toEqual([2_400, 2_400]);
    expect(memory(4, 24_000)).toEqual(Array(10).fill(1_440));
    expect(planned({ stage: 2 }, { cores: 2, memory: gib(64) }).nodes.map(({ machine }) => machine.cores)).toEqual([2, 2]);
  });

  it("never gives away more than 60%, for any host and stage", () => {
    fc.assert(
      fc.property(fc.integer({ min: 12_500, max: 600_000 }), fc.constantFrom(...STAGES), (host, stage) => {
        const given = memory(stage, host);
        expect(given.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(host * 0.6);
        expect(Math.min(...given)).toBeGreaterThanOrEqual(256);
      }),
    );
  });

  it("refuses a host that is too small for the smallest pools on so many nodes, with the arithmetic", () => {
    const want = "at least 12267MB: 10 database nodes of 736MB in 60% of it; or fewer nodes (pgladder:replicas, pgladder:shards)";
    for (const [host, got] of [
      [2_000, "2000MB"],
      [8_192, "8192MB"],
      [12_266, "12266MB"],
    ] as const)
      expect(() => memory(4, host)).toThrow(new InputError("the Docker host of stack dev", [{ path: "memory", got, want }]));
    expect(memory(4, 12_267)).toEqual(Array(10).fill(736));
  });

  it("of 8 GB carries two shards with a replica each, or four alone", () => {
    for (const shards of [
      { count: 2, replicas: 1 },
      { count: 4, replicas: 0 },
    ]) {
      const { nodes, tuning } = planned({ stage: 4, shards }, { cores: 2, memory: gib(8) });
      expect(nodes.map(({ machine }) => machine.memory / 1024)).toEqual(Array(6).fill(800));
      for (const input of Object.values(tuning)) expect(() => tune(input)).not.toThrow();
    }
  });

  it("gives the cache nodes at most 10% together", () => {
    const cache = planned({ stage: 4 }, { cores: 2, memory: gib(24) }).cache;
    expect(cache.map(({ memory, class: type }) => [memory / 1024, type])).toEqual(Array(2).fill([1_228, null]));
    expect(planned({ stage: 3, target: "aws" }).cache.map(({ class: type }) => type)).toEqual(["cache.m7g.large", "cache.m7g.large"]);
  });
});
