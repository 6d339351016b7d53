/** The mover cut off at every point of growing and shrinking, while clients write. Cannot prove: what servers do that die meanwhile. */
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { shardClasses } from "../../plan/shards.ts";
import { folderOf, removeFolder } from "../support/migrations.ts";
import { startShards, type TestFleet } from "../support/shards.ts";
import { Driver, FILES, GLOBALS, install, Load, TABLES } from "./shards-move.ts";

let here: TestFleet;
let folder: string;
let load: Load;
let admins: Client[];

beforeAll(async () => {
  [here, folder] = await Promise.all([startShards({ shards: 2, tables: TABLES, globals: GLOBALS }), folderOf(FILES)]);
  await install(here, folder);
  load = new Load(() => here.gateway.db.connect("app"));
  admins = await Promise.all([here.gateway, ...here.shards].map(({ db }) => db.connect()));
}, 120_000);

afterAll(async () => {
  await here?.stop();
  if (folder) await removeFolder(folder);
});

/** A mover for so many of the shards. */
function wanting(count: number): Driver {
  const classes = shardClasses(count);
  const shards = here.fleet.shards.map((shard, index) => ({ ...shard, class: classes[index] ?? shard.class }));
  const driver = new Driver({ ...here.fleet, shards }, folder);
  driver.more = { wanted: classes.map((_, index) => index) };
  return driver;
}

const FLIP = ["flip: gateway locked", "flip: locked", "flip: prepared", "flip: given", "flip: taken", "flip: others told"];

test("cut off at every point, a shard is added and leaves again: the same end", async () => {
  await load.fill(500);
  await wanting(1).settle();
  await load.start(3);
  const killed: string[][] = [];
  for (const count of [2, 1]) killed.push(await wanting(count).settleKilled(() => Promise.resolve()));
  await load.stop();
  const steps = (points: readonly string[], end: string) =>
    points.flatMap((point) => (point.endsWith(`: ${end}`) ? [point.split(":")[0]] : []));
  const grown = ["check", "prepare", "bare", "copy", "indexes", "catch-up", "verify", "way-back", "announce", "flip", "open", "clean"];
  expect(new Set(steps(killed[0]!, "begins"))).toEqual(new Set(grown));
  expect(killed[0]!.filter((point) => FLIP.includes(point))).toEqual(FLIP);
  expect(killed[1]!.filter((point) => FLIP.includes(point))).toEqual(FLIP);
  expect(load.failed).toEqual([]);
  expect(await load.differences(admins.slice(1, 2))).toEqual([]);
  const { rows } = await admins[0]!.query(
    "select databases, cardinality(moving) as moving, (select count(*)::int from pg_prepared_xacts) as prepared from ladder.shard_map",
  );
  expect(rows).toEqual([{ databases: ["app_shard_0"], moving: 0, prepared: 0 }]);
}, 600_000);
