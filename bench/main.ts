/** `npm run bench`: one way beside the other on a real server, as ratios; docs/guide/bench.md. */
import { Command, InvalidArgumentError } from "commander";
import pg from "pg";
import { ensureTestImage } from "../cli/test-image.ts";
import { type Baseline, baselines, explained, makeExample } from "./baseline.ts";
import { SETTINGS, startCache, startServer } from "./containers.ts";
import { conversion } from "./conversion.ts";
import { fill } from "./example.ts";
import { moving } from "./moving.ts";
import { baselineTable, type Found, ratioTable } from "./report.ts";
import { runScenarios, SCENARIOS } from "./run.ts";
import { shards } from "./shards.ts";

interface Options {
  rows: number;
  rounds: number;
  seconds: number;
  scale: number;
  clients: number;
  steps: string;
  only?: string[];
  url?: string;
  json: boolean;
}

interface Outcome {
  rows: number;
  rounds: number;
  settings: Readonly<Record<string, string>>;
  found: Found[];
  /** What a conversion under load measured. */
  conversion: string[];
  /** The report of a rehearsed climb on bare servers. */
  moving: string[];
  baselines: Baseline[];
  plans: Awaited<ReturnType<typeof explained>>;
}

const progress = (line: string): void => void process.stderr.write(`${line}\n`);

function atLeast(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least) throw new InvalidArgumentError(`want a whole number from ${least} on`);
    return value;
  };
}

function scenarioNames(text: string): string[] {
  const names = text.split(",");
  const known = ["baseline", "conversion", "moving", "shards", ...SCENARIOS.map(({ name }) => name)];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new InvalidArgumentError(`got ${unknown.join(", ")}, want some of ${known.join(", ")}`);
  return names;
}

const imageOf = async (image: "node" | "cache", given: string | undefined): Promise<string> =>
  given ?? (await ensureTestImage(image, progress));

async function throughUrl(url: string, options: Options): Promise<Outcome> {
  const image = await imageOf("node", process.env.PGLADDER_TEST_IMAGE);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    progress("pgbench");
    const measured = await baselines({ ...options, image, url }, client);
    return { rows: 0, rounds: 0, settings: {}, found: [], conversion: [], moving: [], baselines: measured, plans: await explained(client) };
  } finally {
    await client.end();
  }
}

async function onOwnServers(options: Options): Promise<Outcome> {
  const { rows, rounds, only } = options;
  const image = await imageOf("node", process.env.PGLADDER_TEST_IMAGE);
  const { clients } = options;
  const converted = only?.includes("conversion") ? await conversion({ image, rows, clients }, progress) : [];
  const moved = only?.includes("moving") ? await moving(options, progress) : [];
  const found = only?.includes("shards") ? [await shards({ rows, clients }, rounds, progress)] : [];
  const wanted = SCENARIOS.filter(({ name }) => only?.includes(name) ?? true);
  const server = await startServer(image);
  try {
    const cache = await startCache(await imageOf("cache", process.env.PGLADDER_TEST_CACHE_IMAGE));
    const client = await server.connect();
    try {
      found.push(...(await runScenarios(wanted, { client, cacheUrl: cache.url, rows }, rounds, progress)));
      const outcome: Outcome = { rows, rounds, settings: SETTINGS, found, conversion: converted, moving: moved, baselines: [], plans: [] };
      if (only && !only.includes("baseline")) return outcome;
      progress("pgbench and plans");
      outcome.baselines = await baselines({ ...options, image, url: `postgresql://bench@127.0.0.1:${server.port}/bench` }, client);
      await makeExample(client);
      await fill(client);
      outcome.plans = await explained(client);
      return outcome;
    } finally {
      await client.end();
      await cache.stop();
    }
  } finally {
    await server.stop();
  }
}

function print({ found, conversion: converted, moving: moved, baselines: measured, plans }: Outcome): void {
  const say = (lines: readonly string[]): void => void process.stdout.write(`${lines.join("\n")}\n\n`);
  if (found.length > 0) say(ratioTable(found));
  const facts = found.flatMap(({ scenario, facts }) => facts.map((fact) => `- ${scenario}: ${fact}`));
  if (facts.length > 0) say(facts);
  if (converted.length > 0) say(converted.map((fact) => `- conversion: ${fact}`));
  if (moved.length > 0) say(moved);
  if (measured.length > 0) say(baselineTable(measured));
  for (const { query, plan } of plans) say([`${query}:`, ...plan.map((line) => `    ${line}`)]);
}

const program = new Command("bench")
  .description("Compares one way of doing a thing with another on a real PostgreSQL and Valkey, and prints ratios")
  .option("--rows <n>", "rows of a large table", atLeast(1200), 500_000)
  .option("--rounds <n>", "rounds that count", atLeast(1), 7)
  .option(
    "--only <names>",
    `some of: baseline, conversion, moving and shards (only when named), ${SCENARIOS.map(({ name }) => name).join(", ")}`,
    scenarioNames,
  )
  .option("--url <url>", "pgbench and plans through this URL instead; it makes four tables pgbench_* there and removes them")
  .option("--scale <n>", "pgbench's scale: 100,000 accounts each", atLeast(1), 10)
  .option("--clients <n>", "pgbench's connections, and those that write during a conversion or to shards", atLeast(1), 8)
  .option("--seconds <n>", "how long each of pgbench's two runs takes", atLeast(1), 10)
  .option("--steps <list>", "of moving: as npm run rehearse takes them", "3,4,4x6,3")
  .option("--json", "everything that was measured, as JSON", false);

try {
  const options = program.parse().opts<Options>();
  const outcome = options.url === undefined ? await onOwnServers(options) : await throughUrl(options.url, options);
  if (options.json) process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`);
  else print(outcome);
} catch (error) {
  progress(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
