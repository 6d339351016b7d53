/** Rows of ladder.conversion: what a conversion has to remember, so that another process can go on with it. */
import type pg from "pg";
import type { Partition } from "../../plan/config/tables.ts";

export const STATES = ["checking", "blocked", "measuring", "building", "syncing", "copying", "verifying", "swapping"] as const;
export type State = (typeof STATES)[number] | "kept" | "done" | "failed" | "undone";

/** States in which the table has not changed places with its copy. */
export const UNDER_WAY: readonly string[] = STATES;

export type Direction = "partition" | "plain";

/** Something that the check found about a table. */
export interface Finding {
  object: string;
  /** "blocks": nothing is begun. "costs": it goes on, and this is what changes. */
  level: "blocks" | "costs";
  why: string;
  /** SQL, or what to do. */
  fix: string;
}

/** A column of a key: its name and its type as SQL. */
export interface KeyColumn {
  name: string;
  type: string;
}

export interface Detail {
  /** Primary key of the source. */
  sourceKey?: readonly KeyColumn[];
  /** Primary key of the target: the source's, with the partition column at the end where it was missing. */
  targetKey?: readonly KeyColumn[];
  /** Schemas of the operators that compare keys, beside pg_catalog. */
  operators?: readonly string[];
  /** Who reads and writes rows: see Table.runner. */
  runner?: string;
  /** ladder.table_definition of the source when the copy was begun. */
  definition?: string;
  /** ladder.table_columns of the source. */
  columns?: string;
  /** User triggers of the source, with pg_trigger.tgenabled. */
  triggers?: readonly { name: string; enabled: string }[];
  /** Smallest and largest value of the partition column. */
  least?: string | null;
  greatest?: string | null;
  /** Partitions, and foreign keys, that the copy has so far. */
  partitions?: number;
  foreignKeys?: number;
  /** Foreign keys to the table that the swap has made again, not yet validated. */
  unvalidated?: readonly { table: number; name: string }[];
  /** The platform's partition jobs know the table. */
  adopted?: boolean;
  /** Swapped on the way to shards, which have a way back of their own: the old table is not kept. */
  onward?: boolean;
  /** The operator wants a failed or undone conversion to begin again. */
  again?: boolean;
}

export interface Conversion {
  id: string;
  schema: string;
  table: string;
  direction: Direction;
  declaration: Partition | null;
  state: State;
  paused: boolean;
  source: number | null;
  target: number | null;
  cursor: readonly string[] | null;
  rowsTotal: number;
  rowsDone: number;
  rate: number | null;
  batch: number;
  problems: readonly Finding[];
  detail: Detail;
  /** Seconds since the last piece of work. */
  idle: number;
  error: string | null;
}

const READ = `select id, schema_name as schema, table_name as table, direction, declaration, state, paused, source, target, cursor,
  rows_total::float8 as "rowsTotal", rows_done::float8 as "rowsDone", rate, batch, problems, detail, error,
  extract(epoch from clock_timestamp() - changed)::float8 as idle from ladder.conversion`;

/** The last run of every table that has had one. */
export async function lastRuns(client: pg.Client): Promise<Conversion[]> {
  const { rows } = await client.query<Conversion>(
    `select * from (select distinct on (schema, "table") * from (${READ}) r order by schema, "table", id::bigint desc) l order by id::bigint`,
  );
  return rows;
}

export async function readConversion(client: pg.Client, id: string): Promise<Conversion> {
  const { rows } = await client.query<Conversion>(`${READ} where id = $1`, [id]);
  return rows[0]!;
}

export async function beginConversion(
  client: pg.Client,
  run: Pick<Conversion, "schema" | "table" | "direction" | "declaration" | "source">,
): Promise<Conversion> {
  const { rows } = await client.query<{ id: string }>(
    "insert into ladder.conversion (schema_name, table_name, direction, declaration, source) values ($1, $2, $3, $4, $5) returning id",
    [run.schema, run.table, run.direction, run.declaration && JSON.stringify(run.declaration), run.source],
  );
  return readConversion(client, rows[0]!.id);
}

export type Change = Partial<
  Pick<Conversion, "state" | "target" | "cursor" | "rowsTotal" | "rowsDone" | "rate" | "batch" | "problems" | "error"> & { detail: Detail }
>;

const COLUMNS: Record<keyof Change, string> = {
  state: "state",
  target: "target",
  cursor: "cursor",
  rowsTotal: "rows_total",
  rowsDone: "rows_done",
  rate: "rate",
  batch: "batch",
  problems: "problems",
  error: "error",
  detail: "detail",
};

/** Writes what has changed, into the object and into the table; of `detail` only the given keys. Part of the caller's transaction. */
export async function remember(client: pg.Client, run: Conversion, change: Change): Promise<void> {
  const entries = Object.entries(change) as [keyof Change, unknown][];
  const sets = entries.map(([key], at) =>
    key === "detail" ? `detail = ${COLUMNS[key]} || $${at + 2}::jsonb` : `${COLUMNS[key]} = $${at + 2}`,
  );
  const values = entries.map(([key, value]) => (key === "detail" || key === "problems" ? JSON.stringify(value) : value));
  await client.query(`update ladder.conversion set ${["changed = clock_timestamp()", ...sets].join(", ")} where id = $1`, [
    run.id,
    ...values,
  ]);
  Object.assign(run, change, { detail: { ...run.detail, ...change.detail } });
}
