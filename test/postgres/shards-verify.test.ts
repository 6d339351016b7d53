/** Rows of two servers compared while one follows the other by logical replication. Cannot prove: how long it takes for a hundred million rows. */
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { classCondition } from "../../agent/shards/sql.ts";
import type { ShardedTable } from "../../agent/shards/types.ts";
import { RowsDiffer, type VerifyOptions, verifyTable } from "../../agent/shards/verify.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

const TABLE: ShardedTable = { schema: "public", table: "item", key: "user_id", keyType: "bigint" };
const CLASS = { modulus: 2, remainder: 1 };
const MINE = classCondition(TABLE, CLASS);
const ROWS = 20_000;
let [source, target] = [] as unknown as [TestServer, TestServer];
let [from, to] = [] as unknown as [Client, Client];

/** Two months, and a partition of the source whose columns are in another order than the target's. */
const tables = (columns: string) => `
  drop table if exists item; create type mood as enum ('${columns.startsWith("user_id") ? "good', 'bad" : "bad', 'good"}');
  create table item (${columns}, primary key (user_id, id, at)) partition by range (at);
  create table item_1 partition of item for values from ('2026-01-01') to ('2026-02-01');
  create table item_2 partition of item for values from ('2026-02-01') to ('2026-03-01')`;

async function address(server: TestServer): Promise<string> {
  const run = promisify(execFile);
  const { stdout } = await run("docker", ["ps", "-q", "--filter", `publish=${server.port}`]);
  return (await run("docker", ["inspect", "-f", "{{.NetworkSettings.IPAddress}}", stdout.trim()])).stdout.trim();
}

/** Waits until the subscription has confirmed a position. */
async function applied(lsn: string): Promise<void> {
  for (;;) {
    const { rows } = await watch.query("select confirmed_flush_lsn >= $1 as there from pg_replication_slots where slot_name = 'half'", [
      lsn,
    ]);
    if (rows[0].there) return;
    await sleep(5);
  }
}
let watch: Client;

const verify = (more: Partial<VerifyOptions> = {}) =>
  verifyTable({
    source: { server: { connect: () => source.connect() }, class: CLASS },
    target: { server: { connect: () => target.connect() } },
    ...{ table: TABLE, buckets: 64, applied },
    ...more,
  });

/** What it finds, or that it finds nothing. */
async function damage(more?: Partial<VerifyOptions>): Promise<string[]> {
  try {
    await verify(more);
    return [];
  } catch (error) {
    if (!(error instanceof RowsDiffer)) throw error;
    expect(error.table).toBe('"public"."item"');
    return error.differences.map(({ what, key }) => `${what} ${key}`).sort();
  }
}

/** Changes the target behind replication's back. */
const spoil = (sql: string) => to.query(`set session_replication_role = replica; ${sql}; reset session_replication_role`);
const keyOf = async (which: string) => {
  const { rows } = await from.query(`select user_id, id, at::text from item where ${which} order by user_id, id limit 1`);
  return { ...rows[0], text: `(user_id, id, at) = (${rows[0].user_id}, ${rows[0].id}, ${rows[0].at})` };
};

beforeAll(async () => {
  [source, target] = await Promise.all([startPostgres(), startPostgres()]);
  [from, to, watch] = await Promise.all([source.connect(), target.connect(), source.connect()]);
  for (const client of [from, to]) await client.query("set timezone = 'UTC'");
  await from.query(tables("gone int, user_id bigint, id bigint, at timestamptz, amount numeric, body text, tags jsonb, feels mood"));
  await from.query("alter table item drop column gone");
  await to.query(tables("user_id bigint, feels mood, id bigint, tags jsonb, body text, at timestamptz, amount numeric"));
  await from.query(`insert into item (user_id, id, at, amount, body, tags, feels)
    select i % 997, i, timestamptz '2026-01-01' + i % 58 * interval '1 day', i / 100.0, case when i % 7 > 0 then md5(i::text) end,
      jsonb_build_object('n', i), (array['good', 'bad'])[1 + i % 2]::mood from generate_series(1, ${ROWS}) i`);
  await from.query(`create publication half for table item where (${MINE}) with (publish_via_partition_root)`);
  const host = await address(source);
  await to.query(
    `create subscription half connection 'host=${host} dbname=postgres user=ladder_admin' publication half with (origin = none, streaming = parallel)`,
  );
});
afterAll(() => Promise.all([source?.stop(), target?.stop()]));

beforeEach(async () => {
  for (;;) {
    const { rows } = await to.query("select count(*) filter (where srsubstate = 'r')::int as ready from pg_subscription_rel");
    if (rows[0].ready === 1) break;
    await sleep(50);
  }
});

describe("verifyTable", () => {
  it("finds the same rows on both sides, and says how many of each bucket", async () => {
    const { rows, settled } = await verify();
    const { rows: wanted } = await from.query(`select count(*)::int as n from item where ${MINE}`);
    expect(rows.reduce((sum, n) => sum + n)).toBe(wanted[0].n);
    expect(rows.flatMap((n, bucket) => (n > 0 ? [bucket % 2] : []))).toEqual(new Array(32).fill(1));
    expect(settled).toBe(0);
  });

  it("finds a row that is missing, changed, or there without being in the source, each with its key", async () => {
    const [missing, changed] = [await keyOf(`${MINE} and id > 500`), await keyOf(`${MINE} and id > 9000`)];
    await spoil(`delete from item where id = ${missing.id}; update item set amount = amount + 0.00000000000000000000000000000 where id = ${changed.id};
      insert into item (user_id, id, at) values (1, 999999, '2026-01-05')`);
    expect(await damage()).toEqual([
      `changed ${changed.text}`,
      "extra (user_id, id, at) = (1, 999999, 2026-01-05 00:00:00+00)",
      `missing ${missing.text}`,
    ]);
    await spoil("delete from item where id = 999999");
    await from.query("update item set body = 'again' where id = $1", [changed.id]);
    expect(await damage()).toEqual([`missing ${missing.text}`]);
    await from.query("update item set body = body where id = $1", [missing.id]);
    await spoil(`insert into item (user_id, id, at, amount, body, tags, feels) values ${await valuesOf(missing.id)}`);
    expect(await damage()).toEqual([]);
  });

  it("finds a row of another shard, and one under two keys", async () => {
    const [other, twice] = [await keyOf(`not ${MINE}`), await keyOf(MINE)];
    await spoil(`insert into item (user_id, id, at, amount, body, tags, feels) values ${await valuesOf(other.id)};
      insert into item select (jsonb_populate_record(i, '{"at": "2026-02-27"}')).* from item i where id = ${twice.id}`);
    expect(await damage()).toEqual(
      [`extra ${other.text}`, `extra (user_id, id, at) = (${twice.user_id}, ${twice.id}, 2026-02-27 00:00:00+00)`].sort(),
    );
    await spoil(`delete from item where id = ${other.id}; delete from item where id = ${twice.id} and at = '2026-02-27'`);
    expect(await damage()).toEqual([]);
  });

  it("finds a row that is doubled where no key forbids it", async () => {
    const twice = await keyOf(`${MINE} and id > 3000`);
    await spoil(`alter table item drop constraint item_pkey; insert into item select * from item where id = ${twice.id}`);
    expect(await damage()).toEqual([`doubled ${twice.text}`]);
    await spoil(`delete from item where id = ${twice.id}; insert into item (user_id, id, at, amount, body, tags, feels) values ${await valuesOf(twice.id)};
      alter table item add primary key (user_id, id, at)`);
    expect(await damage()).toEqual([]);
  });

  it("refuses columns that are not the same, and a table without a key", async () => {
    await to.query("alter table item add other int");
    await expect(verify()).rejects.toThrow(
      /"public"."item": got the columns amount numeric, at .*, other integer, .*, want those of the source: amount numeric, at .*, id bigint, tags/,
    );
    await to.query("alter table item drop other");
    await from.query("create table bare (user_id bigint)");
    await to.query("create table bare (user_id bigint)");
    await expect(verify({ table: { ...TABLE, table: "bare" } })).rejects.toThrow(
      '"public"."bare": got no primary key, want one: rows are compared by it',
    );
  });

  it("compares a global table, and the rows of one class in a table that has all", async () => {
    for (const client of [from, to])
      await client.query("create table kind (id int primary key, name text); insert into kind values (1, 'a'), (2, null)");
    const table = { schema: "public", table: "kind" };
    expect(await verify({ table })).toEqual({ rows: [2], settled: 0 });
    await to.query("update kind set name = '' where id = 2");
    await expect(verify({ table })).rejects.toThrow('"public"."kind": got other rows than the source has: changed (id) = (2) of bucket 0');
    const back = {
      source: { server: { connect: () => target.connect() } },
      target: { server: { connect: () => source.connect() }, class: CLASS },
    };
    const now = async () => undefined;
    expect(await damage({ ...back, applied: now })).toEqual([]);
    const all = await damage({ ...back, target: { server: back.target.server }, applied: now });
    expect(all[0]).toMatch(/^extra/);
    expect(all.length).toBeGreaterThan(20);
  });

  describe("under ten writers", () => {
    let stop = false;
    let writes = 0;
    const writer = async (n: number) => {
      const client = await source.connect();
      for (let i = 0; !stop; i++) {
        const id = 1 + ((i * 7919 + n * 101) % ROWS);
        const at = "timestamptz '2026-01-01' + $1::bigint % 58 * interval '1 day'";
        await client.query("update item set amount = amount + 1 where user_id = 5 and id = (select min(id) from item where user_id = 5)");
        await client.query("update item set body = $2 where user_id = $1::bigint % 997 and id = $1", [id, `${n} ${i}`]);
        await client.query(`insert into item (user_id, id, at, amount) values ($1::bigint % 997, $1, ${at}, 1)`, [
          100_000 + n * 100_000 + i,
        ]);
        await client.query("begin");
        await client.query("delete from item where user_id = $1::bigint % 997 and id = $1", [50_000 + n]);
        await client.query("commit");
        await client.query(`insert into item (user_id, id, at, amount) values ($1::bigint % 997, $1, ${at}, $2) on conflict do nothing`, [
          50_000 + n,
          i,
        ]);
        writes += 5;
        await sleep(3);
      }
      await client.end();
    };

    it("raises no false alarm, and finds what is wrong all the same", async () => {
      stop = false;
      const writers = Array.from({ length: 10 }, (_, n) => writer(n));
      try {
        let settled = 0;
        for (let round = 0; round < 2; round++) settled += (await verify()).settled;
        expect(settled).toBeGreaterThan(0);
        const hidden = await keyOf(`${MINE} and user_id <> 5 and id between 15000 and 20000`);
        await spoil(`delete from item where id = ${hidden.id}; insert into item (user_id, id, at) values (1, 999998, '2026-01-05')`);
        const found = await damage();
        expect(found).toContain("extra (user_id, id, at) = (1, 999998, 2026-01-05 00:00:00+00)");
        expect(found.filter((line) => !line.includes("999998"))).toEqual(found.length > 1 ? [`missing ${hidden.text}`] : []);
        expect(writes).toBeGreaterThan(300);
      } finally {
        stop = true;
        await Promise.all(writers);
      }
    });
  });
});

async function valuesOf(id: number): Promise<string> {
  const { rows } = await from.query<{ v: string }>(
    `select format('(%s, %s, %L, %s, %L, %L, %L)', user_id, id, at, amount, body, tags, feels) as v from item where id = ${id}`,
  );
  return rows[0]!.v;
}
