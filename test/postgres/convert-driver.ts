/** Drives conversions as the mover does, without a cluster. */
import type { Client } from "pg";
import { advanceConversions, type ConvertOptions } from "../../agent/convert/index.ts";
import type { WrittenTable } from "../../plan/config/schema.ts";
import { type TableConfig, tableConfig } from "../../plan/config/tables.ts";
import type { TestDatabase } from "../support/postgres.ts";

export type Tables = Record<string, WrittenTable>;

export const declare = (tables: Tables): Record<string, TableConfig> =>
  Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, tableConfig(table)]));

export class Driver {
  readonly log: string[] = [];
  /** What the mover would have shown. */
  readonly shown: string[] = [];
  tables: Tables;
  partitions = true;
  readonly #db: TestDatabase;

  constructor(db: TestDatabase, tables: Tables) {
    this.#db = db;
    this.tables = tables;
  }

  /** One piece of work. */
  async advance(more: Partial<ConvertOptions> = {}): Promise<string | undefined> {
    const note = (line: string) => this.log.push(line);
    const connect = () => this.#db.connect();
    const shown = await advanceConversions({
      ...{ connect, tables: declare(this.tables), partitions: this.partitions, log: note, done: note },
      ...more,
    });
    if (shown !== undefined) this.shown.push(shown);
    return shown;
  }

  /** Until nothing is to be done. */
  async settle(more: Partial<ConvertOptions> = {}): Promise<void> {
    for (let looks = 0; looks < 2_000; looks++) if ((await this.advance(more)) === undefined) return;
    throw new Error(`not settled: ${this.shown.at(-1)}`);
  }

  /** One piece of work after the other until the table is in that state. */
  async until(admin: Client, table: string, state: string): Promise<void> {
    for (let looks = 0; looks < 2_000; looks++) {
      if ((await stateOf(admin, table)).state === state) return;
      await this.advance({ slice: 0 as never });
    }
    throw new Error(`${table} did not come to ${state}`);
  }
}

export interface State {
  state: string;
  error: string | null;
  problems: { object: string; level: string; why: string; fix: string }[];
}

export async function stateOf(admin: Client, table: string): Promise<State> {
  const { rows } = await admin.query<State>(
    "select state, error, problems from ladder.conversion where table_name = $1 order by id desc limit 1",
    [table],
  );
  return rows[0] ?? { state: "none", error: null, problems: [] };
}
