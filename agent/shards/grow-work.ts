/** What every step of growing and shrinking is given. */
import { type ShardClass, shardOfBuckets } from "../../plan/shards.ts";
import type { ShapeStep } from "./grow-shape.ts";
import type { Places } from "./map.ts";
import type { Detail, Run, Subject } from "./store.ts";
import type { Fleet, Shard } from "./types.ts";
import type { Outcome, ShardsOptions, Work } from "./work.ts";

/** What a run remembers in its first step. */
export interface GrowDetail extends Detail {
  shape?: ShapeStep;
  /** The way back to one server was kept when it began. */
  kept?: boolean;
  /** Version of the map that announces the buckets. */
  version?: number;
}

export interface Growth extends Work {
  shape: ShapeStep;
  kept: boolean;
  /** As it is afterwards; `fleet` has every shard that takes part, with the classes of the greater number of shards. */
  after: Fleet;
  /** The shard that gives rows, and the one that gets them. */
  giver: Shard;
  taker: Shard;
  /** The last shard: the one that is new or that leaves; and the one that it is split from or merged into. */
  last: Shard;
  kin: Shard;
  /** Only the last shard: for steps of a climb that are the same here. */
  alone: Fleet;
}

export type GrowSteps = Readonly<Record<string, (work: Growth) => Promise<Outcome>>>;

/** The wanted class of every wanted shard, by index. */
export const wantedClasses = ({ wanted, fleet }: Pick<ShardsOptions, "wanted" | "fleet">): readonly ShardClass[] =>
  fleet.shards.filter(({ index }) => wanted.includes(index)).map((shard) => shard.class);

export const subjectOf = ({ tables, globals, shards }: Fleet): Subject => ({
  tables,
  globals,
  shards: shards.map(({ index, database, class: rows }) => ({ index, database, class: rows })),
});

export const detailOf = ({ steps }: Run): GrowDetail => steps[0]!.detail;

/** The servers of a fleet with these classes, by index. */
export function withClasses(fleet: Fleet, classes: readonly ShardClass[]): Fleet {
  const shards = classes.map((rows, index) => {
    const shard = fleet.shards.find((one) => one.index === index);
    if (!shard) throw new Error(`shard ${index}: got no servers for it, want them until its rows have left it`);
    return { ...shard, class: rows };
  });
  return { ...fleet, shards };
}

export function growth(work: Omit<Work, "fleet" | "options">, options: ShardsOptions): Growth {
  const { shape, kept = false } = detailOf(work.run);
  if (!shape) throw new Error("growing: got a run without a shape, want one that was begun by it");
  const { tables, globals } = work.run.subject;
  const whole = { ...options.fleet, tables, globals };
  const fleet = withClasses(whole, shape.kind === "grow" ? shape.after : shape.before);
  const [giver, taker] = [fleet.shards[shape.from]!, fleet.shards[shape.to]!];
  const [last, kin] = shape.kind === "grow" ? [taker, giver] : [giver, taker];
  const after = withClasses(whole, shape.after);
  return { ...work, options, shape, kept, fleet, after, giver, taker, last, kin, alone: { ...fleet, shards: [last] } };
}

/** Where every bucket is with these classes. */
export const placesOf = ({ shards, buckets }: Fleet, classes: readonly ShardClass[]): Places => ({
  databases: classes.map((_, index) => shards[index]!.database),
  shards: shardOfBuckets(classes, buckets),
});
