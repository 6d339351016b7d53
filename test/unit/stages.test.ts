/** The ladder's numbers: those of the requirement documents, and docs/stages.md tells the same. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { INSTANCE_CLASSES, instanceClass } from "../../plan/classes.ts";
import { serverConnections } from "../../plan/pools.ts";
import {
  BUILT,
  firstStageWith,
  type MachineProfile,
  notBuilt,
  refuseNotBuilt,
  STAGE_PROFILES,
  type StageProfile,
} from "../../plan/stages.ts";
import { describeProblem, gib, InputError, STAGES, type Stage } from "../../plan/types.ts";
import { parse } from "../support/config.ts";

const PROFILES: Record<Stage, StageProfile> = STAGE_PROFILES;

describe("requirement documents", () => {
  it("stage 1: one server of 2 cores, 4 GB, 50 GB, within 100 connections, slow log at 1 s", () => {
    const { primary, replicas, logMinDuration, cache, shards, workers, partitions } = PROFILES[1];
    expect(primary).toEqual({ cores: 2, memory: gib(4), storage: 50, disk: "ssd", class: "db.t4g.medium" });
    expect([replicas.count, logMinDuration, cache, shards, workers, partitions]).toEqual([0, 1_000, null, null, null, false]);
    expect(serverConnections("main", parse({ stage: 1 }))).toBe(70);
  });

  it("stage 2: 4 cores, 8 GB, one replica, 1,000 clients on a pool of 50", () => {
    const { primary, replicas, pooler, multiAz, synchronous } = PROFILES[2];
    expect(primary).toEqual({ cores: 4, memory: gib(8), storage: 200, disk: "ssd", class: "db.m7g.xlarge" });
    expect([replicas.count, pooler.maxClientConn, pooler.defaultPoolSize, multiAz, synchronous]).toEqual([1, 1_000, 50, true, true]);
  });

  it("stage 3: two replicas, cache, partitions, further regions", () => {
    const { primary, replicas, cache, partitions, standbysPerRegion } = PROFILES[3];
    expect([primary.class, replicas.count, cache?.groups, partitions, standbysPerRegion]).toEqual(["db.r7g.2xlarge", 2, 1, true, 1]);
  });

  it("stage 4: four shards with a replica each, 64 buckets, behind the old primary", () => {
    const { entry, primary, shards } = PROFILES[4];
    expect([entry, primary, shards?.count, shards?.replicas, shards?.buckets, shards?.class]).toEqual([
      "main",
      PROFILES[3].primary,
      4,
      1,
      64,
      "db.r7g.4xlarge",
    ]);
  });

  it("stage 5: Citus on EC2, standbys each", () => {
    const { entry, engines, workers, replicas } = PROFILES[5];
    expect([entry, engines, workers?.standbys, replicas.count]).toEqual(["coordinator", ["ec2"], 1, 1]);
  });

  it("pooler: checklist C1 at every stage, growing from 1,000 to 10,000 clients", () => {
    expect(STAGES.map((stage) => PROFILES[stage].pooler.maxClientConn)).toEqual([1_000, 1_000, 5_000, 10_000, 10_000]);
    expect(STAGES.map((stage) => PROFILES[stage].pooler.reservePoolSize)).toEqual([5, 10, 25, 25, 25]);
    for (const stage of STAGES)
      expect(PROFILES[stage].pooler).toMatchObject({
        minPoolSize: 10,
        maxDbConnections: 100,
        maxUserConnections: 100,
        reservePoolTimeout: 3_000,
        serverConnectTimeout: 3_000,
        serverIdleTimeout: 600_000,
        serverLifetime: 3_600_000,
        clientIdleTimeout: 0,
      });
  });

  it("ranges follow each other without a gap", () => {
    for (const range of ["users", "dataGiB", "messagesPerMonth"] as const)
      for (const stage of [1, 2, 3, 4] as const) expect(PROFILES[stage][range][1]).toBe(PROFILES[(stage + 1) as Stage][range][0]);
  });
});

describe("classes", () => {
  it("knows every class of the ladder", () => {
    const machines = STAGES.flatMap((stage) => [PROFILES[stage].primary, PROFILES[stage].shards, PROFILES[stage].workers]);
    expect(machines.flatMap((machine) => (machine ? [instanceClass(machine.class)] : []))).not.toContain(undefined);
  });

  it.each([
    ["db.t4g.medium", 2, 4],
    ["m7g.xlarge", 4, 16],
    ["db.m8g.24xlarge", 96, 384],
    ["r7g.16xlarge", 64, 512],
    ["r8g.48xlarge", 192, 1536],
  ])("%s has %i cores and %i GB", (name, cores, memory) => {
    expect(instanceClass(name)).toEqual({ cores, memory: gib(memory) });
  });

  it("has no generation 7 above 16xlarge", () => {
    expect(Object.keys(INSTANCE_CLASSES).filter((name) => /7g\.(24|48)xlarge/.test(name))).toEqual([]);
    expect(instanceClass("db.m4.large")).toBeUndefined();
  });
});

describe("what is built", () => {
  it("refuses the rest in one sentence", () => {
    const refused = STAGES.map((stage) => notBuilt("docker", stage)).filter((problem) => problem !== undefined);
    expect(refused.map(({ got }) => got)).toEqual(STAGES.filter((stage) => !BUILT.docker.includes(stage)));
    const last = refused.at(-1);
    if (last) expect(describeProblem(last)).toBe("pgladder:stage: got 5, want 1, 2, 3 or 4 (stage 5 on docker is not built yet)");
  });

  it("is refused for a configuration as a whole, and passes where it is built", () => {
    if (!BUILT.aws.includes(4)) expect(() => refuseNotBuilt(parse({ target: "aws", stage: 4 }))).toThrow(InputError);
    for (const stage of BUILT.docker) expect(() => refuseNotBuilt(parse({ stage }))).not.toThrow();
  });

  it("refuses what docker does not have at a stage that it has", () => {
    expect(() => refuseNotBuilt(parse({ stage: 3, replicaRegions: ["eu-west-1"], cache: { groups: 2 } }))).toThrow(
      new InputError("Pulumi.dev.yaml", [
        { path: "pgladder:cache.groups", got: 2, want: "1 (several groups on docker are not built yet)" },
        { path: "pgladder:replicaRegions", got: ["eu-west-1"], want: "none (further regions on docker are not built yet)" },
      ]),
    );
  });

  it("refuses PostgreSQL on EC2 at the stages that RDS has", () => {
    for (const stage of [1, 2, 3] as const) {
      expect(() => refuseNotBuilt(parse({ target: "aws", stage }))).not.toThrow();
      expect(() => refuseNotBuilt(parse({ target: "aws", stage, engine: "ec2" }))).toThrow(
        new InputError("Pulumi.dev.yaml", [{ path: "pgladder:engine", got: "ec2", want: "rds (PostgreSQL on EC2 is not built yet)" }]),
      );
    }
  });

  it("finds the first stage that has a part", () => {
    expect([
      firstStageWith(({ cache }) => cache !== null),
      firstStageWith(({ workers }) => workers !== null),
      firstStageWith(() => false),
    ]).toEqual([3, 5, undefined]);
  });
});

describe("docs/stages.md", () => {
  const page = readFileSync(new URL("../../docs/stages.md", import.meta.url), "utf8");
  const short = (n: number) => (n >= 1e9 ? `${n / 1e9}B` : n >= 1e6 ? `${n / 1e6}M` : n >= 1e3 ? `${Math.floor(n / 1e3)}K` : `${n}`);
  const range = ([from, to]: readonly [number, number | null]) => (to === null ? `${short(from)} and more` : `${short(from)}–${short(to)}`);
  const machine = ({ cores, memory, storage }: MachineProfile) => `${cores}, ${memory / gib(1)} GB, ${storage} GB`;
  const yes = (is: boolean) => (is ? "yes" : "no");

  const ROWS: [string, (profile: StageProfile, stage: Stage) => string | number][] = [
    ["users", ({ users }) => range(users)],
    ["data in GiB", ({ dataGiB }) => range(dataGiB)],
    ["messages a month", ({ messagesPerMonth }) => range(messagesPerMonth)],
    ["clients enter by", ({ entry }) => entry],
    ["entry: nodes", ({ replicas }) => 1 + replicas.count],
    ["entry: cores, memory, storage", ({ primary }) => machine(primary)],
    ["entry: AWS class", (_, stage) => parse({ stage, target: "aws" }).profile.primary.class],
    ["RDS Multi-AZ", ({ multiAz }) => yes(multiAz)],
    ["engines on AWS", ({ engines }) => engines.join(", ")],
    ["shards × nodes", ({ shards }) => (shards ? `${shards.count} × ${1 + shards.replicas}` : "–")],
    ["workers × nodes", ({ workers }) => (workers ? `${workers.count} × ${1 + workers.standbys}` : "–")],
    ["cores, memory, storage of each", ({ shards, workers }) => (shards ? machine(shards) : workers ? machine(workers) : "–")],
    ["nodes of each cluster in each further region", ({ standbysPerRegion }) => standbysPerRegion || "–"],
    [
      "cache: groups × nodes, memory",
      ({ cache }) => (cache ? `${cache.groups} × ${1 + cache.replicas}, ${cache.memory / gib(1)} GB` : "–"),
    ],
    ["declared tables partitioned", ({ partitions }) => yes(partitions)],
    ["synchronous commit", ({ synchronous }) => yes(synchronous)],
    ["slow statements logged from", ({ logMinDuration }) => `${logMinDuration} ms`],
    ["poolers in each region (1 on docker)", ({ pooler }) => pooler.count],
    ["processes in each", ({ pooler }) => pooler.processes],
    ["clients", ({ pooler }) => pooler.maxClientConn],
    ["pool of writes, and of reads", ({ pooler }) => pooler.defaultPoolSize],
    ["reserve of each", ({ pooler }) => pooler.reservePoolSize],
    ["pool of sessions", ({ pooler }) => pooler.sessionPoolSize],
    ["server connections of an entry node at most", ({ entry }, stage) => serverConnections(entry, parse({ stage, target: "aws" }))],
  ];

  it.each(ROWS)("row %s", (title, cell) => {
    expect(page.split("\n")).toContain(`| ${title} | ${STAGES.map((stage) => cell(PROFILES[stage], stage)).join(" | ")} |`);
  });
});
