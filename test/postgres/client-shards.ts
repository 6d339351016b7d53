/** One server whose databases are the gateway and four shards, and a mover that keeps to the order of sql/platform/0080_shard_map.sql. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, vi } from "vitest";
import { bucketOf, connect, type Database } from "../../client/index.ts";
import { FOLLOW_MS } from "../../client/shards/map.ts";
import { platformTemplate } from "../support/migrations.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

export const SHARDS = ["app_shard_0", "app_shard_1", "app_shard_2", "app_shard_3"] as const;
export const BUCKET = "((hashint8extended(user_id, 8816678312871386365) & 1023) + 227) & 63";
const TABLE = `create table item (user_id bigint, id uuid, n int not null default 0, note text, primary key (user_id, id));
  create index on item (id); alter table item owner to app`;
/** Bucket b on shard b mod 4. */
export const EVEN = Array.from({ length: 64 }, (_, bucket) => bucket % 4);

interface World {
  server: TestServer;
  /** By database; `postgres` is the server's. */
  admins: Record<string, Client>;
  /** Closed and made again for each test; a test may put another in its place, once it is closed. */
  db: Database;
  /** Of the map that was told last. */
  version: number;
}
export const here = {} as World;

/** With a lease of 0 every transaction has a fence, and buckets may move unannounced. */
export const open = (mapLease = 0) =>
  connect({
    writeUrl: `postgresql://app@127.0.0.1:${here.server.port}/app`,
    writeSize: 4,
    readSize: 4,
    min: 0,
    overflow: 0,
    env: {},
    mapLease,
  });
const accepts = (shards: readonly number[], shard: number) =>
  `alter table item drop constraint if exists item_ladder_bucket; alter table item add constraint item_ladder_bucket
   check (${BUCKET} = any ('{${shards.flatMap((of, bucket) => (of === shard ? [bucket] : [])).join(",")}}')) not valid`;

interface News {
  databases?: readonly string[];
  moving?: readonly number[];
  announced?: string;
}

/** The map on one server, in one transaction with what the shard accepts. */
export async function tell(
  name: string,
  shards: readonly number[],
  { databases = SHARDS, moving = [], announced = "0" }: News = {},
): Promise<void> {
  const shard = (SHARDS as readonly string[]).indexOf(name);
  const own = shard < 0 ? "" : accepts(databases[0] === "app" ? [] : shards, shard);
  const text = (list: readonly unknown[]) => `'{${list.join(",")}}'`;
  const self = shard < 0 ? "null" : `'${name}'`;
  const map = `${here.version}, ${text(databases)}, ${text(shards)}, ${self}, ${text(moving)}, '${announced}'`;
  await here.admins[name]!.query(`begin; select ladder.set_shard_map(${map}); ${own}; commit`);
}

export async function tellAll(shards: readonly number[], news: News = {}): Promise<void> {
  here.version++;
  for (const name of [...SHARDS, "app"]) await tell(name, shards, news);
}
export const ALL = Array.from({ length: 64 }, (_, bucket) => bucket);

/** Moves buckets as the mover does: nobody accepts them between the first step and the second. Rows are copied while nobody writes them. */
export async function move(before: readonly number[], after: readonly number[], announcedMs = 0): Promise<void> {
  const moved = after.flatMap((to, bucket) => (to === before[bucket] ? [] : [{ bucket, from: before[bucket]!, to }]));
  const from = [...new Set(moved.map((one) => one.from))];
  const moving = moved.map(({ bucket }) => bucket);
  await tellAll(before, { moving });
  await sleep(announcedMs + 50);
  const announced = `${announcedMs} ms`;
  here.version++;
  for (const shard of from) await tell(SHARDS[shard]!, after, { moving, announced });
  for (const shard of from) {
    const admin = here.admins[SHARDS[shard]!]!;
    for (const to of new Set(moved.filter((one) => one.from === shard).map((one) => one.to))) {
      const buckets = moved.filter((one) => one.from === shard && one.to === to).map(({ bucket }) => bucket);
      const gone = `delete from item where ${BUCKET} = any ($1) returning user_id, id, n, note`;
      const { rows } = await admin.query(`with gone as (${gone}) select coalesce(json_agg(gone), '[]') as rows from gone`, [buckets]);
      // The new shard's CHECK does not have the bucket yet; as with the mover, the copy is the owner's business.
      const target = here.admins[SHARDS[to]!]!;
      await target.query("alter table item drop constraint if exists item_ladder_bucket");
      await target.query("insert into item select * from json_populate_recordset(null::item, $1)", [JSON.stringify(rows[0].rows)]);
    }
  }
  for (const [i, name] of SHARDS.entries()) if (!from.includes(i)) await tell(name, after, { moving });
  await tell("app", after, { moving });
  await tellAll(after);
}

export const on = async (name: string, sql: string) => (await here.admins[name]!.query(sql)).rows;
export const away = async (name: string, is: boolean) => {
  await here.admins.postgres!.query(`alter database ${name} allow_connections ${!is}`);
  if (!is) return;
  await here.admins.postgres!.query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and usename = 'app'", [
    name,
  ]);
};
/** The next use of the map asks for it again. */
export const later = () => vi.spyOn(performance, "now").mockReturnValueOnce(performance.now() + FOLLOW_MS + 1);
export const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
export const insert = "insert into item (user_id, id) values ($1, $2)";
/** The first keys from 1 on a shard of the even map. */
export const keysOn = (shard: number, count: number) =>
  Array.from({ length: 200 }, (_, i) => i + 1)
    .filter((key) => bucketOf(key, "bigint", 64) % 4 === shard)
    .slice(0, count);

/** Registers the hooks of a file: the server, and for each test an empty table everywhere and no map. */
export function shardWorld(): void {
  beforeAll(async () => {
    here.server = await startPostgres();
    const template = await platformTemplate(here.server);
    here.admins = { postgres: await here.server.connect() };
    for (const name of ["app", ...SHARDS]) here.admins[name] = await (await here.server.createDatabase({ template, name })).connect();
  });
  afterAll(() => here.server?.stop());
  beforeEach(async () => {
    here.version = 0;
    await Promise.all(["app", ...SHARDS].map((name) => on(name, `truncate ladder.shard_map; drop table if exists item; ${TABLE}`)));
    here.db = open();
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await here.db.close();
  });
}
