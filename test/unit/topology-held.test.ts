/** What earlier stages left: kept, let go, refused. Cannot prove that Pulumi deletes nothing else: the engine tests do. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { heldParts, type LastOutputs, parseLastOutputs, plan, type Topology, toOutputs } from "../../plan/topology.ts";
import { gib, InputError, kib, STAGES, type Stage, TARGETS, type Target } from "../../plan/types.ts";
import { type Given, parse } from "../support/config.ts";

const HOST = { cores: 64, memory: gib(4096) };

/** As the next run reads it: through JSON. */
const exported = (topology: Topology): LastOutputs => parseLastOutputs(JSON.parse(JSON.stringify(toOutputs(topology))))!;

/** Runs `up` with one configuration after another. */
const ups = (...givens: Given[]): Topology => {
  let topology = plan(parse(givens[0]!), undefined, HOST);
  for (const given of givens.slice(1)) topology = plan(parse(given), exported(topology), HOST);
  return topology;
};

const stateful = ({ nodes, consensus, cache }: Pick<LastOutputs, "nodes" | "consensus" | "cache">) => [...nodes, ...consensus, ...cache];
const states = (topology: Topology) => Object.fromEntries(stateful(topology).map(({ name, held }) => [name, held]));
const namesOf = (topology: Topology) => stateful(topology).map(({ name }) => name);

const PAIRS = TARGETS.flatMap((target) => STAGES.flatMap((from) => STAGES.map((to): [Target, Stage, Stage] => [target, from, to])));

describe("outputs", () => {
  it.each(TARGETS)("are read back unchanged, and a second up changes nothing, on %s", (target) => {
    for (const stage of STAGES) {
      const given = { stage, target, replicaRegions: stage > 2 ? ["eu-west-1"] : [] };
      const topology = plan(parse(given), undefined, HOST);
      expect(exported(topology)).toEqual(toOutputs(topology));
      expect(plan(parse(given), exported(topology), HOST)).toEqual(topology);
    }
  });

  it("are nothing at the first run", () => {
    expect([parseLastOutputs(undefined), parseLastOutputs(null)]).toEqual([undefined, undefined]);
  });

  it("are refused where they are not ours, with the place", () => {
    const outputs = JSON.parse(JSON.stringify(toOutputs(plan(parse({}), undefined, HOST))));
    outputs.nodes[0].held = "yes";
    outputs.port = "6432";
    const message = (given: unknown) => {
      try {
        parseLastOutputs(given);
      } catch (error) {
        return (error as InputError).message.split("\n");
      }
      return [];
    };
    expect(message(outputs)).toEqual([
      'the stack\'s output "topology": 2 problems',
      '  topology.port: got "6432", want what the last run wrote (Invalid input: expected number, received string)',
      '  topology.nodes.0.held: got "yes", want what the last run wrote (Invalid option: expected one of false|"held"|"unprotected")',
    ]);
    for (const given of ["text", 7, [], {}, { format: 2 }])
      expect(message(given)[0]).toMatch(/^the stack's output "topology": \d+ problems?$/);
  });
});

describe("every ordered pair of stages", () => {
  it.each(PAIRS)("%s %i → %i: kept, unprotected, deleted", (target, from, to) => {
    const before = ups({ target, stage: from });
    const wanted = namesOf(ups({ target, stage: to }));
    const left = namesOf(before).filter((name) => !wanted.includes(name));
    const given = { target, stage: to };
    const letGo = { ...given, release: true };
    const expected = (state: "held" | "unprotected") => ({
      ...Object.fromEntries(wanted.map((name) => [name, false])),
      ...Object.fromEntries(left.map((name) => [name, state])),
    });

    expect(states(ups({ target, stage: from }, given))).toEqual(expected("held"));
    expect(states(ups({ target, stage: from }, given, given))).toEqual(expected("held"));
    expect(states(ups({ target, stage: from }, given, letGo))).toEqual(expected("unprotected"));
    expect(states(ups({ target, stage: from }, given, letGo, given))).toEqual(expected("held"));
    expect(namesOf(ups({ target, stage: from }, given, letGo, letGo))).toEqual(wanted);
    expect(states(ups({ target, stage: from }, letGo))).toEqual(expected("held"));

    const back = ups({ target, stage: from }, given, { target, stage: from });
    expect(stateful(back).filter(({ name, held }) => namesOf(before).includes(name) && held !== false)).toEqual([]);
    expect(namesOf(back).sort()).toEqual([...new Set([...namesOf(before), ...wanted])].sort());
  });

  it("lists what is held", () => {
    expect(heldParts(ups({ stage: 3 }, { stage: 1 }))).toEqual([
      { kind: "node", name: "main-2", state: "held" },
      { kind: "node", name: "main-3", state: "held" },
      { kind: "cache", name: "cache-0-1", state: "held" },
      { kind: "cache", name: "cache-0-2", state: "held" },
    ]);
  });
});

describe("any walk over the ladder", () => {
  const step = fc.record({
    stage: fc.constantFrom(...STAGES),
    release: fc.boolean(),
    count: fc.integer({ min: 1, max: 5 }),
    away: fc.boolean(),
  });

  it.each(TARGETS)("on %s deletes only what was unprotected while released, and keeps the picture whole", (target) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 2, maxLength: 8 }), (steps) => {
        let last: LastOutputs | undefined;
        for (const { stage, release, count, away } of steps) {
          const config = parse({
            target,
            stage,
            release,
            ...(stage > 1 ? { replicas: { count } } : {}),
            ...(stage === 4 ? { shards: { count } } : {}),
            ...(stage > 2 && away ? { replicaRegions: ["eu-west-1"] } : {}),
          });
          const topology = plan(config, last, HOST);
          const now = new Set(namesOf(topology));
          for (const part of last ? stateful(last) : [])
            if (!now.has(part.name)) expect([part.name, part.held, release]).toEqual([part.name, "unprotected", true]);
          expect(now.size).toBe(namesOf(topology).length);
          const clusters = topology.clusters.map(({ name }) => name);
          expect(new Set(clusters)).toEqual(new Set(topology.nodes.map(({ cluster }) => cluster)));
          expect(clusters).toEqual(expect.arrayContaining(topology.pools.map(({ cluster }) => cluster)));
          for (const node of topology.nodes) {
            const before = last?.nodes.find(({ name }) => name === node.name);
            expect(node.machine.storage).toBeGreaterThanOrEqual(before?.machine.storage ?? 0);
            if (before) expect([node.cluster, node.region, node.zone]).toEqual([before.cluster, before.region, before.zone]);
          }
          last = exported(topology);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("held parts", () => {
  it("keep a cluster's engine, pools and machines through a climb", () => {
    const topology = ups({ stage: 4, target: "aws" }, { stage: 5, target: "aws" });
    expect(
      topology.clusters.filter(({ kind }) => kind === "main" || kind === "coordinator").map(({ name, platform }) => [name, platform]),
    ).toEqual([
      ["coordinator", "patroni"],
      ["main", "rds"],
    ]);
    expect(topology.nodes.find(({ name }) => name === "main-1")).toMatchObject({ role: "primary", class: "db.r7g.2xlarge", held: "held" });
    expect(topology.tuning["main-1"]).toMatchObject({ platform: "rds", citus: false, serverConnections: 170, replicas: 1 });
    expect(topology.tuning["shard-0-1"]).toMatchObject({ platform: "rds", serverConnections: 220 });
    expect(topology.pools.map(({ database }) => database)).toContain("app_shard_3_read");
    expect(topology.pools[0]).toMatchObject({ database: "app", cluster: "coordinator" });
  });

  it("share a docker host with the wanted ones", () => {
    const small = { cores: 2, memory: gib(20) };
    const two = plan(parse({ stage: 2 }), undefined, small);
    const back = plan(parse({ stage: 1 }), exported(two), small);
    expect(back.nodes.map(({ name, machine, held }) => [name, machine.memory / 1024, machine.storage, held])).toEqual([
      ["main-1", 4_096, 200, false],
      ["main-2", 6_144, 200, "held"],
    ]);
  });
});

describe("changes that a running stack refuses", () => {
  const problems = (last: LastOutputs, given: Given) => {
    try {
      plan(parse(given), last, HOST);
    } catch (error) {
      if (error instanceof InputError) return error.message.split("\n").map((line) => line.trim());
      throw error;
    }
    return [];
  };
  const last = (given: Given) => exported(ups(given));

  it.each<[string, LastOutputs, Given, string]>([
    [
      "database",
      last({}),
      { database: "shop" },
      'pgladder:database: got "shop", want "app": the name is in every connection string, which never changes',
    ],
    ["port", last({}), { port: 7000 }, "pgladder:port: got 7000, want 6432: it is in every connection string, which never changes"],
    [
      "target",
      last({}),
      { target: "aws" },
      'pgladder:target: got "aws", want "docker": data does not move between targets; make a new stack',
    ],
    [
      "region",
      last({}),
      { region: "eu-west-1" },
      'pgladder:region: got "eu-west-1", want "us-east-1": the data is there; add the other region to replicaRegions and promote it',
    ],
    [
      "postgresVersion",
      { ...last({}), postgresVersion: 18 },
      {},
      "pgladder:postgresVersion: got 17, want 18 or above: a data directory cannot go back to an older major version",
    ],
    [
      "engine",
      last({ target: "aws", stage: 2 }),
      { target: "aws", stage: 2, engine: "ec2" },
      'pgladder:engine: got "ec2", want rds: cluster main runs on it and cannot change in place',
    ],
    [
      "shards.buckets",
      last({ stage: 4 }),
      { stage: 4, shards: { buckets: 128 } },
      "pgladder:shards.buckets: got 128, want 64: rows are spread over that many buckets, which are chosen once",
    ],
    [
      "shards.splits",
      last({ stage: 4, shards: { count: 3 } }),
      { stage: 4, shards: { count: 4, splits: { 2: 1 } } },
      "pgladder:shards.splits.2: got 1, want 0: shard 2 has its rows from there",
    ],
  ])("%s", (_, outputs, given, message) => {
    expect(problems(outputs, given)).toEqual(["Pulumi.dev.yaml: 1 problem", message]);
  });

  it("all at once", () => {
    expect(problems(last({}), { database: "shop", port: 7000 })).toHaveLength(3);
  });

  it("but not before there is anything to lose", () => {
    expect(problems({ ...last({}), postgresVersion: 16 }, {})).toEqual([]);
    expect(problems(last({ stage: 3 }), { stage: 4, shards: { buckets: 128 } })).toEqual([]);
    expect(problems(last({ target: "aws", stage: 4 }), { target: "aws", stage: 5 })).toEqual([]);
  });

  it("keeps how shards came about for as long as they are there", () => {
    const split = { stage: 4, shards: { count: 4, splits: { 2: 1, 3: 2 } } };
    const fewer = { stage: 4, shards: { count: 3, splits: { 2: 1 } } };
    expect(ups(split, fewer).splits).toEqual({ 2: 1, 3: 2 });
    expect(ups(split, { stage: 3 }).splits).toEqual({ 2: 1, 3: 2 });
    expect(ups(split, { ...fewer, release: true }, { ...fewer, release: true }).splits).toEqual({ 2: 1, 3: 2 });
    expect(problems(last({ stage: 4, shards: { count: 2 } }), { stage: 4, shards: { count: 3, splits: { 2: 1 } } })).toEqual([]);
    const before: Record<string, unknown> = { ...last({ stage: 2 }) };
    delete before.splits;
    expect(parseLastOutputs(before)?.splits).toEqual({});
  });

  it("keeps the buckets that were chosen once while the stage has no shards", () => {
    const chosen = ups({ stage: 4, shards: { buckets: 256 } }, { stage: 3 });
    expect([chosen.buckets, plan(parse({}), undefined, { cores: 1, memory: kib(4_000_000) }).buckets]).toEqual([256, 64]);
  });
});
