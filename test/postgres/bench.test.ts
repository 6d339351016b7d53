/** Every scenario of the bench runs on real servers, and what no clock decides: pruning, sizes, plans. Cannot prove: how much faster anything is. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { explained, MAIN_QUERIES, makeExample } from "../../bench/baseline.ts";
import { startCache } from "../../bench/containers.ts";
import { fill } from "../../bench/example.ts";
import type { Ratio } from "../../bench/measure.ts";
import type { Found } from "../../bench/report.ts";
import { runScenarios, SCENARIOS } from "../../bench/run.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let cache: Awaited<ReturnType<typeof startCache>>;
let found: Found[];

beforeAll(async () => {
  server = await startPostgres();
  cache = await startCache(process.env.PGLADDER_TEST_CACHE_IMAGE ?? "PGLADDER_TEST_CACHE_IMAGE");
  const client = await (await server.createDatabase()).connect();
  found = await runScenarios(SCENARIOS, { client, cacheUrl: cache.url, rows: 4800 }, 1, () => undefined);
});
afterAll(async () => {
  await cache?.stop();
  await server?.stop();
});

const factsOf = (scenario: string): readonly string[] => found.find((each) => each.scenario === scenario)!.facts;
const ratioOf = (what: string): Ratio => found.flatMap(({ ratios }) => ratios).find((ratio) => ratio.what === what)!;

test("partitions that cannot match are not even planned, at 12 and at 1,200", () => {
  expect(factsOf("pruning")).toEqual([
    "all rows of one day, no index on time: the plan at 12 partitions reads 1",
    "all rows of one day, no index on time: the plan at 1,200 partitions reads 1",
    "one row by key and time: the plan at 12 partitions reads 1",
    "one row by key and time: the plan at 1,200 partitions reads 1",
    "one row by key alone, nothing to prune by: the plan at 12 partitions reads 12",
    "one row by key alone, nothing to prune by: the plan at 1,200 partitions reads 1,200",
  ]);
});

test("every comparison of the issue has its ratios", () => {
  expect(found.map(({ scenario, ratios }) => `${scenario} ${ratios.length}`)).toEqual([
    "pruning 6",
    "retention 2",
    "attach 2",
    "brin 5",
    "smallint 5",
    "loading 4",
    "caching 4",
    "top-n 2",
    "paging 3",
    "views 1",
    "nearest 1",
  ]);
  const medians = found.flatMap(({ ratios }) => ratios.map(({ ratio }) => ratio.median));
  expect(medians.filter((median) => !(median > 0 && Number.isFinite(median)))).toEqual([]);
});

test("numbers take less room than names: 28.3 bytes of a row with five columns", () => {
  expect(factsOf("smallint")[0]).toMatch(
    /^a row with five such columns is 86\.\d bytes with names and 58\.0 with numbers .*: 28\.\d bytes less;/,
  );
  expect(factsOf("smallint")[1]).toBe(
    "the five columns alone save from 16 bytes (shortest names) to 47 (longest); the requirement document says 40",
  );
  for (const what of ["table", "index on two of them and a time", "index on the five columns"])
    expect(ratioOf(what).ratio.median, what).toBeGreaterThan(1.2);
});

test("an index of ranges is smaller than one of rows, and a dropped month writes less WAL than deleted rows", () => {
  expect(ratioOf("size of an index on time").ratio.median).toBeGreaterThan(4);
  expect(ratioOf("WAL that an old month's end writes").ratio.median).toBeGreaterThan(1.2);
});

test("the main queries have plans, each by an index", async () => {
  const client = await (await server.createDatabase()).connect();
  await client.query("set random_page_cost = 1.1");
  await makeExample(client);
  await fill(client);
  const plans = await explained(client);
  expect(plans.map(({ query }) => query)).toEqual(Object.keys(MAIN_QUERIES));
  for (const { query, plan } of plans) {
    expect(plan.join("\n"), query).toMatch(/Index (Only )?Scan .*idx_/);
    expect(plan.join("\n"), query).toMatch(/Buffers: shared hit=\d+/);
  }
});
