/** D3: all or nothing, retries, and what happens when the connection is lost at each moment. */
import { readFileSync } from "node:fs";
import type { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { connect, type Database, TransactionRolledBack, UnknownOutcome } from "../../client/index.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";
import { type Wire, wireTo } from "./client-servers.ts";

let server: TestServer;
let admin: Client;
let wire: Wire;
let db: Database;

const ids = async () => (await admin.query<{ id: number }>("select id from item order by id")).rows.map(({ id }) => id);
const killed = "select pg_terminate_backend($1, 5000)";

beforeAll(async () => {
  server = await startPostgres();
  admin = await server.connect();
});
afterAll(() => server?.stop());
beforeEach(async () => {
  await admin.query("drop table if exists item; create table item (id int primary key, n int not null default 0)");
  wire = await wireTo(`postgresql://ladder_admin@127.0.0.1:${server.port}/postgres`);
  db = connect({ writeUrl: wire.url, min: 0, env: {} });
});
afterEach(async () => {
  await db.close();
  wire.close();
});

test("what the callback returns is committed; when it throws, nothing is written and the error comes through", async () => {
  expect(await db.transaction(async (tx) => (await tx.query("insert into item values (1), (2)")).count)).toBe(2);
  const oops = new Error("business");
  let calls = 0;
  const failing = db.transaction(async (tx) => {
    calls++;
    await tx.query("insert into item values (3)");
    await tx.bulkInsert("item", [{ id: 4 }]);
    throw oops;
  });
  await expect(failing).rejects.toBe(oops);
  expect(calls).toBe(1);
  expect(await ids()).toEqual([1, 2]);
});

test("a failed statement that the callback swallows is reported, not committed half", async () => {
  const half = db.transaction(async (tx) => {
    await tx.query("insert into item values (1)");
    await tx.query("insert into nowhere values (1)").catch(() => undefined);
  });
  const error = await half.catch((error) => error);
  expect(error).toBeInstanceOf(TransactionRolledBack);
  expect(error.cause).toMatchObject({ code: "42P01" });
  expect(await ids()).toEqual([]);
});

test("isolation and read only reach the server", async () => {
  const shown = (
    await db.transaction(
      async (tx) =>
        (
          await tx.query("select current_setting('transaction_isolation') as i, current_setting('transaction_read_only') as r")
        ).rows,
      { isolation: "repeatable read", readOnly: true },
    )
  )[0];
  expect(shown).toEqual({ i: "repeatable read", r: "on" });
});

test("serialization failures are repeated until all have gone through", async () => {
  await admin.query("insert into item values (1, 0)");
  let calls = 0;
  const increment = () =>
    db.transaction(
      async (tx) => {
        calls++;
        const [row] = (await tx.query<{ n: number }>("select n from item where id = 1")).rows;
        await tx.query("update item set n = $1 where id = 1", [row!.n + 1]);
      },
      { isolation: "serializable", retries: 50 },
    );
  await Promise.all(Array.from({ length: 8 }, increment));
  expect((await admin.query("select n from item")).rows).toEqual([{ n: 8 }]);
  expect(calls).toBeGreaterThan(8);
});

/** Two transactions that lock two rows in opposite order, and meet. */
async function deadlock(retries: number): Promise<PromiseSettledResult<number>[]> {
  await admin.query("insert into item values (1, 0), (2, 0)");
  const first: (() => void)[] = [];
  const both = new Promise<void>((resolve) => {
    let missing = 2;
    const one = () => {
      if (--missing === 0) resolve();
    };
    first.push(one, one);
  });
  const run = async (a: number, b: number) => {
    let calls = 0;
    await db.transaction(
      async (tx) => {
        calls++;
        await tx.query("update item set n = n + 1 where id = $1", [a]);
        first.pop()?.();
        await both;
        await tx.query("update item set n = n + 1 where id = $1", [b]);
      },
      { retries },
    );
    return calls;
  };
  return Promise.allSettled([run(1, 2), run(2, 1)]);
}

test("a deadlock's victim is repeated", async () => {
  const outcomes = await deadlock(5);
  expect(outcomes.map((one) => one.status === "fulfilled" && one.value).sort()).toEqual([1, 2]);
  expect((await admin.query("select n from item order by id")).rows).toEqual([{ n: 2 }, { n: 2 }]);
});

test("retries: 0 repeats nothing", async () => {
  const outcomes = await deadlock(0);
  const failed = outcomes.filter((one) => one.status === "rejected");
  expect(failed.map(({ reason }) => reason.code)).toEqual(["40P01"]);
  expect((await admin.query("select n from item order by id")).rows).toEqual([{ n: 1 }, { n: 1 }]);
});

test("a connection lost before the commit is repeated, and written once", async () => {
  let calls = 0;
  const work = async (between: boolean) => {
    await db.transaction(async (tx) => {
      const [row] = (await tx.query<{ pid: number }>("insert into item values ($1) returning pg_backend_pid() as pid", [between ? 1 : 2]))
        .rows;
      if (++calls > 1) return;
      const ended = new Promise<void>((resolve) => tx.client.once("end", () => resolve()));
      await admin.query(killed, [row!.pid]);
      if (between) await ended;
      else await tx.query("select 1");
    });
  };
  await work(true);
  expect(calls).toBe(2);
  calls = 0;
  await work(false);
  expect(calls).toBe(2);
  expect(await ids()).toEqual([1, 2]);
});

test("a commit whose answer is lost is never repeated: UnknownOutcome, and the session asks the primary from then on", async () => {
  const session = db.session();
  let calls = 0;
  wire.loseAnswerTo("commit\0");
  const lost = session.transaction(async (tx) => {
    calls++;
    await tx.query("insert into item values (1)");
  });
  await expect(lost).rejects.toThrow(UnknownOutcome);
  await expect(lost).rejects.toThrow("transaction: the connection was lost before the answer came; it may have been committed or not");
  expect(calls).toBe(1);
  expect(await ids()).toEqual([1]);
  expect(session.token).toBe("FFFFFFFF/FFFFFFFF");
  await session.write("insert into item values (2)");
  expect(session.token).not.toBe("FFFFFFFF/FFFFFFFF");
});

test("a single statement whose answer is lost is an UnknownOutcome too, and what the server refuses is not", async () => {
  wire.loseAnswerTo("insert");
  await expect(db.write("insert into item values (1)")).rejects.toThrow(UnknownOutcome);
  await expect.poll(ids).toEqual([1]);
  await expect(db.write("insert into item values (1)")).rejects.toMatchObject({ code: "23505" });
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  await expect(db.write("insert into item values ($1)", [circle])).rejects.toThrow(TypeError);
  expect(db.figures().write.discarded).toBe(1);
});

test("the session's tenant holds in reads, writes and transactions, and nowhere after", async () => {
  await admin.query(`create schema ladder; ${readFileSync("sql/platform/0071_tenant_setting.sql", "utf8")}`);
  const whose = "select ladder.tenant() as tenant";
  const session = db.session({ tenant: 7 });
  expect(await session.read(whose)).toEqual([{ tenant: "7" }]);
  expect((await session.write(whose)).rows).toEqual([{ tenant: "7" }]);
  expect(await session.transaction(async (tx) => (await tx.query(whose)).rows)).toEqual([{ tenant: "7" }]);
  expect(await db.read(whose)).toEqual([{ tenant: null }]);
  expect((await db.write(whose)).rows).toEqual([{ tenant: null }]);
});
