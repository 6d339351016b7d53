/**
 * Stage 4 on running servers: 1 → 4 in one go, 4 → 3 and 3 → 4 again, each under 20 clients of which half go through the client library's router.
 * Cannot prove: volumes and speed (`npm run rehearse`), every place where a mover can die (postgres/shards-*), what RDS does.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bucketOf, connect } from "../../client/index.ts";
import { type Checksum, checksum, readShards, total } from "../../rehearsal/shards.ts";
import { tableSql } from "../../rehearsal/table.ts";
import type { Verdict } from "../../rehearsal/verdict.ts";
import { underLoad } from "../support/load.ts";
import { TestStack } from "../support/stack.ts";

const LOADS = ["up_writes", "back_writes", "again_writes", "restart_writes"] as const;
const TABLES = {
  tenants: { global: true },
  bots: { global: true },
  users: { shardBy: "id" },
  messages: { partition: { by: "inserted_at" }, shardBy: "user_id", autovacuum: "hot" },
  ...Object.fromEntries(LOADS.map((table) => [table, { shardBy: "user_id" }])),
};
/** Of the runs at stage 4 only: no other stage may say anything about shards. */
const SMALL = { shards: JSON.stringify({ count: 2, replicas: 0, memory: "1GB" }), cache: JSON.stringify({ memory: "64MB" }) };
const SQL = ["0001_tenants.sql", "0002_users.sql", "0006_messages.sql", "0008_bots.sql"];
const example = Object.fromEntries(SQL.map((name) => [name, readFileSync(join("sql/app", name), "utf8")]));

let stack: TestStack;
let writeUrl: string;
let readUrl: string;
/** What the application's tables held before the first climb. */
let held: Record<string, Checksum>;

beforeAll(async () => {
  stack = await TestStack.open({
    name: "stage4",
    port: 6641,
    schema: { ...example, "9001_loads.sql": LOADS.map(tableSql).join("") },
    config: {
      stage: "1",
      tables: JSON.stringify(TABLES),
    },
  });
});
afterAll(async () => stack?.destroy());

const load = (table: string, work: (mark: (text: string) => void) => Promise<void>) =>
  underLoad({ writeUrl, readUrl, folder: stack.folder, table, routed: 0.5 }, work);

const contents = async (): Promise<Record<string, Checksum>> => {
  const tables = ["tenants", "bots", "users", "messages"];
  return Object.fromEntries(await Promise.all(tables.map(async (table) => [table, await checksum(writeUrl, table)] as const)));
};

function expectNothingLost({ passed, reasons, writes, reads, damage }: Verdict): void {
  expect(reasons).toEqual([]);
  expect(passed).toBe(true);
  expect(writes.outcomes).toMatchObject({ failed: 0, refused: 0, unknown: 0, pending: 0 });
  expect(Math.min(...writes.ways.map(({ acknowledged }) => acknowledged))).toBeGreaterThan(0);
  expect([damage.lost.count, damage.doubled.count, damage.duplicateId.count]).toEqual([0, 0, 0]);
  expect([reads.errors, reads.unseen, reads.writesAccepted]).toEqual([0, 0, 0]);
}

/** Both shards have rows of the load, all of them together are the gateway's; the application's tables hold what they held. */
async function expectSharded({ shards }: Verdict): Promise<void> {
  expect(shards!.shards.map(({ name }) => name)).toEqual(["app_shard_0", "app_shard_1"]);
  expect(Math.min(...shards!.shards.map(({ rows }) => rows))).toBeGreaterThan(0);
  expect(total(shards!.shards)).toEqual(shards!.gateway);
  expect(await contents()).toEqual(held);
  const { shards: all } = (await readShards(writeUrl))!;
  const of = (table: string) => Promise.all(all.map(({ url }) => checksum(url, table)));
  expect(total(await of("messages"))).toEqual(held.messages);
  for (const table of ["tenants", "bots"]) expect([table, await of(table)]).toEqual([table, [held[table], held[table]]]);
}

test("stage 1 comes up; the application gets rows", async () => {
  await stack.climb();
  [writeUrl, readUrl] = [await stack.url("write"), await stack.url("read")];
  for (const sql of [
    "insert into tenants (name) select 'tenant ' || n from generate_series(1, 20) n",
    "insert into bots (tenant_id, name) select n, 'bot' from generate_series(1, 20) n",
    "insert into users (username, email) select 'user' || n, 'user' || n || '@example.org' from generate_series(1, 500) n",
    `insert into messages (user_id, conversation_id, inserted_at, content)
       select n % 500, n % 90, now() - n * interval '8 minutes', 'message ' || n from generate_series(1, 20000) n`,
  ])
    await stack.query(writeUrl, sql);
  held = await contents();
  expect(held.messages!.rows).toBe(20_000);
  expect(await readShards(writeUrl)).toBeUndefined();
});

test("1 → 4 in one go under load: nothing fails, nothing is lost, the URLs stay, each row is on its own shard, global tables on all", async () => {
  const result = await load(LOADS[0], async (mark) => {
    mark("up to stage 4");
    await stack.climb({ stage: "4" }, SMALL);
    mark("stage 4");
  });
  expectNothingLost(result);
  await expectSharded(result);
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
  expect(await stack.status()).toMatchObject({ stage: 4, phase: "settled" });
});

test("the gateway and the router give the same rows, and ids that differ; a second up changes nothing", async () => {
  const db = connect({ writeUrl, readUrl, min: 0, env: {} });
  try {
    const sql = "insert into messages (user_id, conversation_id, content) values ($1, -1, 'new') returning id";
    const users = Array.from({ length: 20 }, (_, user) => user);
    const ids = new Set<string>();
    for (const user of users) {
      const [straight] = (await db.shard(user).write<{ id: string }>(sql, [user])).rows;
      const [through] = await stack.query<{ id: string }>(writeUrl, sql, [user]);
      ids.add(straight!.id).add(through!.id);
      const mine = "select id from messages where user_id = $1 and conversation_id = -1 order by id";
      const seen = (await db.shard(user).write<{ id: string }>(mine, [user])).rows;
      expect(seen).toHaveLength(2);
      expect(await stack.query(writeUrl, mine, [user])).toEqual(seen);
    }
    expect(ids.size).toBe(40);
    const { buckets } = await db.shardMap();
    expect(new Set(users.map((user) => buckets[bucketOf(user, "bigint", 64)])).size).toBe(2);
    const { rows } = await db.onAllShards<{ n: string }>("select from messages where conversation_id = -1", [], {
      aggregates: { n: "count" },
    });
    expect(Number(rows[0]!.n)).toBe(40);
    await stack.query(writeUrl, "delete from messages where conversation_id = -1");
  } finally {
    await db.close();
  }
  expect(await stack.climb({}, SMALL)).toEqual([]);
});

test("a parameter for which the gateway and every shard restart: nothing fails, not through the gateway either, which reaches shards past the pooler", async () => {
  const started = () =>
    Promise.all(
      ["main-1", "shard-0-1", "shard-1-1"].map((node) => stack.exec(node, ["head", "-3", "/var/lib/postgresql/data/postmaster.pid"])),
    );
  const before = await started();
  const result = await load(LOADS[3], async (mark) => {
    mark("a parameter");
    await stack.climb({ settings: JSON.stringify({ track_activity_query_size: "8192" }) }, SMALL);
    mark("restarted");
  });
  expectNothingLost(result);
  const after = await started();
  expect(after.filter((time, i) => time === before[i])).toEqual([]);
});

test("4 → 3 under load: every row is on the one server again, and no write through the router or the URL fails", async () => {
  const result = await load(LOADS[1], async (mark) => {
    mark("back to stage 3");
    await stack.climb({ stage: "3" });
    mark("stage 3");
  });
  expectNothingLost(result);
  expect(result.shards).toBeUndefined();
  expect(await readShards(writeUrl)).toBeUndefined();
  expect(await contents()).toEqual(held);
  expect([await stack.url("write"), await stack.url("read")]).toEqual([writeUrl, readUrl]);
});

test("3 → 4 again under load: nothing fails, and no id is given again that either climb before gave", async () => {
  const result = await load(LOADS[2], async (mark) => {
    mark("up to stage 4 again");
    await stack.climb({ stage: "4" }, SMALL);
    mark("stage 4");
  });
  expectNothingLost(result);
  await expectSharded(result);
  const db = connect({ writeUrl, readUrl, min: 0, env: {} });
  const sql = `insert into ${LOADS[0]} (user_id, key, client) values ($1, gen_random_uuid(), -1)`;
  for (let user = 0; user < 20; user++) {
    await db.shard(user).write(sql, [user]);
    await stack.query(writeUrl, sql, [user]);
  }
  await db.close();
  const counts = `select count(*)::int as rows, count(distinct id)::int as ids, count(*) filter (where client = -1)::int as new from ${LOADS[0]}`;
  const [{ rows, ids, ...rest } = { rows: 0, ids: 1 }] = await stack.query<{ rows: number; ids: number; new: number }>(writeUrl, counts);
  expect(rest).toEqual({ new: 40 });
  expect(ids).toBe(rows);
});
