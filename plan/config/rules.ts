/** Combinations of keys that cannot work, as data: which keys a rule reads, and what it finds. */
import { className, instanceClass, wantedClass } from "../classes.ts";
import { doorsOf } from "../render/haproxy.ts";
import { shardClasses } from "../shards.ts";
import { firstStageWith, STAGE_PROFILES, type StageProfile } from "../stages.ts";
import type { Stage, Target } from "../types.ts";
import { DEFAULT_ALERTS, engineOf, type Filled, profileOf } from "./fill.ts";
import type { Key, WrittenMachine } from "./schema.ts";
import { tableProblems } from "./tables.ts";

/** A problem whose `got` is what the operator wrote at `path`. */
export interface Finding {
  path: readonly (string | number)[];
  want: string;
}

export interface Rule {
  /** A rule is skipped when one of these keys has a problem of its own. */
  reads: readonly Key[];
  find: (config: Filled) => readonly Finding[];
}

const when = (broken: boolean, path: Finding["path"], want: string): readonly Finding[] => (broken ? [{ path, want }] : []);

/** Parts that do not exist at every stage, and the overrides that are refused below the first stage that has them. */
const PARTS: readonly { key: "replicas" | "cache" | "shards" | "workers"; has: (profile: StageProfile) => boolean; waits?: 1 }[] = [
  { key: "replicas", has: (profile) => profile.replicas.count > 0 },
  { key: "cache", has: (profile) => profile.cache !== null },
  // May wait one stage below: the way back must need no more than the number.
  { key: "shards", has: (profile) => profile.shards !== null, waits: 1 },
  { key: "workers", has: (profile) => profile.workers !== null },
];

const tooEarly = (stage: Stage, has: (profile: StageProfile) => boolean): Stage | undefined => {
  const first = firstStageWith(has);
  return first !== undefined && stage < first ? first : undefined;
};

const partRules = PARTS.map(
  ({ key, has, waits = 0 }): Rule => ({
    reads: ["stage", key],
    find: (config) => {
      const first = tooEarly(config.stage, has);
      return when(
        config[key] !== undefined && first !== undefined && config.stage < first - waits,
        [key],
        `no override below stage ${first}, which is the first with ${key}`,
      );
    },
  }),
);

const machineRules = (["primary", "replicas", "shards", "workers"] as const).map(
  (key): Rule => ({
    reads: ["stage", "target", "engine", key],
    find: (config) => machineFindings(key, config[key] ?? {}, config.target, engineOf(config)),
  }),
);

function machineFindings(key: Key, machine: WrittenMachine, target: Target, engine: "rds" | "ec2"): readonly Finding[] {
  if (target === "docker")
    return when(machine.class !== undefined, [key, "class"], "no class with target docker: cores and memory size a container");
  const { class: name } = machine;
  return [
    ...when(machine.cores !== undefined, [key, "cores"], "no cores with target aws: the class decides them"),
    ...when(machine.memory !== undefined, [key, "memory"], "no memory with target aws: the class decides it"),
    ...when(machine.disk !== undefined, [key, "disk"], "no disk with target aws: volumes are gp3"),
    ...(name === undefined ? [] : when(!instanceClass(name) || className(name, engine) !== name, [key, "class"], wantedClass(engine))),
  ];
}

/** A class is looked at only where every split is of a shard that is there. */
function splitFindings({ stage, shards }: Filled): readonly Finding[] {
  const { count, buckets } = { count: 1, buckets: 64, ...STAGE_PROFILES[stage].shards, ...shards };
  const splits = shards?.splits ?? {};
  const at = (index: string): Finding["path"] => ["shards", "splits", index];
  const wrong = Object.entries(splits).flatMap(([index, source]) => [
    ...when(Number(index) >= count, at(index), `a shard from 1 to ${count - 1} (${count} shards)`),
    ...when(source >= Number(index), at(index), "an earlier shard"),
  ]);
  if (wrong.length > 0 || Object.keys(splits).length === 0) return wrong;
  const finest = Math.max(...shardClasses(count, splits).map(({ modulus }) => modulus));
  return when(finest > buckets, ["shards", "splits"], `no shard below one bucket (one would be 1/${finest} of ${buckets} buckets)`);
}

const POOL_KEYS = ["stage", "target", "engine", "pooler"] as const;

const alertRules = (Object.keys(DEFAULT_ALERTS) as (keyof typeof DEFAULT_ALERTS)[]).map(
  (name): Rule => ({
    reads: ["alerts"],
    find: ({ alerts }) => {
      const { warning, critical } = { ...DEFAULT_ALERTS[name], ...alerts?.[name] };
      return name === "cacheHit"
        ? when(warning <= critical, ["alerts", name], "a warning above critical (a lower hit ratio is worse)")
        : when(warning >= critical, ["alerts", name], "a warning below critical");
    },
  }),
);

export const RULES: readonly Rule[] = [
  {
    reads: ["stage", "target", "engine"],
    find: ({ stage, target, engine }) => {
      if (engine === undefined) return [];
      const engines: readonly string[] = STAGE_PROFILES[stage].engines;
      return [
        ...when(target === "docker", ["engine"], "no engine with target docker"),
        ...when(
          target === "aws" && !engines.includes(engine),
          ["engine"],
          `${engines.join(" or ")} at stage ${stage} (RDS cannot load Citus)`,
        ),
      ];
    },
  },
  {
    reads: ["target", "aws"],
    find: ({ target, aws }) =>
      Object.keys(aws ?? {}).flatMap((key) => when(target === "docker", ["aws", key], "no aws keys with target docker")),
  },
  {
    reads: ["aws"],
    find: ({ aws }) => [
      ...when(aws?.vpcId !== undefined && aws.subnetIds === undefined, ["aws", "subnetIds"], "the subnets of aws.vpcId"),
      ...when(aws?.subnetIds !== undefined && aws.vpcId === undefined, ["aws", "vpcId"], "the VPC of aws.subnetIds"),
      ...(aws?.subnetIds ?? []).flatMap((id, i, all) => when(all.indexOf(id) < i, ["aws", "subnetIds", i], "each subnet once")),
    ],
  },
  {
    reads: ["aws", "region"],
    find: ({ aws, region }) =>
      when(
        aws?.kmsKeyArn !== undefined && aws.kmsKeyArn.split(":")[3] !== region,
        ["aws", "kmsKeyArn"],
        `a key of the home region ${region}`,
      ),
  },
  {
    reads: ["aws", "stage", "target", "engine"],
    find: (config) => when(config.aws?.rdsProxy === true && engineOf(config) === "ec2", ["aws", "rdsProxy"], "false with engine ec2"),
  },
  {
    reads: ["region", "replicaRegions"],
    find: ({ region, replicaRegions }) =>
      (replicaRegions ?? []).flatMap((name, i, all) => [
        ...when(name === region, ["replicaRegions", i], "a region other than the home region"),
        ...when(all.indexOf(name) < i, ["replicaRegions", i], "each region once"),
      ]),
  },
  {
    reads: ["stage", "replicaRegions"],
    find: ({ stage, replicaRegions }) => {
      const first = tooEarly(stage, (profile) => profile.standbysPerRegion > 0);
      return when((replicaRegions ?? []).length > 0 && first !== undefined, ["replicaRegions"], `no further regions below stage ${first}`);
    },
  },
  {
    reads: ["stage", "replicas"],
    find: ({ stage, replicas }) =>
      when(
        STAGE_PROFILES[stage].replicas.count > 0 && replicas?.count === 0,
        ["replicas", "count"],
        `at least 1 at stage ${stage}: without a replica there is nothing to fail over to`,
      ),
  },
  {
    reads: ["stage", "synchronous"],
    find: ({ stage, synchronous }) =>
      when(
        synchronous === true && STAGE_PROFILES[stage].replicas.count === 0,
        ["synchronous"],
        `false at stage ${stage}, which has no replica to wait for`,
      ),
  },
  ...partRules,
  ...machineRules,
  {
    reads: ["target", "cache"],
    find: ({ target, cache }) => [
      ...when(
        target === "docker" && cache?.class !== undefined,
        ["cache", "class"],
        "no class with target docker: memory sizes a container",
      ),
      ...when(target === "aws" && cache?.memory !== undefined, ["cache", "memory"], "no memory with target aws: the class decides it"),
    ],
  },
  {
    reads: POOL_KEYS,
    find: (config) => {
      const { pooler } = profileOf(config);
      const written = config.pooler ?? {};
      const processes = pooler.processes * pooler.count;
      return [
        ...when(
          config.target === "docker" && (written.count ?? 1) > 1,
          ["pooler", "count"],
          "1 with target docker: one container holds the port",
        ),
        ...when(
          pooler.minPoolSize > pooler.defaultPoolSize,
          ["pooler", written.minPoolSize === undefined ? "defaultPoolSize" : "minPoolSize"],
          `minPoolSize (${pooler.minPoolSize}) not above defaultPoolSize (${pooler.defaultPoolSize})`,
        ),
        ...when(
          pooler.defaultPoolSize > pooler.maxDbConnections,
          ["pooler", written.defaultPoolSize === undefined ? "maxDbConnections" : "defaultPoolSize"],
          `defaultPoolSize (${pooler.defaultPoolSize}) not above maxDbConnections (${pooler.maxDbConnections})`,
        ),
        ...when(
          processes > pooler.defaultPoolSize,
          ["pooler", written.processes === undefined ? "defaultPoolSize" : "processes"],
          `at least one connection of defaultPoolSize (${pooler.defaultPoolSize}) for each of ${pooler.count} × ${pooler.processes} processes`,
        ),
        ...when(
          pooler.defaultPoolSize > pooler.maxClientConn,
          ["pooler", written.maxClientConn === undefined ? "defaultPoolSize" : "maxClientConn"],
          `defaultPoolSize (${pooler.defaultPoolSize}) not above maxClientConn (${pooler.maxClientConn})`,
        ),
      ];
    },
  },
  {
    reads: ["stage", "shards"],
    find: ({ stage, shards }) => {
      const profile = STAGE_PROFILES[stage].shards;
      const { count, buckets } = { count: 1, buckets: 64, ...profile, ...shards };
      return when(
        count > buckets,
        ["shards", shards?.count === undefined ? "buckets" : "count"],
        `at most one shard a bucket (${buckets} buckets)`,
      );
    },
  },
  { reads: ["stage", "shards"], find: splitFindings },
  {
    reads: ["target", "stage", "port", "shards"],
    find: (config) => {
      const count = profileOf(config).shards?.count ?? 0;
      const clusters = [
        { kind: "main", index: 0 } as const,
        ...Array.from({ length: count }, (_, index) => ({ kind: "shard", index }) as const),
      ];
      const taken = clusters.some((cluster) => Object.values(doorsOf(cluster)).includes(config.port));
      return when(
        config.target === "docker" && taken,
        ["port"],
        "a port that HAProxy does not use inside the pooler (5000 to 5002, 5010 to 5012 for shard 0 …)",
      );
    },
  },
  {
    reads: ["stage", "target", "engine", "backup"],
    find: (config) =>
      when(
        config.target === "aws" && engineOf(config) === "rds" && (config.backup?.retentionDays ?? 0) > 35,
        ["backup", "retentionDays"],
        "at most 35 with engine rds, which keeps no backup longer",
      ),
  },
  {
    reads: ["tables"],
    find: ({ tables }) =>
      Object.entries(tables ?? {}).flatMap(([name, table]) =>
        tableProblems(table).map(({ path, want }) => ({ path: ["tables", name, ...path], want })),
      ),
  },
  ...alertRules,
];
