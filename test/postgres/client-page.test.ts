/** D2: keyset pages, the first rows of each group, batched loading, counts; each in one statement. */
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { describeTable } from "../../client/catalog.ts";
import { connect, type Database, type OrderBy, type PageOptions, type Row } from "../../client/index.ts";
import { readPage } from "../../client/page.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let admin: Client;
let db: Database;

interface Post {
  id: number;
  author: string | null;
  score: number | null;
  at: Date;
}

beforeAll(async () => {
  server = await startPostgres();
  admin = await server.connect();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  await admin.query(`drop table if exists post;
    create table post (id int primary key, author text, score int, at timestamptz not null);
    insert into post select i, nullif('u' || i % 7, 'u0'), nullif(i * 31 % 10, 3),
      timestamptz '2026-01-01 00:00:00.000001Z' + (i * 37 % 50) * interval '1 microsecond' from generate_series(1, 200) i`);
  db = connect({ writeUrl: `postgresql://ladder_admin@127.0.0.1:${server.port}/postgres`, min: 0, env: {} });
});
afterEach(() => db.close());

const reads = () => db.figures().reads.replica;
/** Ids of every page, until there is no next. */
async function walk(options: Omit<PageOptions, "table">, between: (page: number) => Promise<unknown> = async () => undefined) {
  const ids: number[] = [];
  let after: string | undefined;
  for (let number = 1; ; number++) {
    const page = await db.page<Post>({ table: "post", ...options, ...(after ? { after } : {}) });
    ids.push(...page.rows.map(({ id }) => id));
    if (page.next === undefined) return ids;
    expect(page.rows).toHaveLength(options.limit);
    after = page.next;
    await between(number);
  }
}

describe("pages", () => {
  test.each<[string, OrderBy[], string]>([
    ["the key alone", [{ column: "id" }], "id"],
    ["nothing: the primary key", [], "id"],
    ["microseconds, which a Date has not", [{ column: "at", direction: "desc" }], "at desc, id desc"],
    ["nulls last", [{ column: "score" }, { column: "id", direction: "desc" }], "score, id desc"],
    ["nulls first, descending", [{ column: "score", direction: "desc" }], "score desc, id desc"],
    [
      "nulls first, ascending",
      [
        { column: "author", nulls: "first" },
        { column: "at", direction: "desc" },
      ],
      "author nulls first, at desc, id desc",
    ],
    [
      "nulls last, descending",
      [{ column: "author", direction: "desc", nulls: "last" }, { column: "score" }],
      "author desc nulls last, score, id",
    ],
    ["mixed directions without nulls", [{ column: "at" }, { column: "id", direction: "desc" }], "at, id desc"],
  ])("walk through every row once, in the order of %s", async (_, orderBy, sql) => {
    const expected = (await admin.query<{ id: number }>(`select id from post order by ${sql}`)).rows.map(({ id }) => id);
    expect(await walk({ orderBy, limit: 7 })).toEqual(expected);
    expect(await walk({ orderBy, limit: 200 })).toEqual(expected);
  });

  test("rows that come and go meanwhile hide none of the others and repeat none", async () => {
    const orderBy: OrderBy[] = [
      { column: "score", nulls: "first" },
      { column: "at", direction: "desc" },
    ];
    let added = 1000;
    const ids = await walk({ orderBy, limit: 9 }, async (page) => {
      const values = Array.from(
        { length: 6 },
        (_, i) => `(${++added}, 'new', ${i === 0 ? "null" : (page + i) % 10}, '2026-01-01 00:00:00.00002Z')`,
      );
      await admin.query(`insert into post values ${values.join(", ")}`);
      await admin.query("delete from post where id = $1", [2000 + page]);
    });
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => id <= 200).length).toBe(200);
  });

  test("a condition, columns, and one statement a page", async () => {
    await walk({ orderBy: [], limit: 100 });
    const before = reads();
    const page = await db.page({
      table: "post",
      columns: ["id", "author"],
      where: "author = $1 or id = $2",
      values: ["u2", 1],
      orderBy: [],
      limit: 2,
    });
    expect(page.rows).toEqual([
      { id: 1, author: "u1" },
      { id: 2, author: "u2" },
    ]);
    const next = await db.page({
      table: "post",
      where: "author = $1 or id = $2",
      values: ["u2", 1],
      orderBy: [],
      limit: 2,
      after: page.next!,
    });
    expect(next.rows.map(({ id }) => id)).toEqual([9, 16]);
    expect(reads() - before).toBe(2);
  });

  test("page 1,000 begins in the index where page 999 ended", async () => {
    await admin.query(
      "insert into post select i, 'x', 1, now() from generate_series(201, 20000) i; create index on post (at, id); analyze post",
    );
    const plans: string[] = [];
    const query = async <R extends Row>(sql: string, values: readonly unknown[]) => {
      const { rows } = await admin.query<{ "QUERY PLAN": string }>(`explain ${sql}`, [...values]);
      plans.push(rows.map((row) => row["QUERY PLAN"]).join("\n"));
      return (await admin.query<R>(sql, [...values])).rows;
    };
    const table = await describeTable(query, "post");
    const options = { table: "post", orderBy: [{ column: "at" }], limit: 20 };
    const { next } = await readPage(query, table, options);
    await readPage(query, table, { ...options, after: next! });
    const plan = plans.at(-1)!;
    expect(plan).toContain("Index Scan using post_at_id_idx");
    expect(plan).toMatch(/Index Cond: \(ROW\(at, id\) > ROW\(/);
    expect(plan).not.toContain("Sort");
  });

  test("what cannot be right is refused", async () => {
    const { next } = await db.page({ table: "post", orderBy: [{ column: "at" }], limit: 1 });
    const page = (options: Partial<PageOptions>) => db.page({ table: "post", orderBy: [], limit: 1, ...options });
    await expect(page({ after: next! })).rejects.toThrow("want `next` of an earlier page of the same table in the same order");
    await expect(page({ after: "%%%" })).rejects.toThrow('after: got "%%%", want `next` of an earlier page');
    await expect(page({ limit: 0 })).rejects.toThrow("limit: got 0, want a whole number from 1 to 10000");
    await expect(page({ orderBy: [{ column: "id; drop table post" }] })).rejects.toThrow(
      'orderBy: got "id; drop table post", want a column of "post"',
    );
    await admin.query("create table if not exists keyless (id int)");
    await expect(db.page({ table: "keyless", orderBy: [{ column: "id" }], limit: 1 })).rejects.toThrow("want a table with a primary key");
  });
});

test("the first rows of each group, in one statement", async () => {
  const top = { table: "post", group: "author", orderBy: [{ column: "at", direction: "desc" }], limit: 3, columns: ["id"] } as const;
  await db.topPerGroup({ ...top, keys: ["u1"] });
  const before = reads();
  const found = await db.topPerGroup<{ id: number }>({ ...top, keys: ["u3", "nobody", "u1", "u3"], where: "score <> $1", values: [5] });
  expect(reads() - before).toBe(1);
  const expected = async (author: string) =>
    (await admin.query("select id from post where author = $1 and score <> 5 order by at desc, id desc limit 3", [author])).rows;
  expect([...found]).toEqual([
    ["u3", await expected("u3")],
    ["nobody", []],
    ["u1", await expected("u1")],
  ]);
  expect(await expected("u3")).toHaveLength(3);
});

test("a hundred loads of one turn are one statement; keys that are missing or come twice are right", async () => {
  const posts = db.loader<Post, number>("post", "id");
  await posts.load(1);
  const before = reads();
  const ids = [...Array.from({ length: 99 }, (_, i) => 200 - i), 5000, 150];
  const found = await Promise.all(ids.map((id) => posts.load(id)));
  expect(reads() - before).toBe(1);
  expect(found.map((rows) => rows.map(({ id }) => id))).toEqual(ids.map((id) => (id === 5000 ? [] : [id])));

  const pairs = db.loader<Post, readonly [string, number]>("post", ["author", "score"], { columns: ["id"], batch: 2 });
  const some = await Promise.all([pairs.load(["u1", 1]), pairs.load(["u2", 2]), pairs.load(["u1", 1]), pairs.load(["u9", 1])]);
  const expected = (await admin.query("select id from post where author = 'u1' and score = 1")).rows;
  expect(some[0]).toEqual(expect.arrayContaining(expected));
  expect(some[0]).toHaveLength(expected.length);
  expect(some[2]).toBe(some[0]);
  expect(some[3]).toEqual([]);
  await expect(pairs.load(["u1"] as never)).rejects.toThrow('key: got ["u1"], want 2 values, one for each column');
});

test("counts come from the server, estimates from its statistics", async () => {
  expect(await db.count("post")).toBe(200);
  expect(await db.count("post", "author = $1", ["u1"])).toBe(29);
  await admin.query("analyze post");
  expect(await db.estimate("post")).toBe(200);
  expect(await db.estimate("post", "id <= $1", [50])).toBe(50);
});
