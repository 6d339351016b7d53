/** The small pure parts: stalls, error classes, hosts, pacing, what readers may expect. */
import pg from "pg";
import { describe, expect, test } from "vitest";
import { classify } from "../../rehearsal/classify.ts";
import { KnownRows } from "../../rehearsal/known.ts";
import { now } from "../../rehearsal/model.ts";
import { Schedule } from "../../rehearsal/schedule.ts";
import { longestStall } from "../../rehearsal/stall.ts";
import { checkTarget, clientConfig } from "../../rehearsal/target.ts";
import { checkLoad } from "../../rehearsal/workload.ts";

const finished = (...writes: [intended: number, done: number, success?: boolean][]) =>
  writes.map(([intended, done, success = true]) => ({ intended, done, success })).sort((a, b) => b.done - a.done);

describe("longestStall", () => {
  test.each([
    ["nothing was due", finished(), { ms: 0, from: 0 }],
    ["idle time is no stall", finished([10, 11], [500, 502]), { ms: 2, from: 500 }],
    ["one slow write alone stalls from its intended start", finished([10, 11], [100, 400]), { ms: 300, from: 100 }],
    ["another client's answers end it", finished([100, 400], [150, 250], [200, 300]), { ms: 150, from: 100 }],
    ["a backlog counts from the last answer", finished([10, 50], [20, 95], [30, 97]), { ms: 45, from: 50 }],
    ["quick failures are one stall", finished([10, 11], [100, 101, false], [200, 201, false], [300, 310]), { ms: 210, from: 100 }],
    ["a stall that nothing ends reaches the end", finished([10, 11], [600, 601, false]), { ms: 400, from: 600 }],
    ["nothing ever acknowledged", finished([100, 120, false]), { ms: 900, from: 100 }],
  ])("%s", (_, writes, want) => {
    expect(longestStall(writes, 0, 1000)).toEqual(want);
  });
});

describe("classify", () => {
  const database = (severity: string, code: string) => Object.assign(new pg.DatabaseError("told", 4, "error"), { severity, code });
  test.each([
    ["connection lost before commit", new Error("Connection terminated unexpectedly"), false, "failed", true],
    ["connection lost after commit", new Error("Connection terminated unexpectedly"), true, "unknown", true],
    ["backend ended before commit", database("FATAL", "57P01"), false, "failed", true],
    ["backend ended during commit", database("FATAL", "57P01"), true, "unknown", true],
    ["pooler lost its server during commit", database("FATAL", "08P01"), true, "unknown", true],
    ["gateway lost its shard during commit", database("ERROR", "08006"), true, "unknown", false],
    ["completion unknown", database("ERROR", "40003"), true, "unknown", false],
    ["serialization failure at commit", database("ERROR", "40001"), true, "failed", false],
    ["read-only server", database("ERROR", "25006"), true, "failed", false],
  ])("%s", (_, error, committing, outcome, broken) => {
    expect(classify(error, committing)).toMatchObject({ outcome, broken });
  });

  test("the error line has the SQLSTATE", () => {
    expect(classify(database("ERROR", "25006"), false).error).toBe("25006 told");
  });
});

describe("where load may go", () => {
  const url = (host: string) => `postgresql://app:hidden@${host}:6432/app?sslmode=require`;
  test.each(["127.0.0.1", "127.8.0.1", "localhost", "[::1]"])("%s is this machine", (host) => {
    expect(checkTarget("write", url(host), false)).toEqual([]);
  });

  test.each(["10.1.2.3", "172.31.0.1", "192.168.1.1", "pooler", "[fd00::2]"])("%s only with the flag", (host) => {
    const got = host.replace(/[[\]]/g, "");
    expect(checkTarget("write", url(host), false)).toEqual([
      { path: "write", got, want: "a host on this machine (127.0.0.1 or localhost)" },
    ]);
    expect(checkTarget("write", url(host), true)).toEqual([]);
  });

  test.each(["8.8.8.8", "172.32.0.1", "db.example.com", "[2001:db8::1]"])("%s never", (host) => {
    expect(checkTarget("write", url(host), true)).toEqual([
      { path: "write", got: host.replace(/[[\]]/g, ""), want: "a host on this machine, a private address or a Docker name" },
    ]);
  });

  test("a host in the query is the one that counts, and a password is never shown", () => {
    expect(checkTarget("read", `${url("127.0.0.1")}&host=db.example.com`, true)[0]).toMatchObject({ path: "read", got: "db.example.com" });
    expect(JSON.stringify(checkTarget("read", "postgresql://app:hidden@[bad/app", false))).not.toContain("hidden");
  });

  test("sslmode=require gets libpq's meaning, other URLs stay as they are", () => {
    expect(clientConfig(url("localhost")).connectionString).toBe(`${url("localhost")}&uselibpqcompat=true`);
    expect(clientConfig("postgresql://localhost/app").connectionString).toBe("postgresql://localhost/app");
    expect(new pg.Client(clientConfig(url("localhost"))).ssl).toMatchObject({ rejectUnauthorized: false });
  });

  test("every wrong option is named at once", () => {
    const problems = checkLoad({
      writeUrl: url("db.example.com"),
      readUrl: url("10.0.0.1"),
      ledger: "x",
      clients: 201,
      rate: 5001,
      readRate: 0,
      routed: 1.5,
      maxSeconds: 3601,
      table: "a; drop table b",
    });
    expect(problems).toEqual([
      { path: "write", got: "db.example.com", want: "a host on this machine (127.0.0.1 or localhost)" },
      { path: "read", got: "10.0.0.1", want: "a host on this machine (127.0.0.1 or localhost)" },
      { path: "clients", got: 201, want: "a whole number from 1 to 200" },
      { path: "rate", got: 5001, want: "a number from 0.1 to 5000" },
      { path: "readRate", got: 0, want: "a number from 0.1 to 5000" },
      { path: "routed", got: 1.5, want: "a number from 0 to 1" },
      { path: "seconds", got: 3601, want: "a number from 1 to 3600" },
      { path: "table", got: "a; drop table b", want: "1 to 55 of a-z, 0-9 and _, no digit first" },
    ]);
  });
});

describe("Schedule", () => {
  test("a late client finds every missed turn due, with its own intended start", async () => {
    const start = now() - 1000;
    const schedule = new Schedule(start, 100, start + 450);
    expect(schedule.overdue(start + 250)).toBe(3);
    expect(schedule.overdue(start + 9000)).toBe(5);
    const turns = [];
    for (let turn = await schedule.turn(); turn !== undefined; turn = await schedule.turn()) turns.push(turn - start);
    expect(turns.map(Math.round)).toEqual([0, 100, 200, 300, 400]);
    expect(schedule.overdue(start + 9000)).toBe(0);
  });

  test("stopping ends a wait; what was due before stays due", async () => {
    const start = now();
    const schedule = new Schedule(start - 50, 3_600_000, start + 10_000_000);
    expect(await schedule.turn()).toBe(start - 50);
    const waiting = schedule.turn();
    schedule.stop(now());
    expect(await waiting).toBeUndefined();
    expect(schedule.overdue(now())).toBe(0);
  });
});

describe("KnownRows", () => {
  const first = () => 0;
  test("a row that is being changed, or whose last change is in doubt, is not offered", () => {
    const known = new KnownRows();
    expect(known.pick(first)).toBeUndefined();
    known.acknowledge({ key: "a", user: 7 }, 0, 10);
    const picked = known.pick(first)!;
    expect(picked).toMatchObject({ key: "a", user: 7, counter: 0, since: 10 });
    known.begin("a");
    expect(known.pick(first)).toBeUndefined();
    expect(known.unchanged(picked)).toBe(false);
    known.cancel("a");
    expect(known.unchanged(picked)).toBe(true);
    known.acknowledge({ key: "a", user: 7 }, undefined, 20);
    expect(known.unchanged(picked)).toBe(false);
    expect(known.pick(() => 0.99)).toMatchObject({ key: "a", counter: undefined });
  });

  test("the oldest states are forgotten first, but never a newer state of the same row", () => {
    const known = new KnownRows(2);
    known.acknowledge({ key: "a", user: 7 }, 0, 1);
    known.acknowledge({ key: "a", user: 7 }, 1, 2);
    known.acknowledge({ key: "b", user: 7 }, 0, 3);
    expect(known.pick(first)).toMatchObject({ key: "b" });
    expect(known.pick(() => 0.99)).toMatchObject({ key: "a", counter: 1 });
    known.acknowledge({ key: "c", user: 7 }, 0, 4);
    expect(known.pick(() => 0.99)).toMatchObject({ key: "c" });
  });
});
