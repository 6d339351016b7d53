/** What the tests of partitions share: declarations, and tables of a log kind. */
import type { Client } from "pg";
import { declareTables } from "../../agent/tables/declare.ts";
import type { WrittenTable } from "../../plan/config/schema.ts";
import { tableConfig } from "../../plan/config/tables.ts";
import type { Desired } from "../../plan/desired.ts";

/** Declares tables as an `up` does; returns what was logged. */
export async function declare(client: Client, tables: Readonly<Record<string, WrittenTable>>): Promise<string[]> {
  const log: string[] = [];
  const configs = Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, tableConfig(table)]));
  await declareTables(client, { tables: configs, partitions: false } as Partial<Desired> as Desired, (line) => log.push(line));
  return log;
}

/** A partitioned table `logs` of the application, with an index, a generated column and an identity. */
export const LOGS = `
  set role app;
  create table logs (
    id bigint generated always as identity, at timestamptz not null, level smallint not null default 1, body text,
    loud text generated always as (upper(body)) stored, primary key (id, at)) partition by range (at);
  create index logs_level on logs (level, at);
  reset role;`;

/** First day of the month that is `months` from now, in UTC. */
export function month(months: number): Date {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, 1));
}

/** Name of a month's partition as pg_partman gives it. */
export const named = (table: string, months: number): string => `${table}_p${month(months).toISOString().slice(0, 10).replaceAll("-", "")}`;

/** Partition -> number of its rows, without those that hold none. */
export async function rowsIn(client: Client, table: string): Promise<Record<string, number>> {
  const { rows } = await client.query<{ partition: string; rows: number }>(
    `select tableoid::regclass::text as partition, count(*)::int as rows from ${table} group by 1 order by 1`,
  );
  return Object.fromEntries(rows.map((row) => [row.partition, row.rows]));
}

export async function partitionsOf(client: Client, table: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    "select inhrelid::regclass::text as name from pg_inherits where inhparent = $1::regclass order by 1",
    [table],
  );
  return rows.map((row) => row.name);
}
