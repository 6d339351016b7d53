/** R2: reads from replicas, a session sees its own writes, lag, dead replicas; on a primary with real streaming replicas. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ConnectOptions, connect, type Database, type Session } from "../../client/index.ts";
import { ms } from "../../plan/types.ts";
import { POOLER_IMAGE, type Servers, startServers } from "./client-servers.ts";

const SMALL = { writeSize: 4, readSize: 8, min: 1, env: {} };
let servers: Servers;
let open: Database[];

const database = (options: ConnectOptions = {}): Database => {
  const made = connect({ ...SMALL, writeUrl: servers.primary, readUrl: servers.replica, ...options });
  open.push(made);
  return made;
};
const pause = (replica: 1 | 2) => servers.sql("select pg_wal_replay_pause()", replica);
const resume = (replica: 1 | 2) => servers.sql("select pg_wal_replay_resume()", replica);
const caughtUp = () =>
  expect.poll(() => servers.sql("select bool_and(replay_lsn = pg_current_wal_lsn()) and count(*) = 2 from pg_stat_replication")).toBe("t");
const add = (at: Session | Database) => at.write("insert into note default values");
const seen = async (at: Session | Database): Promise<{ n: number; replica: boolean }> =>
  (await at.read<{ n: number; replica: boolean }>("select count(*)::int as n, pg_is_in_recovery() as replica from note"))[0]!;

beforeAll(async () => {
  servers = await startServers();
});
afterAll(() => servers?.stop());
beforeEach(async () => {
  open = [];
  await servers.sql("drop table if exists note; create table note (id bigint generated always as identity primary key)");
  await caughtUp();
});
afterEach(() => Promise.all(open.map((one) => one.close())));

test("reads are answered by the replica, writes by the primary, and a read cannot write anywhere", async () => {
  const db = database();
  await add(db);
  await caughtUp();
  expect(await seen(db)).toEqual({ n: 1, replica: true });
  await expect(db.read("insert into note default values")).rejects.toMatchObject({ code: "25006" });
  const alone = database({ readUrl: servers.primary });
  await expect(alone.read("insert into note default values")).rejects.toMatchObject({ code: "25006" });
  expect((await seen(alone)).n).toBe(1);
});

describe("while replay is paused", () => {
  beforeEach(() => pause(1));
  afterEach(() => resume(1));

  test("a session sees its own writes, from the primary; others may not; afterwards the replica answers it again", async () => {
    const db = database();
    const session = db.session();
    expect(session.token).toBeUndefined();
    await add(session);
    expect(await seen(session)).toEqual({ n: 1, replica: false });
    expect(await seen(db)).toEqual({ n: 0, replica: true });
    await session.transaction((tx) => tx.query("insert into note default values"));
    expect(await seen(session)).toEqual({ n: 2, replica: false });
    expect(db.figures().reads).toEqual({ replica: 1, behind: 2, lagging: 0, down: 0, waited: 2, replicasUp: true });
    await resume(1);
    await caughtUp();
    expect(await seen(session)).toEqual({ n: 2, replica: true });
  });

  test("the token carries it to another process", async () => {
    const first = database().session();
    await add(first);
    const second = database();
    expect(await seen(second.session({ token: first.token }))).toEqual({ n: 1, replica: false });
    expect(await seen(second.session())).toEqual({ n: 0, replica: true });
    expect(() => second.session({ token: "yesterday" })).toThrow('token: got "yesterday", want a session\'s token, such as 16/B374D848');
  });

  test("a read waits for the replica, as long as readWait says", async () => {
    const db = database({ readWait: ms(20_000) });
    const session = db.session();
    await add(session);
    const reading = seen(session);
    await expect.poll(() => db.figures().reads.waited).toBe(1);
    await resume(1);
    expect(await reading).toEqual({ n: 1, replica: true });
    expect(db.figures().reads).toMatchObject({ replica: 1, behind: 0, waited: 1 });
  });

  test("a replica that is further behind than maxLag gets no reads", async () => {
    const db = database({ maxLag: ms(300) });
    await add(db);
    await sleep(400);
    expect(await seen(db)).toEqual({ n: 1, replica: false });
    expect(db.figures().reads.lagging).toBe(1);
    await resume(1);
    await caughtUp();
    await sleep(400);
    expect(await seen(db), "an idle primary is no lag").toEqual({ n: 1, replica: true });
  });
});

test("at stage 1, where the read URL leads to the primary, a session waits for nothing", async () => {
  const db = database({ readUrl: servers.primary });
  const session = db.session();
  await add(session);
  expect(await seen(session)).toEqual({ n: 1, replica: false });
  expect(db.figures().reads).toEqual({ replica: 1, behind: 0, lagging: 0, down: 0, waited: 0, replicasUp: true });
});

test("a read that the replica cancels because of a conflict with replay is answered all the same", async () => {
  const db = database();
  await servers.sql("insert into note select from generate_series(1, 100)");
  await caughtUp();
  const reading = db.read<{ n: number }>("select count(*)::int as n from note, lateral (select pg_sleep(0.02 + 0 * id)) as slow");
  await expect
    .poll(() => servers.sql("select count(*) from pg_stat_activity where query like '%slow%' and state = 'active'", 1))
    .not.toBe("0");
  await servers.sql("delete from note where id > 50");
  await servers.sql("vacuum note");
  expect([{ n: 100 }, { n: 50 }]).toContainEqual((await reading)[0]);
  expect(await servers.sql("select confl_snapshot > 0 or confl_lock > 0 from pg_stat_database_conflicts where datname = 'app'", 1)).toBe(
    "t",
  );
});

test("no read fails when the replica dies, and the replica is used again when it is back", async () => {
  const db = database();
  await db.ready();
  const failures: unknown[] = [];
  let going = true;
  const reader = async () => {
    while (going) await seen(db).catch((error) => failures.push(error));
  };
  const readers = Array.from({ length: 6 }, reader);
  await servers.kill(1);
  await expect.poll(() => db.figures().reads.replicasUp).toBe(false);
  expect((await seen(db)).replica).toBe(false);
  await servers.start(1);
  await expect.poll(() => db.figures().reads.replicasUp, { timeout: 20_000 }).toBe(true);
  expect((await seen(db)).replica).toBe(true);
  going = false;
  await Promise.all(readers);
  expect(failures).toEqual([]);
  expect(db.figures().reads.down).toBeGreaterThan(0);
});

describe.skipIf(!POOLER_IMAGE)("through PgBouncer in transaction mode, with two replicas behind one URL", () => {
  test("a session sees its own writes on whichever replica it lands, though one stands still", async () => {
    const db = database({ ...servers.pooled, maxLag: ms(0) });
    const session = db.session();
    await pause(2);
    try {
      await add(session);
      await expect.poll(() => servers.sql("select count(*) from note", 1)).toBe("1");
      const own = await Promise.all(Array.from({ length: 60 }, () => seen(session)));
      expect(own.filter(({ n }) => n !== 1)).toEqual([]);
      expect(new Set(own.map(({ replica }) => replica)).has(true)).toBe(true);
      const others = await Promise.all(Array.from({ length: 60 }, () => seen(db)));
      expect(new Set(others.map(({ n }) => n)), "the test would see a stale read").toEqual(new Set([0, 1]));
    } finally {
      await resume(2);
    }
  });

  test("no read fails when one replica dies", async () => {
    const db = database(servers.pooled);
    await db.ready();
    await servers.kill(2);
    try {
      const answers = await Promise.allSettled(Array.from({ length: 100 }, () => seen(db)));
      expect(answers.filter(({ status }) => status === "rejected")).toEqual([]);
    } finally {
      await servers.start(2);
    }
  });

  test("a bulk load through a staging table needs no session of the server", async () => {
    const db = database(servers.pooled);
    const rows = Array.from({ length: 1200 }, (_, i) => ({ id: i + 1 }));
    await servers.sql("drop table note; create table note (id bigint primary key)");
    for (let round = 0; round < 2; round++)
      expect(await db.bulkInsert("note", rows, { conflict: { columns: ["id"] } })).toEqual({ count: round === 0 ? 1200 : 0, way: "copy" });
    expect(await db.session().count("note")).toBe(1200);
  });
});
