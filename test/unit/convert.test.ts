/** What of a conversion is computed without a server: batches, progress, names, and the statements that a longer key breaks. */
import { describe, expect, test } from "vitest";
import { partitionName } from "../../agent/convert/partitions.ts";
import { describeDuration, describeProgress, nextBatch } from "../../agent/convert/progress.ts";
import { conflictOnKey } from "../../agent/convert/statements.ts";
import { timeOrder } from "../../agent/convert/steps.ts";

test.each([
  [500, 20, 500],
  [500, 40, 250],
  [500, 400, 250],
  [500, 1, 1000],
  [500, 0, 1000],
  [4000, 5, 5000],
  [30, 1000, 20],
  [500, Number.POSITIVE_INFINITY, 250],
])("a batch of %d rows that took %d ms: %d rows next", (rows, took, next) => expect(nextBatch(rows, took)).toBe(next));

test.each([
  [0, "1 s"],
  [59, "59 s"],
  [90, "2 min"],
  [9_000, "2.5 h"],
])("%d s: %s", (seconds, text) => expect(describeDuration(seconds)).toBe(text));

const RUN = { schema: "public", table: "messages", rowsTotal: 1_000, rowsDone: 430, rate: 10 };
test.each([
  [{ ...RUN, state: "copying" }, "messages: copying 43 %, about 57 s left"],
  [{ ...RUN, state: "verifying", rate: null }, "messages: verifying 43 %"],
  // Rows that came meanwhile.
  [{ ...RUN, state: "copying", rowsDone: 2_000 }, "messages: copying 99 %"],
  [{ ...RUN, state: "copying", rowsTotal: 0 }, "messages: copying"],
  [{ ...RUN, state: "measuring", schema: "crm", rowsDone: 50_000 }, "crm.messages: measuring, 50,000 rows so far"],
  [{ ...RUN, state: "building" }, "messages: building"],
] as const)("%j: %s", (run, text) => expect(describeProgress(run)).toBe(text));

test.each([
  ["messages", "_p20260101", "messages_p20260101"],
  ["m".repeat(60), "_default", `${"m".repeat(55)}_default`],
  // Bytes, not characters.
  ["ü".repeat(30), "_p20260101", `${"ü".repeat(26)}_p20260101`],
])("a partition of %s with %s: %s", (table, suffix, name) => expect(partitionName(table, suffix)).toBe(name));

test("times are compared by their year first", () => {
  const times = ["2026-01-01 00:00:00+00", "0044-03-15 00:00:00+00 BC", "10000-01-01 00:00:00+00", "2025-12-31 23:59:59.9+00"];
  expect(times.toSorted(timeOrder)).toEqual([times[1], times[3], times[0], times[2]]);
});

describe("ON CONFLICT that relies on the primary key", () => {
  const events = { schema: "public", table: "events", key: ["id"], constraint: "events_pkey" };
  test.each([
    ["insert into events (id) values ($1) on conflict (id) do nothing", "on conflict (id)"],
    ['INSERT INTO public.Events AS e VALUES ($1) ON CONFLICT ( "id" ) DO UPDATE SET x = 1', 'ON CONFLICT ( "id" )'],
    ["with a as (select 1) insert\n into events select * from a on\n conflict(ID) do nothing", "on\n conflict(ID)"],
    ["insert into events values ($1) on conflict on constraint events_pkey do nothing", "on conflict on constraint events_pkey"],
    ["insert into events values ($1) on conflict (id, at) do nothing", undefined],
    ["insert into events values ($1) on conflict do nothing", undefined],
    ["insert into events values ($1) on conflict (slug) do nothing", undefined],
    ["insert into crm.events values ($1) on conflict (id) do nothing", undefined],
    ["insert into other select id from events on conflict (id) do nothing", undefined],
    ['insert into "Events" values ($1) on conflict (id) do nothing', undefined],
  ])("%s", (statement, clause) => expect(conflictOnKey(statement, events)).toBe(clause));

  test("of several columns, in any order, and quoted", () => {
    const log = { schema: "crmData", table: "EventLog", key: ["eventId", "accountId"], constraint: "PK_EventLog" };
    const insert = 'insert into "crmData"."EventLog" values ($1) on conflict';
    expect(conflictOnKey(`${insert} ("accountId", "eventId") do nothing`, log)).toBe('on conflict ("accountId", "eventId")');
    expect(conflictOnKey(`${insert} on constraint "PK_EventLog" do nothing`, log)).toBe('on conflict on constraint "PK_EventLog"');
    expect(conflictOnKey(`${insert} ("eventId") do nothing`, log)).toBeUndefined();
  });
});
