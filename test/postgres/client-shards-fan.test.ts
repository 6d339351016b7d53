/** What the router makes of four shards' answers against the same question to one table that has all rows. Cannot prove: sums of floats to the last digit. */
import fc from "fast-check";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Aggregate, connect, type Database, type FanOptions, InputError, type OrderBy } from "../../client/index.ts";
import { platformTemplate } from "../support/migrations.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

const SHARDS = ["app_shard_0", "app_shard_1", "app_shard_2", "app_shard_3"];
/** The last has no rows. */
const BUCKET = "(((hashint8extended(user_id, 8816678312871386365) & 1023) + 227) & 63) % 3";
const ROWS = `select g as id, g % 37 as user_id, (array['B', 'a', 'ä', 'Z', '_', '10', '9', null])[1 + g % 8] as word,
    (array['low', 'high', 'mid', null])[1 + g % 4]::"Level" as level, nullif(g * 7919 % 13, 5)::int as small, (g * 104729 % 1009)::bigint * 9007199254740993 as big,
    round((g * 7919 % 997) / 7.0, g % 4) as exact, (g * 31 % 64) / 8.0::float8 as float, ((g * 17 % 32) / 4.0)::real as real,
    timestamptz '2026-01-01' + g % 50 * interval '1.000001 s' as at, g % 3 = 0 as flag, make_interval(hours => g % 11) as span,
    md5((g % 20)::text)::uuid as uuid
  from generate_series(1, 300) g`;
const SETUP = `create type "Level" as enum ('low', 'mid', 'high'); create table item as ${ROWS}; alter table item owner to app`;

let server: TestServer;
let one: Client;
let db: Database;

beforeAll(async () => {
  server = await startPostgres();
  const template = await platformTemplate(server);
  const [app, ...shards] = await Promise.all(
    ["app", ...SHARDS].map(async (name) => (await server.createDatabase({ template, name })).connect()),
  );
  const map = `select ladder.set_shard_map(1, '{${SHARDS.join(",")}}', '{${Array.from({ length: 64 }, (_, b) => b % 4)}}', $1)`;
  await app!.query(map, [null]);
  for (const [i, shard] of shards.entries()) {
    await shard.query(SETUP);
    await shard.query(`delete from item where ${BUCKET} <> ${i}`);
    await shard.query(map, [SHARDS[i]]);
  }
  one = app!;
  await one.query(SETUP);
  db = connect({ writeUrl: `postgresql://app@127.0.0.1:${server.port}/app`, min: 0, writeSize: 4, readSize: 4, env: {} });
}, 60_000);
afterAll(async () => {
  await db?.close();
  await server?.stop();
});

const COLUMNS = ["word", "level", "small", "big", "exact", "float", "real", "at", "flag", "span", "uuid", "user_id"];
const SUMMED = ["small", "big", "exact", "float", "real", "span"];
const AVERAGED = SUMMED;
const COMPARED = ["word", "level", "small", "big", "exact", "float", "at", "span"];
const direction = fc.constantFrom("asc", "desc", undefined);
const nulls = fc.constantFrom("first", "last", undefined);
const orderOf = (columns: readonly string[]) =>
  fc
    .uniqueArray(fc.record({ column: fc.constantFrom(...columns), direction, nulls }), { selector: ({ column }) => column, maxLength: 3 })
    .map((order) =>
      order.map(({ column, direction, nulls }): OrderBy => ({ column, ...(direction && { direction }), ...(nulls && { nulls }) })),
    );
const limit = fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined });
const least = fc.integer({ min: 0, max: 320 });

const orderText = (order: readonly OrderBy[]) =>
  order.map(({ column, direction = "asc", nulls }) => `"${column}" ${direction}${nulls ? ` nulls ${nulls}` : ""}`).join(", ");
const whole = async (sql: string, values: unknown[]) => (await one.query(sql, values)).rows;

test("rows in any order, up to any limit", async () => {
  await fc.assert(
    fc.asyncProperty(orderOf(COLUMNS), limit, least, async (some, limit, least) => {
      const order: OrderBy[] = [...some, { column: "id" }];
      const sql = "select id, word, level, small, big, exact, float, real, at, flag, span, uuid, user_id from item where id > $1";
      const { rows } = await db.onAllShards(sql, [least], { order, ...(limit && { limit }) });
      expect(rows).toEqual(await whole(`${sql} order by ${orderText(order)}${limit ? ` limit ${limit}` : ""}`, [least]));
    }),
    { numRuns: 60 },
  );
});

const aggregate: fc.Arbitrary<Aggregate> = fc.oneof(
  fc.constant("count" as const),
  fc.tuple(fc.constant("count" as const), fc.constantFrom(...COLUMNS)),
  fc.tuple(fc.constant("sum" as const), fc.constantFrom(...SUMMED)),
  fc.tuple(fc.constant("avg" as const), fc.constantFrom(...AVERAGED)),
  fc.tuple(fc.constantFrom("min" as const, "max" as const), fc.constantFrom(...COMPARED)),
);

test("sums, counts, minima, maxima and averages of any groups, in any order, up to any limit", async () => {
  const groups = fc.uniqueArray(fc.constantFrom("word", "level", "small", "flag", "uuid", "user_id"), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(
      groups,
      fc.array(aggregate, { minLength: 1, maxLength: 4 }),
      direction,
      limit,
      least,
      async (groupBy, list, way, limit, least) => {
        const aggregates = Object.fromEntries(list.map((one, i) => [`a${i}`, one]));
        const order: OrderBy[] = [{ column: "a0", ...(way && { direction: way }) }, ...groupBy.map((column) => ({ column }))];
        const { rows } = await db.onAllShards("select * from item where id > $1", [least], {
          groupBy,
          aggregates,
          order,
          ...(limit && { limit }),
        });
        const selected = list.map((one, i) => `${one === "count" ? "count(*)" : `${one[0]}("${one[1]}")`} as a${i}`);
        const sql = `select ${[...groupBy, ...selected].join(", ")} from item where id > $1${groupBy.length > 0 ? ` group by ${groupBy.join(", ")}` : ""}`;
        expect(rows).toEqual(await whole(`${sql} order by ${orderText(order)}${limit ? ` limit ${limit}` : ""}`, [least]));
      },
    ),
    { numRuns: 100 },
  );
});

test("without order, rows come shard by shard; a limit still holds", async () => {
  const { rows } = await db.onAllShards<{ id: number }>("select id from item");
  expect(rows.map((row) => row.id).sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
  expect((await db.onAllShards("select id from item", [], { limit: 7 })).rows).toHaveLength(7);
  expect((await db.onAllShards("select id from item limit 2")).rows).toHaveLength(6);
});

describe("each shard does its part: it sends no more than", () => {
  const sent = async (options: FanOptions) => {
    const admins = await Promise.all(SHARDS.slice(0, 3).map((database) => server.connect({ database })));
    const counts = () =>
      Promise.all(
        admins.map(
          async (admin) =>
            (
              await admin.query(
                "select sum(rows)::int as rows from ladder.pg_stat_statements where dbid = (select oid from pg_database where datname = current_database()) and query like '%from item -- counted%' and query not like '%pg_typeof%'",
              )
            ).rows[0].rows,
        ),
      );
    await Promise.all(admins.map((admin) => admin.query("select ladder.pg_stat_statements_reset()")));
    await db.onAllShards("select * from item -- counted", [], options);
    const rows = await counts();
    await Promise.all(admins.map((admin) => admin.end()));
    return rows;
  };
  test("its first rows", async () => expect(await sent({ order: [{ column: "at" }], limit: 5 })).toEqual([5, 5, 5]));
  test("its groups", async () =>
    expect(await sent({ groupBy: ["flag"], aggregates: { n: "count" }, order: [{ column: "n" }], limit: 1 })).toEqual([2, 2, 2]));
  test("one row of an aggregate", async () => expect(await sent({ aggregates: { n: ["avg", "exact"] } })).toEqual([1, 1, 1]));
});

test("mistakes are named together, before anything is asked", () => {
  const wrong: FanOptions = {
    limit: 0,
    groupBy: ["word"],
    aggregates: { word: "count", n: ["median" as "avg", "id"] },
    order: [{ column: "id" }],
  };
  const error = (() => {
    try {
      db.onAllShards("select * from item", [], wrong);
    } catch (error) {
      return error;
    }
  })();
  expect(error).toBeInstanceOf(InputError);
  expect((error as InputError).problems.map(({ path }) => path)).toEqual(["limit", "aggregates.word", "aggregates.n", "order[0].column"]);
  expect(() => db.onAllShards("select 1", [], { groupBy: ["word"] })).toThrow("groupBy");
});
