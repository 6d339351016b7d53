/** D1 and bulk delete: COPY and multi-row inserts bring in the same rows, of every type; upserts; deletes in batches. */
import fc from "fast-check";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type BulkRow, connect, type Database } from "../../client/index.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let admin: Client;
let db: Database;

const items = (from: number, to: number, more: BulkRow = {}) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ id: from + i, ...more }));
const rows = async (sql: string) => (await admin.query(sql)).rows;
/** Statements that the server ran since the last call, by their first word. */
const ran = async (): Promise<Record<string, number>> => {
  const found = await rows(
    `select split_part(lower(query), ' ', 1) as word, sum(calls)::int as n from pg_stat_statements
     where query ~* '^(copy|insert|with doomed)' group by 1 order by 1`,
  );
  await admin.query("select pg_stat_statements_reset()");
  return Object.fromEntries(found.map(({ word, n }) => [word, n]));
};

beforeAll(async () => {
  server = await startPostgres();
  admin = await server.connect();
  await admin.query("create extension pg_stat_statements");
});
afterAll(() => server?.stop());
beforeEach(async () => {
  await admin.query('drop table if exists item cascade; create table item (id int primary key, "Name" text, n int)');
  db = connect({ writeUrl: `postgresql://ladder_admin@127.0.0.1:${server.port}/postgres`, min: 0, env: {} });
  await ran();
});
afterEach(() => db.close());

const text = fc
  .oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("\\", "\t", "\n", "\r", "N", ".", '"', "'", "{", "}", ",", "é", "🙂", "a"), maxLength: 12 }),
  )
  .filter((s) => !s.includes("\0"));
const json = fc
  .jsonValue({ stringUnit: "binary" })
  .map((v) => JSON.parse(JSON.stringify(v)))
  .filter((v) => !JSON.stringify(v).includes("\\u0000"));
const int8 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const date = fc.date({ min: new Date("0001-02-01T00:00:00Z"), max: new Date("9999-12-01T00:00:00Z"), noInvalidDate: true });
const bytes = fc.uint8Array({ maxLength: 20 }).map((b) => Buffer.from(b));
/** Column type → values, as node-postgres reads them back. */
const TYPES: Record<string, fc.Arbitrary<unknown>> = {
  bool: fc.boolean(),
  int2: fc.integer({ min: -32768, max: 32767 }),
  int4: fc.integer(),
  int8: int8.map(String),
  float8: fc.double(),
  numeric: int8.map((n) => `${n}.25`),
  text,
  "varchar(60)": text.filter((s) => [...s].length <= 60),
  json,
  jsonb: json,
  bytea: bytes,
  timestamptz: date,
  timestamp: date,
  uuid: fc.uuid(),
  "text[]": fc.array(fc.option(text), { maxLength: 4 }),
  "int4[]": fc.array(fc.tuple(fc.integer(), fc.integer()), { minLength: 1, maxLength: 3 }),
  "jsonb[]": fc.array(
    json.filter((v) => v !== null),
    { maxLength: 3 },
  ),
  "bytea[]": fc.array(bytes, { maxLength: 3 }),
  "timestamptz[]": fc.array(date, { maxLength: 3 }),
  name_list: fc.array(text, { maxLength: 3 }),
};

test("every value of every type comes back as it was given, by COPY and by INSERT", async () => {
  const names = Object.keys(TYPES).map((type) => `c ${type}`);
  await admin.query("create domain words as text[]; create domain name_list as words check (cardinality(value) < 10)");
  await admin.query(
    `create table every (n int primary key, ${Object.keys(TYPES)
      .map((type) => `"c ${type}" ${type}`)
      .join(", ")})`,
  );
  const row = fc.record(Object.fromEntries(Object.values(TYPES).map((values, i) => [names[i]!, fc.option(values)])));
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 8 }), fc.boolean(), async (made, byCopy) => {
      const given = made.map((one, n) => ({ n, ...one }));
      await admin.query("truncate every");
      const result = await db.bulkInsert("every", given, byCopy ? { copyAbove: 0 } : {});
      expect(result).toEqual({ count: given.length, way: byCopy ? "copy" : "insert" });
      expect(await rows("select * from every order by n")).toEqual(given);
    }),
    { numRuns: 80 },
  );
});

describe("way", () => {
  test("1,000 rows are one INSERT, 1,001 are one COPY", async () => {
    expect(await db.bulkInsert("item", items(1, 1000, { n: 1 }))).toEqual({ count: 1000, way: "insert" });
    expect(await ran()).toEqual({ insert: 1 });
    expect(await db.bulkInsert("item", items(1001, 2001, { n: 1 }))).toEqual({ count: 1001, way: "copy" });
    expect(await ran()).toEqual({ copy: 1 });
    expect(await rows("select count(*)::int, sum(id)::int from item where n = 1")).toEqual([{ count: 2001, sum: 2003001 }]);
  });

  test("inserts are split where one would have more than 65,535 values", async () => {
    const wide = Array.from({ length: 100 }, (_, i) => `c${i}`);
    await admin.query(`drop table if exists wide; create table wide (${wide.map((name) => `${name} int`).join(", ")})`);
    const given = Array.from({ length: 1000 }, (_, r) => Object.fromEntries(wide.map((name, i) => [name, r * 100 + i])));
    expect(await db.bulkInsert("wide", given)).toEqual({ count: 1000, way: "insert" });
    expect(await ran()).toEqual({ insert: 2 });
    expect(await rows("select count(*)::int, sum(c99 - c0)::int, max(c99) from wide")).toEqual([{ count: 1000, sum: 99000, max: 99999 }]);
  });

  test("sources may be endless generators; what fails in the middle leaves nothing and closes the source", async () => {
    let closed = false;
    async function* source(fail: boolean) {
      try {
        for (let id = 1; id <= 60_000; id++) {
          if (fail && id === 55_000) throw new Error("source broke");
          yield { id, Name: `row ${id}` };
        }
      } finally {
        closed = true;
      }
    }
    await expect(db.bulkInsert("item", source(true))).rejects.toThrow("source broke");
    await expect(db.bulkInsert("item", source(true), { conflict: { columns: ["id"] } })).rejects.toThrow("source broke");
    expect(await rows("select count(*)::int as n from item")).toEqual([{ n: 0 }]);
    expect(await db.bulkInsert("item", source(false), { conflict: { columns: ["id"] } })).toEqual({ count: 60_000, way: "copy" });
    closed = false;
    await expect(db.bulkInsert("item", source(false))).rejects.toMatchObject({ code: "23505" });
    expect(closed).toBe(true);
    expect(await rows("select count(*)::int as n from item")).toEqual([{ n: 60_000 }]);
  });

  test("where row-level security holds, COPY goes through a staging table and the policy is obeyed", async () => {
    await admin.query(`alter table item enable row level security; alter table item force row level security;
      create policy small on item using (id < 5000); create role clerk login; grant all on item to clerk`);
    const clerk = connect({ writeUrl: `postgresql://clerk@127.0.0.1:${server.port}/postgres`, min: 0, env: {} });
    try {
      expect(await clerk.bulkInsert("item", items(1, 1500))).toEqual({ count: 1500, way: "copy" });
      await expect(clerk.bulkInsert("item", items(4000, 5500))).rejects.toThrow("row-level security");
    } finally {
      await clerk.close();
    }
    expect(await rows("select count(*)::int as n from item")).toEqual([{ n: 1500 }]);
  });
});

describe.each([
  ["INSERT", 1000],
  ["COPY", 0],
])("upsert by %s", (_, copyAbove) => {
  beforeEach(() => db.bulkInsert("item", items(1, 3, { Name: "old", n: 1 })));
  const given = items(2, 4, { Name: "new", n: 2 });

  test.each([
    ["all other columns", { columns: ["id"] }, 3, ["1 old 1", "2 new 2", "3 new 2", "4 new 2"]],
    ["some columns", { columns: ["id"], update: ["Name"] }, 3, ["1 old 1", "2 new 1", "3 new 1", "4 new 2"]],
    ["nothing", { columns: ["id"], update: "nothing" }, 1, ["1 old 1", "2 old 1", "3 old 1", "4 new 2"]],
  ] as const)("updates %s", async (_, conflict, count, expected) => {
    expect((await db.bulkInsert("item", given, { conflict, copyAbove })).count).toBe(count);
    expect((await rows(`select concat_ws(' ', id, "Name", n) as line from item order by id`)).map(({ line }) => line)).toEqual(expected);
  });

  test("refuses two rows of one key", async () => {
    const twice = db.bulkInsert("item", [...given, ...given], { conflict: { columns: ["id"] }, copyAbove });
    await expect(twice).rejects.toMatchObject({ code: "21000" });
    expect(await rows("select max(n) as n, count(*)::int from item")).toEqual([{ n: 1, count: 3 }]);
  });
});

test("names are quoted, values are values", async () => {
  const evil = '"; drop table item; --';
  await admin.query(`create table "Odd.Table ""x""" ("${evil.replaceAll('"', '""')}" text, "select" text)`);
  const odd = ["public", 'Odd.Table "x"'] as const;
  await db.bulkInsert(odd, [{ [evil]: evil, select: "'); drop table item; --" }]);
  await db.bulkInsert(odd, [{ [evil]: evil, select: "'); drop table item; --" }], { copyAbove: 0 });
  expect(await db.count(odd, `"select" = $1`, ["'); drop table item; --"])).toBe(2);
  expect(await rows("select count(*)::int as n from item")).toEqual([{ n: 0 }]);
});

test("every mistake of the rows is named, and nothing is written", async () => {
  await expect(db.bulkInsert("item", [{ id: 1, n: 1 }, { id: 2 }, { id: 3, n: 3, extra: true }])).rejects.toThrow(
    'bulkInsert: 2 problems\n  rows[1].n: got nothing, want a value or null\n  rows[2].extra: got "a value", want only "id", "n"',
  );
  await expect(db.bulkInsert("item", [{ id: 1, nn: 1, Nam: "" }])).rejects.toThrow(
    'columns: got "nn", want a column of "item": id, Name, n\n  columns: got "Nam", want a column of "item": id, Name, n',
  );
  await expect(db.bulkInsert("no such", [{ id: 1 }])).rejects.toThrow('table: got "no such", want a table or view that can be seen');
  expect(await db.bulkInsert("item", [])).toEqual({ count: 0, way: "insert" });
  expect(await rows("select count(*)::int as n from item")).toEqual([{ n: 0 }]);
});

test("bulk delete goes in batches that are committed one by one, and keeps to its condition in every partition", async () => {
  await admin.query(`create table part (id int, kind text) partition by list (kind);
    create table part_a partition of part for values in ('a'); create table part_b partition of part for values in ('b')`);
  await db.bulkInsert("part", [...items(1, 100, { kind: "a" }), ...items(1, 100, { kind: "b" })]);
  await ran();
  expect(await db.bulkDelete("part", "kind = $1 and id <= $2", ["a", 95], { batch: 10 })).toBe(95);
  expect(await ran()).toEqual({ with: 10 });
  expect(await rows("select kind, count(*)::int as n from part group by 1 order by 1")).toEqual([
    { kind: "a", n: 5 },
    { kind: "b", n: 100 },
  ]);
  expect(await db.bulkDelete("part", "true")).toBe(105);
  await expect(db.bulkDelete("part", "true", [], { batch: 0 })).rejects.toThrow("batch: got 0, want a whole number from 1");
});
