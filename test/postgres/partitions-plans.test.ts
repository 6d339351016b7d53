/** Pruning: a query that names its time reads one partition, of 12 and of 1,200. Plans on real PostgreSQL 17; cannot prove how fast they are. */
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startPostgres, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let client: Client;

beforeAll(async () => {
  server = await startPostgres();
  client = await (await server.createDatabase()).connect();
  for (const [unit, count] of [
    ["month", 12],
    ["day", 1200],
  ] as const)
    await client.query(`
      create table ${unit}s (id bigint, user_id bigint, at timestamptz, primary key (user_id, id, at)) partition by range (at);
      create table ${unit}s_default partition of ${unit}s default;
      do $$ begin
        for n in 0..${count - 1} loop
          execute format('create table ${unit}s_%s partition of ${unit}s for values from (%L) to (%L)', n,
            timestamptz '2020-01-01Z' + n * interval '1 ${unit}', timestamptz '2020-01-01Z' + (n + 1) * interval '1 ${unit}');
        end loop;
      end $$`);
});
afterAll(() => server?.stop());

interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  Plans?: Plan[];
}

/** What the plan reads; a ModifyTable names the whole table. */
const relations = (plan: Plan): string[] => [
  ...(plan["Relation Name"] && plan["Node Type"] !== "ModifyTable" ? [plan["Relation Name"]] : []),
  ...(plan.Plans ?? []).flatMap(relations),
];

async function scanned(sql: string): Promise<string[]> {
  const { rows } = await client.query<{ "QUERY PLAN": { Plan: Plan }[] }>(`explain (format json) ${sql}`);
  return [...new Set(relations(rows[0]!["QUERY PLAN"][0]!.Plan))].sort();
}

describe.each([
  ["months", 12, "2020-04-10Z", "months_3", ["months_3", "months_4"], "2020-05-02Z"],
  ["days", 1200, "2022-12-31Z", "days_1095", ["days_1095", "days_1096"], "2023-01-01 12:00Z"],
])("%s: %d partitions", (table, count, at, one, two, until) => {
  test("a point and a span in time", async () => {
    expect(await scanned(`select * from ${table} where at = '${at}'`)).toEqual([one]);
    expect(await scanned(`select count(*) from ${table} where user_id = 1 and at >= '${at}' and at < '${until}'`)).toEqual(two);
    expect(await scanned(`delete from ${table} where at = '${at}' and user_id = 1`)).toEqual([one]);
    expect(await scanned(`select * from ${table} where user_id = 1`)).toHaveLength(count + 1);
  });

  test("a time that is known only when the statement runs", async () => {
    await client.query(`set plan_cache_mode = force_generic_plan; prepare at_time (timestamptz) as select * from ${table} where at = $1`);
    expect(await scanned(`execute at_time ('${at}')`)).toEqual([one]);
    await client.query("deallocate at_time; reset plan_cache_mode");
  });
});
