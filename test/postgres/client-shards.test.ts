/**
 * The router of client/shards against one server whose databases are the gateway and four shards. Cannot prove: what a pooler adds, replicas of
 * shards, and that the real mover keeps to the order that this file's own keeps to (shards before gateway).
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  bucketOf,
  connect,
  type Database,
  InputError,
  ShardAway,
  ShardsFailed,
  ShardTimeout,
  SpansShards,
  type Transaction,
  UnknownOutcome,
} from "../../client/index.ts";
import { FOLLOW_MS } from "../../client/shards/map.ts";
import { platformTemplate } from "../support/migrations.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

const SHARDS = ["app_shard_0", "app_shard_1", "app_shard_2", "app_shard_3"] as const;
const BUCKET = "((hashint8extended(user_id, 8816678312871386365) & 1023) + 227) & 63";
const TABLE = `create table item (user_id bigint, id uuid, n int not null default 0, note text, primary key (user_id, id));
  create index on item (id); alter table item owner to app`;
/** Bucket b on shard b mod 4. */
const EVEN = Array.from({ length: 64 }, (_, bucket) => bucket % 4);

let server: TestServer;
let admins: Record<string, Client>;
let db: Database;
let version: number;

/** With a lease of 0 every transaction has a fence, and buckets may move unannounced. */
const open = (mapLease = 0) =>
  connect({ writeUrl: `postgresql://app@127.0.0.1:${server.port}/app`, writeSize: 4, readSize: 4, min: 0, overflow: 0, env: {}, mapLease });
const accepts = (shards: readonly number[], shard: number) =>
  `alter table item drop constraint if exists item_ladder_bucket; alter table item add constraint item_ladder_bucket
   check (${BUCKET} = any ('{${shards.flatMap((of, bucket) => (of === shard ? [bucket] : [])).join(",")}}')) not valid`;

interface News {
  databases?: readonly string[];
  moving?: readonly number[];
  announced?: string;
}

/** The map on one server, in one transaction with what the shard accepts. */
async function tell(
  name: string,
  shards: readonly number[],
  { databases = SHARDS, moving = [], announced = "0" }: News = {},
): Promise<void> {
  const shard = (SHARDS as readonly string[]).indexOf(name);
  const own = shard < 0 ? "" : accepts(databases[0] === "app" ? [] : shards, shard);
  const text = (list: readonly unknown[]) => `'{${list.join(",")}}'`;
  const here = shard < 0 ? "null" : `'${name}'`;
  const map = `${version}, ${text(databases)}, ${text(shards)}, ${here}, ${text(moving)}, '${announced}'`;
  await admins[name]!.query(`begin; select ladder.set_shard_map(${map}); ${own}; commit`);
}

async function tellAll(shards: readonly number[], news: News = {}): Promise<void> {
  version++;
  for (const name of [...SHARDS, "app"]) await tell(name, shards, news);
}
const ALL = Array.from({ length: 64 }, (_, bucket) => bucket);

/** Moves buckets as the mover does: nobody accepts them between the first step and the second. Rows are copied while nobody writes them. */
async function move(before: readonly number[], after: readonly number[], announcedMs = 0): Promise<void> {
  const moved = after.flatMap((to, bucket) => (to === before[bucket] ? [] : [{ bucket, from: before[bucket]!, to }]));
  const from = [...new Set(moved.map((one) => one.from))];
  await tellAll(before, { moving: moved.map(({ bucket }) => bucket) });
  await sleep(announcedMs + 50);
  const announced = `${announcedMs} ms`;
  version++;
  for (const shard of from) await tell(SHARDS[shard]!, after, { announced });
  for (const shard of from) {
    const admin = admins[SHARDS[shard]!]!;
    for (const to of new Set(moved.filter((one) => one.from === shard).map((one) => one.to))) {
      const buckets = moved.filter((one) => one.from === shard && one.to === to).map(({ bucket }) => bucket);
      const gone = `delete from item where ${BUCKET} = any ($1) returning user_id, id, n, note`;
      const { rows } = await admin.query(`with gone as (${gone}) select coalesce(json_agg(gone), '[]') as rows from gone`, [buckets]);
      // The new shard's CHECK does not have the bucket yet; as with the mover, the copy is the owner's business.
      const target = admins[SHARDS[to]!]!;
      await target.query("alter table item drop constraint if exists item_ladder_bucket");
      await target.query("insert into item select * from json_populate_recordset(null::item, $1)", [JSON.stringify(rows[0].rows)]);
    }
  }
  for (const [i, name] of SHARDS.entries()) if (!from.includes(i)) await tell(name, after);
  await tell("app", after);
}

const on = async (name: string, sql: string) => (await admins[name]!.query(sql)).rows;
const away = async (name: string, is: boolean) => {
  await admins.postgres!.query(`alter database ${name} allow_connections ${!is}`);
  if (!is) return;
  await admins.postgres!.query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and usename = 'app'", [
    name,
  ]);
};
/** The next use of the map asks for it again. */
const later = () => vi.spyOn(performance, "now").mockReturnValueOnce(performance.now() + FOLLOW_MS + 1);
const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
const insert = "insert into item (user_id, id) values ($1, $2)";
/** The first keys from 1 on a shard of the even map. */
const keysOn = (shard: number, count: number) =>
  Array.from({ length: 200 }, (_, i) => i + 1)
    .filter((key) => bucketOf(key, "bigint", 64) % 4 === shard)
    .slice(0, count);

beforeAll(async () => {
  server = await startPostgres();
  const template = await platformTemplate(server);
  admins = { postgres: await server.connect() };
  for (const name of ["app", ...SHARDS]) admins[name] = await (await server.createDatabase({ template, name })).connect();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  version = 0;
  await Promise.all(["app", ...SHARDS].map((name) => on(name, `truncate ladder.shard_map; drop table if exists item; ${TABLE}`)));
  db = open();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await db.close();
});

describe("one server", () => {
  test("is the shard of every key, and all shards", async () => {
    for (let key = 1; key <= 20; key++) await db.shard(key).write(insert, [key, id(key)]);
    expect(await db.shard(7).name()).toBe("app");
    expect(await db.shard([7, 8, 9]).read("select user_id from item where user_id between 7 and 9 order by 1")).toEqual([
      { user_id: "7" },
      { user_id: "8" },
      { user_id: "9" },
    ]);
    const most = { order: [{ column: "user_id", direction: "desc" }], limit: 2 } as const;
    expect(await db.onAllShards("select user_id from item", [], most)).toEqual({
      rows: [{ user_id: "20" }, { user_id: "19" }],
      failed: [],
    });
    expect(await db.findOne("select user_id from item where id = $1", [id(5)])).toEqual({ user_id: "5" });
    expect(await db.shardMap()).toEqual({ version: 0, shards: ["app"], buckets: Array(64).fill(0), moving: [] });
    expect(db.figures().shards).toEqual({});
  });

  test("that has no table of maps, or gives no right to it, is one too", async () => {
    const foreign = connect({ writeUrl: `postgresql://app@127.0.0.1:${server.port}/postgres`, min: 0, env: {} });
    expect(await foreign.shard(1).read("select 1 as one")).toEqual([{ one: 1 }]);
    await foreign.close();
  });

  test("is relied on for at most 15 s", () => {
    expect(() => open(15_001)).toThrow("mapLease: got 15001, want 0 to 15000 ms");
  });

  test("finds wrong keys before there are shards", async () => {
    expect(() => db.shard("42")).toThrow(InputError);
    expect(() => db.shard([])).toThrow(InputError);
    await expect(db.shard(2 ** 60).read("select 1")).rejects.toThrow(RangeError);
    await expect(db.shard("no uuid", { type: "uuid" }).read("select 1")).rejects.toThrow(RangeError);
    expect(await db.shard("42", { type: "bigint" }).name()).toBe("app");
  });
});

describe("four shards", () => {
  beforeEach(() => tellAll(EVEN));

  test("each key's rows are on the shard of its bucket, and nowhere else", async () => {
    const keys = Array.from({ length: 100 }, (_, i) => i + 1);
    await Promise.all(keys.map((key) => db.shard(key).write(insert, [key, id(key)])));
    for (const [shard, name] of SHARDS.entries()) {
      const rows = await on(name, "select user_id::int from item order by 1");
      expect(rows.map(({ user_id }) => user_id)).toEqual(keys.filter((key) => bucketOf(key, "bigint", 64) % 4 === shard));
      expect(rows.length).toBeGreaterThan(10);
    }
    expect(await on("app", "select * from item")).toEqual([]);
    for (const key of keys) expect(await db.shard(key).count("item", "user_id = $1", [key])).toBe(1);
  });

  test("a shard does what a database does", async () => {
    const [key] = keysOn(2, 1);
    const shard = db.shard(key!);
    const rows = Array.from({ length: 1500 }, (_, i) => ({ user_id: key, id: id(i), n: i }));
    expect(await shard.bulkInsert("item", rows)).toEqual({ count: 1500, way: "copy" });
    expect(
      await db.shard(key!).bulkInsert(
        "item",
        (function* () {
          yield* rows.slice(0, 3);
        })(),
        { conflict: { columns: ["user_id", "id"] } },
      ),
    ).toEqual({ count: 3, way: "insert" });
    const first = await shard.page<{ n: number }>({ table: "item", orderBy: [{ column: "n" }], limit: 1000 });
    const second = await shard.page<{ n: number }>({ table: "item", orderBy: [{ column: "n" }], limit: 1000, after: first.next! });
    expect([...first.rows, ...second.rows].map(({ n }) => n)).toEqual(rows.map(({ n }) => n));
    const loader = shard.loader<{ n: number }>("item", "id");
    expect((await Promise.all([loader.load(id(3)), loader.load(id(4))])).flat().map(({ n }) => n)).toEqual([3, 4]);
    const top = await shard.topPerGroup<{ n: number }, number>({
      table: "item",
      group: "user_id",
      keys: [key!],
      orderBy: [{ column: "n", direction: "desc" }],
      limit: 1,
    });
    expect(top.get(key!)).toMatchObject([{ n: 1499 }]);
    expect(await shard.bulkDelete("item", "n >= $1", [10], { batch: 1000 })).toBe(1490);
    expect(await shard.count("item")).toBe(10);
    expect(await shard.estimate("item")).toBeGreaterThanOrEqual(0);
    expect(await on(SHARDS[2], "select count(*)::int as count from item")).toEqual([{ count: 10 }]);
  });

  test("sessions carry one place in the log for each shard, and pass it on", async () => {
    const session = db.session();
    expect(session.token).toBeUndefined();
    const [one, other] = [keysOn(0, 1)[0]!, keysOn(3, 1)[0]!];
    await session.shard(one).write(insert, [one, id(1)]);
    expect(session.token).toMatch(/^app_shard_0=[0-9A-F]+\/[0-9A-F]+$/);
    await session.shard(other).write(insert, [other, id(1)]);
    await session.write("select 1");
    expect(session.token).toMatch(/^[0-9A-F]+\/[0-9A-F]+,app_shard_0=[0-9A-F]+\/[0-9A-F]+,app_shard_3=[0-9A-F]+\/[0-9A-F]+$/);
    const next = db.session({ token: session.token });
    expect(next.token).toBe(session.token);
    expect(await next.shard(one).read("select n from item where user_id = $1", [one])).toEqual([{ n: 0 }]);
    expect(() => db.session({ token: "app_shard_0=x" })).toThrow(InputError);
  });

  test("the tenant is set there", async () => {
    const session = db.session({ tenant: 7 });
    expect(await session.shard(1).read("select ladder.tenant() as tenant")).toEqual([{ tenant: "7" }]);
    expect((await session.shard(1).write("select ladder.tenant() as tenant")).rows).toEqual([{ tenant: "7" }]);
    expect((await session.onAllShards("select ladder.tenant() as tenant")).rows).toEqual(Array(4).fill({ tenant: "7" }));
  });

  test("pools share the configured sizes", async () => {
    await db.onAllShards("select 1");
    const { shards } = db.figures();
    expect(Object.keys(shards)).toEqual([...SHARDS]);
    expect(SHARDS.map((name) => [shards[name]!.read.size, shards[name]!.read.checkouts])).toEqual(Array(4).fill([1, 1]));
  });
});

describe("transactions do not span shards", () => {
  const [one, same] = keysOn(1, 2) as [number, number];
  const [other] = keysOn(2, 1) as [number];
  beforeEach(() => tellAll(EVEN));

  test("keys of one shard are one transaction; keys of several are refused before anything is sent", async () => {
    await db.shard([one, same]).transaction(async (tx) => {
      await tx.query(insert, [one, id(1)]);
      await tx.query(insert, [same, id(2)]);
    });
    expect(await on(SHARDS[1], "select count(*)::int as count from item")).toEqual([{ count: 2 }]);
    const refused = db.shard([one, other]).transaction(() => expect.unreachable());
    await expect(refused).rejects.toThrow(
      `keys: got ${one} on app_shard_1, ${other} on app_shard_2, want keys of one shard: a transaction does not span shards`,
    );
    await expect(db.shard([one, other]).name()).rejects.toThrow(SpansShards);
  });

  test("a row of another shard is refused by the shard, and nothing of the transaction is written", async () => {
    const refused = db.shard(one).transaction(async (tx) => {
      await tx.query(insert, [one, id(1)]);
      await tx.query(insert, [other, id(2)]);
    });
    const error = await refused.catch((error) => error);
    expect(error).toBeInstanceOf(SpansShards);
    expect(error.message).toBe(`shard app_shard_1 of key ${one}: got a row of another shard, want rows with this key`);
    expect(error.cause).toMatchObject({ code: "23514" });
    await expect(db.shard(one).bulkInsert("item", [{ user_id: other, id: id(3) }])).rejects.toThrow(SpansShards);
    expect((await db.onAllShards("select * from item")).rows).toEqual([]);
  });

  test("a write on another shard inside of a transaction is refused; on the same shard, and reads anywhere, are not", async () => {
    const refused = db.shard(one).transaction(async (tx) => {
      await tx.query(insert, [one, id(1)]);
      expect(await db.shard(other).read("select 1 as one")).toEqual([{ one: 1 }]);
      await db.shard(other).write(insert, [other, id(2)]);
    });
    await expect(refused).rejects.toThrow("transaction on app_shard_1: got a write on app_shard_2, want writes on one shard");
    expect((await db.onAllShards("select * from item")).rows).toEqual([]);
    await db.shard(other).write(insert, [other, id(2)]);
  });

  test("another CHECK's failure stays what it is", async () => {
    await on(SHARDS[1], "alter table item add constraint small check (n < 10)");
    await expect(db.shard(one).write("insert into item values ($1, $2, 10)", [one, id(1)])).rejects.toMatchObject({ constraint: "small" });
  });
});

describe("a shard that is away", () => {
  const home = (shard: number) => keysOn(shard, 1)[0]!;
  beforeEach(async () => {
    await tellAll(EVEN);
    for (const shard of [0, 1, 2, 3]) await db.shard(home(shard)).write(insert, [home(shard), id(shard)]);
    await away(SHARDS[2], true);
  });
  afterEach(() => away(SHARDS[2], false));

  test("is named; the others go on; it is used again when it is back", async () => {
    const error = await db
      .shard(home(2))
      .write(insert, [home(2), id(9)])
      .catch((error) => error);
    expect(error).toBeInstanceOf(ShardAway);
    expect(error).toMatchObject({ shard: "app_shard_2", cause: { code: "55000" } });
    expect(error.message).toMatch(/^shard app_shard_2: cannot be reached: .*not currently accepting connections/);
    await expect(db.shard(home(2)).read("select 1")).rejects.toThrow(ShardAway);
    for (const shard of [0, 1, 3]) expect((await db.shard(home(shard)).write("update item set n = 1")).count).toBe(1);
    await away(SHARDS[2], false);
    expect((await db.shard(home(2)).write("update item set n = 1")).count).toBe(1);
  });

  test("is named by what asks all, or left out where that was asked for", async () => {
    const error = await db.onAllShards("select * from item").catch((error) => error);
    expect(error).toBeInstanceOf(ShardsFailed);
    expect(error.message).toMatch(/^1 of 4 shards gave no answer\n {2}app_shard_2: cannot be reached: .*$/);
    expect(error.failed).toMatchObject([{ shard: "app_shard_2" }]);
    const counted = await db.onAllShards("select * from item", [], { aggregates: { rows: "count" }, partial: true });
    expect(counted).toMatchObject({ rows: [{ rows: "3" }], failed: [{ shard: "app_shard_2" }] });
    expect(await db.findOne("select n from item where id = $1", [id(3)])).toEqual({ n: 0 });
    await expect(db.findOne("select n from item where id = $1", [id(2)])).rejects.toThrow(ShardsFailed);
  });

  test("a statement's own error is thrown as it is", async () => {
    await away(SHARDS[2], false);
    const error = await db.onAllShards("select 1 / (user_id - $1) from item", [home(1)]).catch((error) => error);
    expect(error).toMatchObject({ code: "22012" });
  });

  test("one that takes too long is stopped", async () => {
    await away(SHARDS[2], false);
    const sql = "select current_database()::text as name, pg_sleep(case current_database() when 'app_shard_1' then 20 else 0 end)::text";
    const { rows, failed } = await db.onAllShards<{ name: string }>(sql, [], { timeout: 1000, partial: true });
    expect(rows.map(({ name }) => name)).toEqual(["app_shard_0", "app_shard_2", "app_shard_3"]);
    expect(failed).toEqual([{ shard: "app_shard_1", error: expect.any(ShardTimeout) }]);
    await expect(db.findOne(`${sql} from item where id = $1`, [id(1)], { timeout: 500 })).rejects.toThrow(
      "app_shard_1: no answer within 500 ms",
    );
    await vi.waitFor(async () => {
      const sleeping =
        "select count(*)::int as count from pg_stat_activity where query like '%pg_sleep(case%' and state = 'active' and usename = 'app'";
      expect(await on("postgres", sleeping)).toEqual([{ count: 0 }]);
    }, 5000);
  });
});

test("findOne asks all and knows when nobody has the row", async () => {
  await tellAll(EVEN);
  for (const key of [1, 2, 3, 4, 5, 6, 7, 8]) await db.shard(key).write(insert, [key, id(key)]);
  for (const key of [1, 2, 3, 4, 5, 6, 7, 8])
    expect(await db.findOne("select user_id::int from item where id = $1", [id(key)])).toEqual({ user_id: key });
  expect(await db.findOne("select user_id from item where id = $1", [id(99)])).toBeUndefined();
});

describe("a lease of the map", () => {
  const key = keysOn(1, 1)[0]!;
  const fences = async () => {
    const sql =
      "select coalesce(sum(calls), 0)::int as calls from ladder.pg_stat_statements where query like '%require_%' and userid = 'app'::regrole";
    return (await on("app", sql))[0].calls;
  };
  const work = async () => {
    await db.shard(key).write("update item set n = n + 1 where user_id = $1", [key]);
    await db.shard(key).read("select n from item where user_id = $1", [key]);
    await db.shard(key).transaction((tx) => tx.query("select 1"));
    await db.findOne("select n from item where user_id = $1", [key]);
  };
  beforeEach(async () => {
    await db.close();
    await tellAll(EVEN);
  });

  test("spares every fence, but for buckets that are announced as moving", async () => {
    db = open(15_000);
    await on("app", "select ladder.pg_stat_statements_reset()");
    await work();
    expect(await fences()).toBe(0);
    await tellAll(EVEN, { moving: [bucketOf(key, "bigint", 64)] });
    later();
    await db.shardMap();
    await vi.waitFor(async () => expect((await db.shardMap()).version).toBe(2));
    await on("app", "select ladder.pg_stat_statements_reset()");
    await work();
    expect(await fences()).toBe(3 + SHARDS.length);
  });

  test("that ends while something runs is made up for", async () => {
    const afresh = async () => {
      await db.close();
      db = open(1000);
      await db.shardMap();
      return db.shard(key);
    };
    db = open();
    expect((await (await afresh()).write("insert into item select $1, $2, 1 from pg_sleep(1.3)", [key, id(1)])).count).toBe(1);
    expect(await (await afresh()).read("select n from item, pg_sleep(1.3)")).toEqual([{ n: 1 }]);
    for (const [isolation, calls] of [
      ["read committed", 1],
      ["repeatable read", 2],
    ] as const) {
      let called = 0;
      const work = async (tx: Transaction) => {
        called++;
        await tx.query("update item set n = n + 1 from (select pg_sleep(1.3)) as s");
      };
      await (await afresh()).transaction(work, { isolation });
      expect([isolation, called]).toEqual([isolation, calls]);
    }
    expect(await db.shard(key).read("select n from item")).toEqual([{ n: 3 }]);
  });

  test("that ends while a bucket moves unannounced leaves a write's outcome unknown, and a transaction is done again", async () => {
    db = open(300);
    await db.shardMap();
    const moved = EVEN.map((shard) => (shard === 1 ? 0 : shard));
    const unknown = db.shard(key).write("select pg_sleep(1.5)");
    let called = 0;
    const again = db.shard(key).transaction(async (tx) => {
      called++;
      return (await tx.query("select current_database()::text as name from pg_sleep($1)", [called === 1 ? 1.5 : 0])).rows[0];
    });
    const [outcome, name] = await Promise.all([unknown.catch((error) => error), again, move(EVEN, moved)]);
    expect(outcome).toBeInstanceOf(UnknownOutcome);
    expect(name).toEqual({ name: "app_shard_0" });
    expect(called).toBe(2);
  });
});

describe("the map changes", () => {
  const halves = EVEN.map((shard) => shard % 2);

  test("from one server to shards and back, without a restart", async () => {
    await db.shard(1).write(insert, [1, id(1)]);
    await tellAll(EVEN);
    expect(await db.shard(1).name()).toBe("app");
    later();
    expect(await db.shard(1).name()).toBe("app");
    const home = SHARDS[bucketOf(1, "bigint", 64) % 4]!;
    await vi.waitFor(async () => expect(await db.shard(1).name()).toBe(home));
    await db.shard(1).write(insert, [1, id(2)]);
    expect(await on(home, "select id from item")).toEqual([{ id: id(2) }]);
    await tellAll(EVEN, { moving: ALL });
    await tellAll(Array(64).fill(0), { databases: ["app"] });
    await db.shard(1).write(insert, [1, id(3)]);
    expect(await on("app", "select id from item order by id")).toEqual([{ id: id(1) }, { id: id(3) }]);
    expect(db.figures().shards).toEqual({});
  });

  test("statements of every kind meet the old shard and are done on the new one", async () => {
    await tellAll(EVEN);
    const key = keysOn(3, 1)[0]!;
    const shard = db.shard(key);
    await shard.write(insert, [key, id(1)]);
    const kinds: (() => Promise<unknown>)[] = [
      () => shard.write("update item set n = n + 1 where user_id = $1", [key]),
      () => shard.read("select n from item where user_id = $1", [key]),
      () => shard.transaction((tx) => tx.query("update item set n = n + 1 where user_id = $1", [key]), { isolation: "repeatable read" }),
      () =>
        shard.bulkInsert(
          "item",
          (function* () {
            yield { user_id: key, id: id(2) };
          })(),
        ),
      () => db.onAllShards("select user_id, n from item", [], { aggregates: { rows: "count", total: ["sum", "n"] } }),
      () => db.findOne("select n from item where id = $1", [id(2)]),
      () => shard.bulkDelete("item", "n = 0"),
    ];
    let now = EVEN;
    const answers: unknown[] = [];
    for (const kind of kinds) {
      const next = now === EVEN ? halves : EVEN;
      await move(now, next);
      now = next;
      answers.push(await kind());
    }
    expect(answers).toEqual([
      { rows: [], count: 1 },
      [{ n: 1 }],
      { rows: [], count: 1 },
      { count: 1, way: "insert" },
      { rows: [{ rows: "2", total: "2" }], failed: [] },
      { n: 0 },
      1,
    ]);
    expect((await db.onAllShards("select id, n from item")).rows).toEqual([{ id: id(1), n: 2 }]);
  });

  test("a map that is set again changes nothing; an older one is refused", async () => {
    await tellAll(EVEN);
    await tell("app", EVEN);
    await expect(tell("app", halves)).rejects.toThrow("shard map: got version 1 after version 1, want one that is higher");
    await on("app", "rollback");
    expect((await db.shardMap()).buckets).toEqual(EVEN);
  });

  test("buckets leave a shard only when they were announced long enough before", async () => {
    await tellAll(EVEN);
    version++;
    const hasty = halves.flatMap((to, bucket) => (to !== 3 && EVEN[bucket] === 3 ? [bucket] : []));
    const refusal = (announced: string) =>
      `shard map: got buckets {${hasty.join(",")}} leaving app_shard_3, want them announced as moving for ${announced}`;
    await expect(tell(SHARDS[3], halves)).rejects.toThrow(refusal("00:00:00"));
    await on(SHARDS[3], "rollback");
    await tell(SHARDS[3], EVEN, { moving: ALL });
    version++;
    await expect(tell(SHARDS[3], halves, { announced: "20 s" })).rejects.toThrow(refusal("00:00:20"));
    await on(SHARDS[3], "rollback");
    await tell(SHARDS[3], halves);
  });

  test.each([
    ["every transaction has a fence", 0, 0],
    ["fences are for what moves", 400, 600],
  ])("while ten writers write, %s: nothing failed, lost, doubled or left behind", async (_, lease, announced) => {
    await tellAll(EVEN);
    await db.close();
    db = open(lease);
    const other = open(lease);
    const keys = Array.from({ length: 40 }, (_, i) => i + 1);
    for (const key of keys) await db.shard(key).write(insert, [key, id(0)]);
    const counted = new Map(keys.map((key) => [key, 0]));
    const kept = new Set<string>();
    let stop = false;
    let made = 0;
    let done = 0;
    const writer = async (n: number) => {
      const mine = n % 2 ? db : other;
      for (let round = n; !stop; round++) {
        const key = keys[(round * 7) % keys.length]!;
        const shard = mine.shard(key);
        const fresh = id(++made);
        switch (round % 4) {
          case 0:
            expect((await shard.write("update item set n = n + 1 where user_id = $1 and id = $2", [key, id(0)])).count).toBe(1);
            counted.set(key, counted.get(key)! + 1);
            break;
          case 1:
            await shard.write(insert, [key, fresh]);
            kept.add(`${key} ${fresh}`);
            break;
          case 2:
            await shard.transaction(
              async (tx) => {
                const { rows } = await tx.query("select n from item where user_id = $1 and id = $2 for update", [key, id(0)]);
                await tx.query("update item set n = $3 where user_id = $1 and id = $2", [key, id(0), rows[0]!.n + 1]);
                await tx.query(insert, [key, fresh]);
              },
              { isolation: round % 8 === 2 ? "repeatable read" : "read committed", retries: 50 },
            );
            counted.set(key, counted.get(key)! + 1);
            kept.add(`${key} ${fresh}`);
            break;
          default: {
            const two = [fresh, id(++made)];
            await shard.bulkInsert(
              "item",
              two.map((id) => ({ user_id: key, id })),
            );
            expect((await shard.write("delete from item where user_id = $1 and id = $2", [key, two[1]])).count).toBe(1);
            kept.add(`${key} ${fresh}`);
            expect(await shard.read("select n from item where user_id = $1 and id = $2", [key, fresh])).toHaveLength(1);
          }
        }
        done++;
      }
    };
    const writers = Promise.all(Array.from({ length: 10 }, (_, n) => writer(n)));
    writers.catch(() => undefined);
    const maps = [EVEN, halves, EVEN.map((shard) => 3 - shard), Array(64).fill(2), EVEN];
    for (const [i, next] of maps.slice(1).entries()) {
      const before = done;
      await Promise.race([vi.waitFor(() => expect(done).toBeGreaterThan(before + 100), 20_000), writers]);
      await move(maps[i]!, next, announced);
    }
    await sleep(100);
    stop = true;
    await writers;

    const { rows } = await db.onAllShards<{ user_id: string; id: string; n: number }>("select user_id, id, n from item");
    expect(
      rows
        .filter((row) => row.id !== id(0))
        .map((row) => `${row.user_id} ${row.id}`)
        .sort(),
    ).toEqual([...kept].sort());
    const counters = rows.filter((row) => row.id === id(0)).map((row) => [Number(row.user_id), row.n] as const);
    expect(counters.sort(([a], [b]) => a - b)).toEqual([...counted]);
    for (const [shard, name] of SHARDS.entries())
      expect(await on(name, `select * from item where (${BUCKET}) % 4 <> ${shard}`)).toEqual([]);
    await other.close();
  });
});
