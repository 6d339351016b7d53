/** The example application's declarations fit its SQL. Cannot prove that PostgreSQL partitions it: the postgres tests do. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { EXAMPLE_SCHEMA, EXAMPLE_TABLES } from "../../plan/config/tables.ts";

const folder = new URL(`../../${EXAMPLE_SCHEMA}/`, import.meta.url);
const sql = readdirSync(folder)
  .filter((file) => file.endsWith(".sql"))
  .map((file) => readFileSync(new URL(file, folder), "utf8"))
  .join("\n");

/** Columns of each table's primary key. */
const keys = new Map(
  [...sql.matchAll(/^create table (\w+) \(\n([\s\S]*?)\n\)/gm)].map(([, table, body]) => {
    const key = /^ {2}primary key \((.*)\)/m.exec(body!)?.[1] ?? /^ {2}(\w+) .*\bprimary key\b/m.exec(body!)?.[1];
    return [table!, key!.split(", ")] as const;
  }),
);

/** Uniqueness over all users cannot be kept by shards, so these stay whole. */
const WHOLE = ["user_handles"];

describe("declared tables", () => {
  it("are those of sql/app", () => {
    expect(Object.keys(EXAMPLE_TABLES).sort()).toEqual([...keys.keys()].filter((table) => !WHOLE.includes(table)).sort());
  });

  it.each(Object.entries(EXAMPLE_TABLES))("%s: its primary key contains the columns that split it", (table, { partition, shardBy }) => {
    expect(keys.get(table)).toEqual(expect.arrayContaining([partition?.by, shardBy].filter((column) => column !== undefined)));
  });
});
