/**
 * The ladder's ways on AWS: what an update does is what the page says, and nothing that holds data is replaced or deleted. Cannot prove what
 * AWS itself would refuse beyond the rules in ./rules, nor how long anything takes.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cloud } from "./cloud.ts";
import { TYPES } from "./provider/table.ts";
import { type Way, walk } from "./transitions.ts";
import { page } from "./transitions-page.ts";

const cloud = await Cloud.open();
let ways: Way[] = [];

beforeAll(async () => {
  ways = await walk(cloud, "walk");
});
afterAll(() => cloud.close());

/** A password that is asked for anew adds a version to its secret; the version before stays at AWS. */
const KEPT = "aws:secretsmanager/secretVersion:SecretVersion";
/** Pooler hosts hold nothing: those of a removed region go at once, with their log and the files that were rendered for them. */
const ofHosts = (type: string, name: string) => /:(LogGroup|Parameter)$/.test(type) && name === "pooler-eu-west-1";
const holdsData = (type: string, name: string) => TYPES[type]?.stateful === true && !ofHosts(type, name);

test("no way replaces or deletes what holds data, but for a region and shards that were let go", () => {
  const lost = ways.flatMap(({ from, to, steps }) =>
    steps
      .filter(({ op, type, name }) => (op === "delete" || (op === "replace" && type !== KEPT)) && holdsData(type, name))
      .map(({ op, name }) => `${from} -> ${to}: ${op} ${name}`),
  );
  const letGo =
    /^stage 3, (region let go -> stage 3, region gone: delete \S+-eu-west-1(-\S+)?$|shards let go -> stage 3, shards gone: delete shard-)/;
  expect(lost.filter((line) => !letGo.test(line))).toEqual([]);
  expect(lost.map((line) => line.split(": ")[1])).toContain("delete main-eu-west-1-1");
});

test("a region that is removed goes in two explicit steps", () => {
  const of = (from: string, to: string) => ways.find((way) => way.from === from && way.to === to)!.steps;
  const on = (from: string, to: string) =>
    of(from, to).flatMap(({ op, name, differs }) => (name === "main-eu-west-1-1" ? [`${op} ${differs.join(" ")}`] : []));
  expect(on("stage 3 in two regions", "stage 3, region held")).toEqual([]);
  expect(on("stage 3, region held", "stage 3, region let go")).toEqual(["update deleteAutomatedBackups deletionProtection"]);
  expect(on("stage 3, region let go", "stage 3, region gone")).toEqual(["delete "]);
  // The key stays: snapshots may be there that need it.
  expect(cloud.things("Key").filter(({ region }) => region === "eu-west-1")).toHaveLength(1);
  expect(cloud.account.read().things.filter(({ region, type }) => region === "eu-west-1" && !type.endsWith(":Key"))).toEqual([]);
});

test("shards come and grow beside what is there, stay held on the way back, and go in two explicit steps", () => {
  const of = (from: string, to: string) => ways.find((way) => way.from === from && way.to === to)!.steps;
  const databases = (from: string, to: string) =>
    of(from, to)
      .flatMap(({ op, type, name, differs }) => (type.endsWith(":Instance") ? [[op, name, ...differs].join(" ")] : []))
      .sort();
  const nodes = (...shards: number[]) => shards.flatMap((n) => [`shard-${n}-1`, `shard-${n}-2`]);
  expect(databases("stage 3", "stage 4")).toEqual(nodes(0, 1).map((name) => `create ${name}`));
  expect(databases("stage 4", "stage 4 with four shards")).toEqual(nodes(2, 3).map((name) => `create ${name}`));
  expect(of("stage 4", "stage 4 with four shards").filter(({ type }) => /:(LaunchTemplate|Group)$/.test(type))).toEqual([]);
  for (const to of ["stage 4 with two shards", "stage 3, shards held"]) expect(databases("stage 4 with four shards", to)).toEqual([]);
  expect(databases("stage 3, shards held", "stage 4 with four shards")).toEqual([]);
  expect(databases("stage 3, shards held", "stage 3, shards let go")).toEqual(
    nodes(0, 1, 2, 3).map((name) => `update ${name} deleteAutomatedBackups deletionProtection`),
  );
  expect(databases("stage 3, shards let go", "stage 3, shards gone")).toEqual(nodes(0, 1, 2, 3).map((name) => `delete ${name}`));
});

test("docs/aws-transitions.md says what the program does (npm run aws-transitions writes it)", () => {
  expect(page(ways)).toBe(readFileSync(join(import.meta.dirname, "../../../docs/aws-transitions.md"), "utf8"));
});
