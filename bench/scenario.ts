/** What every scenario gets and gives. */
import type { Client } from "pg";
import type { Comparison } from "./measure.ts";

export interface Place {
  /** A superuser's session in a database of the bench alone. */
  client: Client;
  /** Of a Valkey of the bench alone. */
  cacheUrl: string;
  /** Rows of a large table. */
  rows: number;
}

export interface Prepared {
  comparisons: readonly Comparison[];
  /** What no ratio says: plans, bytes a row. */
  facts?: readonly string[];
  /** Closes what the scenario opened. */
  end?: () => Promise<void>;
}

export interface Scenario {
  name: string;
  prepare: (place: Place) => Promise<Prepared>;
}

/** The one value of a query's only row, as a number. */
export async function numberOf(client: Client, sql: string): Promise<number> {
  const { rows } = await client.query<unknown[]>({ text: sql, rowMode: "array" });
  return Number(rows[0]?.[0]);
}

/** The lines of a plan. */
export async function planOf(client: Client, sql: string): Promise<string[]> {
  const { rows } = await client.query<[string]>({ text: `explain (costs off) ${sql}`, rowMode: "array" });
  return rows.map(([line]) => line);
}

export const counted = new Intl.NumberFormat("en-US").format;
