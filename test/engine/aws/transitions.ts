/** The ways of the ladder on AWS, walked by the real engine in the stand-in account: what each does to which resource. */
import { type Cloud, CloudStack, type Config, type Step } from "./cloud.ts";

/** What became of the resources on one way. */
export interface Way {
  readonly from: string;
  readonly to: string;
  readonly steps: readonly Step[];
  /** What the program said against it, one line each; empty when it runs. */
  readonly refused: readonly string[];
}

/** A configuration that the stack really takes, and those that are only looked at from there. */
interface Stop {
  readonly name: string;
  readonly config: Config;
  readonly looks: Readonly<Record<string, Config>>;
  /** After the looks, the stack is put back to where it was before. */
  readonly back?: true;
  /** The first update to it breaks off: AWS fails to make a database. */
  readonly broken?: true;
}

const aws = (config: Config): Config => ({ target: "aws", ...config });
const json = (value: unknown) => JSON.stringify(value);
const one = aws({ stage: "1" });
const two = aws({ stage: "2" });
const three = aws({ stage: "3" });
const away = aws({ stage: "3", replicaRegions: json(["eu-west-1"]) });
const four = aws({ stage: "4", shards: json({ count: 2 }) });
const grown = aws({ stage: "4", shards: json({ count: 4 }) });

/** GiB from which RDS lets performance be chosen, and more. */
const STRIPED = 500;

const STOPS: readonly Stop[] = [
  { name: "nothing", config: one, looks: { "stage 1": one, "stage 3 in two regions": away, "stage 4": four } },
  {
    name: "stage 1",
    config: one,
    looks: {
      "stage 2": two,
      "stage 3": three,
      "stage 4": four,
      "a larger class and more storage": { ...one, primary: json({ class: "db.m7g.large", storage: 100 }) },
    },
  },
  {
    name: "stage 2",
    config: two,
    looks: {
      "stage 1": one,
      "stage 3": three,
      "stage 4": four,
      "less storage": { ...two, primary: json({ storage: 100 }) },
      "a static setting": { ...two, settings: json({ max_worker_processes: 48 }) },
      "one more replica": { ...two, replicas: json({ count: 2 }) },
      "one more pooler, larger pools": { ...two, pooler: json({ count: 3, defaultPoolSize: 60 }) },
      "rotated passwords": { ...two, rotation: "1" },
      "protect off": { ...two, protect: "false" },
    },
  },
  {
    name: "stage 2 with a larger class and storage from 400 GiB",
    config: { ...two, primary: json({ class: "db.m7g.2xlarge", storage: STRIPED }) },
    looks: { "stage 2": two },
    back: true,
  },
  {
    name: "stage 3",
    config: three,
    looks: {
      "stage 1": one,
      "stage 2": two,
      "stage 4": four,
      "a larger cache class and one more replica": { ...three, cache: json({ class: "cache.m7g.xlarge", replicas: 2 }) },
      "three cache groups": { ...three, cache: json({ groups: 3 }) },
    },
  },
  {
    name: "stage 4",
    config: four,
    broken: true,
    looks: {
      "stage 1": one,
      "stage 2": two,
      "stage 3": three,
    },
  },
  { name: "stage 4 with four shards", config: grown, looks: { "stage 4 with two shards": four } },
  { name: "stage 3, shards held", config: three, looks: { "stage 4 with four shards": grown } },
  { name: "stage 3, shards let go", config: { ...three, release: "true" }, looks: {} },
  { name: "stage 3, shards gone", config: { ...three, release: "true" }, looks: {} },
  {
    name: "stage 3 in two regions",
    config: away,
    looks: {
      "stage 2 in two regions": { ...away, stage: "2" },
      "stage 3 with another second region": { ...away, replicaRegions: json(["eu-central-1"]) },
    },
  },
  { name: "stage 3, region held", config: three, looks: {} },
  { name: "stage 3, region let go", config: { ...three, release: "true" }, looks: {} },
  { name: "stage 3, region gone", config: { ...three, release: "true" }, looks: {} },
];

/** What a failed preview says against the configuration: `path: got X, want Y`. @throws the error where it says nothing of that kind */
function refusals(error: unknown): string[] {
  const lines = [...String(error).matchAll(/^ +(pgladder:\S+: got .*)$/gm)].map((match) => match[1]!);
  if (lines.length === 0) throw error;
  return [...new Set(lines)];
}

const told = (steps: readonly Step[]) => steps.map(({ op, type, name }) => `${op} ${type} ${name}`).sort();

/**
 * Walks all ways in a stack of its own.
 * @throws Error where an update did something that its preview did not say, or left something to do.
 */
export async function walk(cloud: Cloud, name: string): Promise<Way[]> {
  const stack = await CloudStack.open(cloud, name);
  const ways: Way[] = [];
  const look = async (from: string, to: string, config: Config): Promise<Way> => {
    stack.configure(config);
    const way = await stack.preview().then(
      (steps) => ({ from, to, steps, refused: [] }),
      (error: unknown) => ({ from, to, steps: [], refused: refusals(error) }),
    );
    ways.push(way);
    return way;
  };
  const take = async (from: string, { name: to, config, back, broken }: Stop): Promise<void> => {
    const way = ways.find((known) => known.from === from && known.to === to) ?? (await look(from, to, config));
    stack.configure(config);
    const promised = told(way.steps);
    if (broken) {
      cloud.strike({ operation: "create", type: "aws:rds/instance:Instance", mode: "fails", times: 1 });
      await stack.failing("up");
    }
    // A preview may name more than is done: what it cannot know yet may turn out the same.
    const surprises = told(await stack.up()).filter((step) => !promised.includes(step));
    if (surprises.length > 0) throw new Error(`${from} to ${to}: got ${surprises.join(", ")}, want only what the preview said`);
    const left = back || config.release !== undefined ? [] : told(await stack.preview());
    if (left.length > 0) throw new Error(`${to}, again: got ${left.join(", ")}, want nothing`);
  };
  let [before, saved] = ["nothing", stack.save()];
  for (const stop of STOPS) {
    if (stop.name !== "nothing") await take(before, stop);
    for (const [to, config] of Object.entries(stop.looks)) await look(stop.name, to, config);
    if (stop.back) stack.restore(saved);
    else [before, saved] = [stop.name, stack.save()];
  }
  return ways;
}
