/**
 * The rehearsal's load at stage 4, half of it through the client library's router and half through the gateway, and what its verdict finds on the
 * shards. Real gateway, shards and pooler; no move: test/mirror/stage4 has that.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Sharded, startSharded } from "../../bench/fleet.ts";
import { bucketOf } from "../../client/index.ts";
import { renderVerdict } from "../../rehearsal/render.ts";
import { checksum, readShards, total, wholeVerdict } from "../../rehearsal/shards.ts";
import { tableSql } from "../../rehearsal/table.ts";
import { startLoad } from "../../rehearsal/workload.ts";
import { acknowledged } from "./rehearsal-server.ts";

const TABLE = "load_writes";
const table = {
  schema: "public",
  table: TABLE,
  key: "user_id",
  keyType: "bigint",
  sql: tableSql(TABLE),
  sequence: `${TABLE}_id_seq`,
} as const;

let world: Sharded;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "rehearsal-"));
  world = await startSharded(2, [table]);
});
afterAll(async () => {
  await world?.stop();
  rmSync(folder, { recursive: true });
});

const on = async (shard: number, sql: string): Promise<void> => {
  const admin = await world.shards[shard]!.db.connect();
  await admin.query(sql);
  await admin.end();
};

test("router and gateway together: every row on its own shard, ids of both unique, checksums equal; and what is wrong on one shard is named", async () => {
  const [writeUrl, readUrl] = [world.url("app"), world.url("app_read")];
  const load = await startLoad({ writeUrl, readUrl, ledger: join(folder, "run.db"), clients: 10, rate: 100, routed: 0.5, table: TABLE });
  try {
    await acknowledged(load, 300);
  } finally {
    await load.stop();
  }
  const result = await wholeVerdict(load.ledger, writeUrl);
  expect(result.reasons).toEqual([]);
  const { writes, reads, plan, shards } = result;
  expect(plan).toMatchObject({ clients: 10, routed: 5, readers: 10 });
  expect(writes.outcomes).toMatchObject({ acknowledged: writes.attempted, failed: 0, refused: 0, unknown: 0 });
  expect(writes.ways.map(({ way, clients }) => [way, clients])).toEqual([
    ["router", 5],
    ["URL", 5],
  ]);
  expect(writes.ways.reduce((sum, way) => sum + way.acknowledged, 0)).toBe(writes.outcomes.acknowledged);
  expect(Math.min(...writes.ways.map((way) => way.acknowledged))).toBeGreaterThan(100);
  expect(reads).toMatchObject({ errors: 0, unseen: 0, stale: 0, writesAccepted: 0 });
  expect(shards!.shards.map(({ name }) => name)).toEqual(["app_shard_0", "app_shard_1"]);
  expect(Math.min(...shards!.shards.map(({ rows }) => rows))).toBeGreaterThan(20);
  expect(total(shards!.shards)).toEqual(shards!.gateway);
  expect(shards!.gateway.rows).toBe(result.compared.rows);
  expect(renderVerdict(result)).toMatch(/checksums +equal/);

  // Sessions of readers that were open before the climb still find the tables that are written through.
  expect((await checksum(readUrl, `public.${TABLE}`)).rows).toBe(shards!.gateway.rows);

  // Damage that the gateway does not show: it looks for a key on the key's own shard only, for all rows on all.
  const { buckets } = (await readShards(writeUrl))!;
  const foreign = Array.from({ length: 99 }, (_, user) => user).find((user) => buckets[bucketOf(user, "bigint", 64)] === 1)!;
  await on(0, `alter table ${TABLE} drop constraint ${TABLE}_ladder_bucket`);
  await on(0, `update ${TABLE} set user_id = ${foreign} where key = (select key from ${TABLE} order by key limit 1)`);
  const damaged = await wholeVerdict(load.ledger, writeUrl);
  load.ledger.close();
  expect(damaged.reasons).toEqual(["rows on a wrong shard: got 1, want 0"]);
  expect(damaged.shards!.misplaced.examples).toEqual([expect.stringMatching(`: on app_shard_0, its user ${foreign} is on app_shard_1$`)]);
  const before = await checksum(writeUrl, TABLE);
  await on(1, `delete from ${TABLE} where key = (select key from ${TABLE} order by key limit 1)`);
  expect((await checksum(writeUrl, TABLE)).rows).toBe(before.rows - 1);
});
