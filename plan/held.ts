/**
 * Parts of the last topology that the configuration no longer wants: they may hold the only copy of data, so they stay
 * until `ladder finish` lets them go, unprotected in one `up`, deleted in the next.
 */
import * as z from "zod";
import type { StackConfig } from "./config.ts";
import type { CacheNode, Cluster, ConsensusMember, Held, Node, StatefulPart } from "./parts.ts";
import { splitFrom } from "./shards.ts";
import type { Topology } from "./topology.ts";
import { DISKS, InputError, type KiB, type Problem, STAGES, type Stage, TARGETS, type Target } from "./types.ts";

/** What the program exported last time and the next run needs: plain JSON. */
export interface LastOutputs {
  readonly format: 1;
  readonly stage: Stage;
  readonly target: Target;
  readonly region: string;
  readonly database: string;
  readonly port: number;
  readonly postgresVersion: number;
  /** Hash buckets of the shards. */
  readonly buckets: number;
  /** By shard, the earlier one that it took half of, where that is not the default. */
  readonly splits: Readonly<Record<string, number>>;
  /** Published port of each further region's poolers. */
  readonly regionPorts: Readonly<Record<string, number>>;
  readonly clusters: readonly Cluster[];
  readonly nodes: readonly Node[];
  readonly consensus: readonly ConsensusMember[];
  readonly cache: readonly CacheNode[];
}

const name = z.string().min(1);
const count = z.int().nonnegative();
const kibibytes = count.transform((n) => n as KiB);
const stateful = { name, region: name, held: z.literal([false, "held", "unprotected"]) };

const LAST_OUTPUTS = z.object({
  format: z.literal(1),
  stage: z.literal(STAGES),
  target: z.literal(TARGETS),
  region: name,
  database: name,
  port: count,
  postgresVersion: count,
  buckets: count,
  // Stacks of earlier versions, which had no shards, wrote none.
  splits: z.record(z.string(), count).default({}),
  regionPorts: z.record(z.string(), count),
  clusters: z.array(
    z.object({
      name,
      kind: z.literal(["main", "shard", "coordinator", "worker"]),
      index: count,
      region: name,
      follows: name.nullable(),
      platform: z.literal(["patroni", "rds"]),
      multiAz: z.boolean(),
      synchronous: z.boolean(),
    }),
  ),
  nodes: z.array(
    z.object({
      ...stateful,
      cluster: name,
      role: z.literal(["primary", "replica", "standby"]),
      zone: count,
      machine: z.object({ cores: z.number().positive(), memory: kibibytes, storage: count, disk: z.literal(DISKS) }),
      class: name.nullable(),
    }),
  ),
  consensus: z.array(z.object({ ...stateful, zone: count })),
  cache: z.array(
    z.object({
      ...stateful,
      group: count,
      role: z.literal(["primary", "replica"]),
      zone: count,
      memory: kibibytes,
      class: name.nullable(),
    }),
  ),
}) satisfies z.ZodType<LastOutputs>;

/**
 * Reads the stack's own output `topology`; undefined where there is none yet.
 * @throws InputError where it is not what `toOutputs` wrote: going on would forget parts that hold data.
 */
export function parseLastOutputs(output: unknown): LastOutputs | undefined {
  if (output === undefined || output === null) return undefined;
  const result = LAST_OUTPUTS.safeParse(output);
  if (result.success) return result.data;
  throw new InputError(
    'the stack\'s output "topology"',
    result.error.issues.map(({ path, message }) => ({
      path: ["topology", ...path].join("."),
      got: path.reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown> | undefined)?.[step], output),
      want: `what the last run wrote (${message})`,
    })),
  );
}

/** The part of a topology that the next run needs, as plain JSON: `parseLastOutputs` reads it back unchanged. */
export function toOutputs(topology: Topology): LastOutputs {
  const { stage, target, database, port, postgresVersion, buckets, splits, clusters, nodes, consensus, cache } = topology;
  return {
    format: 1,
    stage,
    target,
    region: topology.regions[0],
    database,
    port,
    postgresVersion,
    buckets,
    splits,
    regionPorts: Object.fromEntries(topology.regionalReads.map((endpoint) => [endpoint.region, endpoint.port])),
    clusters,
    nodes,
    consensus,
    cache,
  };
}

/** One held part, for the stack's output `held` and `ladder status`. */
export interface HeldPart {
  readonly kind: "node" | "consensus" | "cache";
  readonly name: string;
  readonly state: Exclude<Held, false>;
}

/** All parts of a topology that the configuration no longer wants. */
export function heldParts({ nodes, consensus, cache }: Pick<Topology, "nodes" | "consensus" | "cache">): readonly HeldPart[] {
  const of = (kind: HeldPart["kind"], parts: readonly StatefulPart[]) =>
    parts.flatMap(({ name, held }) => (held === false ? [] : [{ kind, name, state: held }]));
  return [...of("node", nodes), ...of("consensus", consensus), ...of("cache", cache)];
}

/** What becomes of a part that is no longer wanted; undefined deletes it. */
function nextState(held: Held, release: boolean): Held | undefined {
  if (!release || held === false) return "held";
  return held === "held" ? "unprotected" : undefined;
}

/** The wanted parts and, after them, those of the last run that are no longer wanted and not yet let go. */
export function keep<P extends StatefulPart>(wanted: readonly P[], last: readonly P[], release: boolean): readonly P[] {
  const names = new Set(wanted.map(({ name }) => name));
  const rest = last.filter(({ name }) => !names.has(name));
  return [
    ...wanted,
    ...rest.flatMap((part) => {
      const held = nextState(part.held, release);
      return held === undefined ? [] : [{ ...part, held }];
    }),
  ];
}

const shardIndexes = (clusters: readonly Cluster[]) =>
  clusters.flatMap(({ kind, follows, index }) => (kind === "shard" && follows === null ? [index] : []));

/** How shards came about that the configuration no longer speaks of. */
export function heldSplits(wanted: readonly Cluster[], last: LastOutputs | undefined): Readonly<Record<string, number>> {
  const gone = shardIndexes(last?.clusters ?? []).filter((index) => !shardIndexes(wanted).includes(index));
  return Object.fromEntries(Object.entries(last?.splits ?? {}).filter(([index]) => gone.includes(Number(index))));
}

function changedSplits({ profile }: StackConfig, clusters: readonly Cluster[], last: LastOutputs): readonly Problem[] {
  const there = shardIndexes(last.clusters).filter((index) => shardIndexes(clusters).includes(index));
  return there.flatMap((index) => {
    const [got, was] = [splitFrom(index, profile.shards?.splits), splitFrom(index, last.splits)];
    return got === was ? [] : [{ path: `pgladder:shards.splits.${index}`, got, want: `${was}: shard ${index} has its rows from there` }];
  });
}

/**
 * Refuses what a running stack can never change in place: what applications rely on, and where its data is.
 * @throws InputError with all such changes.
 */
export function refuseChanges(config: StackConfig, clusters: readonly Cluster[], buckets: number, last: LastOutputs): void {
  const problems: Problem[] = [];
  const same = (key: "database" | "port" | "target" | "region", why: string) => {
    if (config[key] !== last[key])
      problems.push({ path: `pgladder:${key}`, got: config[key], want: `${JSON.stringify(last[key])}: ${why}` });
  };
  same("database", "the name is in every connection string, which never changes");
  same("port", "it is in every connection string, which never changes");
  same("target", "data does not move between targets; make a new stack");
  same("region", "the data is there; add the other region to replicaRegions and promote it");
  if (config.postgresVersion < last.postgresVersion)
    problems.push({
      path: "pgladder:postgresVersion",
      got: config.postgresVersion,
      want: `${last.postgresVersion} or above: a data directory cannot go back to an older major version`,
    });
  if (buckets !== last.buckets && last.clusters.some(({ kind }) => kind === "shard"))
    problems.push({
      path: "pgladder:shards.buckets",
      got: buckets,
      want: `${last.buckets}: rows are spread over that many buckets, which are chosen once`,
    });
  problems.push(...changedSplits(config, clusters, last));
  const moved = clusters.find((cluster) =>
    last.clusters.some(({ name, platform }) => name === cluster.name && platform !== cluster.platform),
  );
  if (moved && config.target === last.target)
    problems.push({
      path: "pgladder:engine",
      got: config.engine,
      want: `${config.engine === "rds" ? "ec2" : "rds"}: cluster ${moved.name} runs on it and cannot change in place`,
    });
  if (problems.length > 0) throw new InputError(`Pulumi.${config.stack}.yaml`, problems);
}
