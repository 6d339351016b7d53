/** What the catalog says of a table: the columns and how their values are written as text. */
import { InputError } from "../plan/types.ts";
import { quoteTable, type TableName } from "./ids.ts";
import type { Row } from "./transaction.ts";

export interface Column {
  name: string;
  /** As in a cast, `numeric(10,2)`. */
  type: string;
  notNull: boolean;
  /** Name of the type itself, below domains: `int4`, `jsonb`; of an array, of its elements. */
  base: string;
  array: boolean;
}

export interface Table {
  /** Quoted. */
  sql: string;
  columns: ReadonlyMap<string, Column>;
  /** Empty where there is no primary key. */
  primaryKey: readonly string[];
  /** Row-level security applies to us: COPY is refused. */
  secured: boolean;
}

/** Runs a statement: on a replica, or in a transaction. */
export type Query = <R extends Row>(sql: string, values: readonly unknown[]) => Promise<R[]>;

const DESCRIBE = `
  with recursive below as (
    select a.attnum, t.oid, t.typtype, t.typbasetype from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped
    union all
    select below.attnum, t.oid, t.typtype, t.typbasetype from below join pg_type t on t.oid = below.typbasetype where below.typtype = 'd'
  )
  select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as "notNull",
         t.typcategory = 'A' as "array", coalesce(e.typname, t.typname) as base,
         array_position(k.conkey, a.attnum) as "keyPosition", row_security_active(a.attrelid) as secured
  from pg_attribute a
  join below on below.attnum = a.attnum and below.typtype <> 'd'
  join pg_type t on t.oid = below.oid
  left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
  left join pg_constraint k on k.conrelid = a.attrelid and k.contype = 'p'
  where a.attrelid = to_regclass($1) order by a.attnum`;

/** @throws InputError when there is no such table. */
export async function describeTable(query: Query, name: TableName): Promise<Table> {
  const sql = quoteTable(name);
  const rows = await query<Column & { keyPosition: number | null; secured: boolean }>(DESCRIBE, [sql]);
  if (rows.length === 0) throw new InputError("table", [{ path: "table", got: name, want: "a table or view that can be seen" }]);
  const key = rows.filter((row) => row.keyPosition !== null).sort((a, b) => a.keyPosition! - b.keyPosition!);
  return {
    sql,
    columns: new Map(rows.map(({ name, type, notNull, base, array }) => [name, { name, type, notNull, base, array }])),
    primaryKey: key.map((row) => row.name),
    secured: rows[0]!.secured,
  };
}

/** @throws InputError that names every column that the table has not. */
export function columnsOf(table: Table, names: readonly string[], path: string): Column[] {
  const unknown = names.filter((name) => !table.columns.has(name));
  if (unknown.length > 0)
    throw new InputError(
      "table",
      unknown.map((got) => ({ path, got, want: `a column of ${table.sql}: ${[...table.columns.keys()].join(", ")}` })),
    );
  return names.map((name) => table.columns.get(name)!);
}
