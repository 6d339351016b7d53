/** Going through a table in the order of its key, a bounded part at a time. */
import pg from "pg";
import { copyName } from "./build.ts";
import type { Table } from "./catalog.ts";
import type { Conversion, KeyColumn } from "./store.ts";
import { writtenColumns } from "./sync.ts";

const quote = pg.escapeIdentifier;

/** Keys after `from` (exclusive) up to `to` (inclusive); null is the end. */
export interface Stretch {
  from: readonly string[] | null;
  to: readonly string[] | null;
}

/**
 * The next `rows` keys after `from`. The end is looked up before anything is locked, and is part of the condition afterwards: a row whose key is
 * changed while it is waited for must not carry the walk along with it.
 */
export async function nextStretch(
  client: pg.Client,
  table: string,
  key: readonly KeyColumn[],
  from: readonly string[] | null,
  rows: number,
): Promise<Stretch> {
  const values: string[] = [];
  const columns = key.map(({ name }) => quote(name)).join(", ");
  const { rows: found } = await client.query<Record<string, string>>(
    `select ${key.map(({ name }, at) => `${quote(name)}::text as k${at}`).join(", ")} from ${table} t
      where ${within({ from, to: null }, key, values)} order by ${columns} offset ${rows - 1} limit 1`,
    values,
  );
  const end = found[0];
  return { from, to: end ? key.map((_, at) => end[`k${at}`]!) : null };
}

/** The condition of a stretch; appends to `values`. */
function within({ from, to }: Stretch, key: readonly KeyColumn[], values: string[]): string {
  const columns = `(${key.map(({ name }) => `t.${quote(name)}`).join(", ")})`;
  const compare = (operator: string, bound: readonly string[]) =>
    `${columns} ${operator} (${bound.map((value, at) => `$${values.push(value)}::${key[at]!.type}`).join(", ")})`;
  return [...(from ? [compare(">", from)] : []), ...(to ? [compare("<=", to)] : []), "true"].join(" and ");
}

export interface Measure {
  rows: number;
  least: string | null;
  greatest: string | null;
}

/** Rows of a stretch and, where the partition column is a time, its smallest and largest one. */
export async function measureStretch(client: pg.Client, run: Conversion, table: Table, stretch: Stretch): Promise<Measure> {
  const values: string[] = [];
  const by = run.declaration?.kind === "range" ? `t.${quote(run.declaration.by)}` : "null::timestamptz";
  const { rows } = await client.query<Measure>(
    `select count(*)::float8 as rows, min(${by}) filter (where isfinite(${by}))::timestamptz::text as least,
       max(${by}) filter (where isfinite(${by}))::timestamptz::text as greatest
       from ${table.name} t where ${within(stretch, run.detail.sourceKey!, values)}`,
    values,
  );
  return rows[0]!;
}

/** Keeps the rows of a stretch from being changed until the transaction ends, and copies those that are not there yet. */
export async function copyStretch(client: pg.Client, run: Conversion, table: Table, stretch: Stretch): Promise<number> {
  const values: string[] = [];
  const columns = writtenColumns(table).map(quote).join(", ");
  const { rows } = await client.query<{ rows: number }>(
    `with taken as materialized (select * from ${table.name} t where ${within(stretch, run.detail.sourceKey!, values)} for share),
       put as (insert into ${copyName(run.id, run.table)} (${columns}) overriding system value select ${columns} from taken
                 on conflict (${run.detail.targetKey!.map(({ name }) => quote(name)).join(", ")}) do nothing)
     select count(*)::float8 as rows from taken`,
    values,
  );
  return rows[0]!.rows;
}

export interface Comparison {
  rows: number;
  same: boolean;
}

/** Compares number and contents of the rows of a stretch on both sides, in one snapshot. */
export async function compareStretch(client: pg.Client, run: Conversion, table: Table, stretch: Stretch): Promise<Comparison> {
  const values: string[] = [];
  const condition = within(stretch, run.detail.sourceKey!, values);
  const row = `row(${table.columns.map(({ name }) => `t.${quote(name)}`).join(", ")})::text`;
  const side = (name: string) =>
    `(select count(*) as rows, coalesce(sum(hashtextextended(${row}, 0)::numeric), 0) as sum from ${name} t where ${condition})`;
  const { rows } = await client.query<Comparison>(
    `select o.rows::float8 as rows, (o.rows, o.sum) = (n.rows, n.sum) as same from ${side(table.name)} o, ${side(copyName(run.id, run.table))} n`,
    values,
  );
  return rows[0]!;
}

/** `(user_id, id) from (7, 1) to the end`: the stretch as a reader needs it. */
export function describeStretch({ from, to }: Stretch, key: readonly KeyColumn[]): string {
  const show = (bound: readonly string[] | null, end: string) => (bound ? `(${bound.join(", ")})` : end);
  return `(${key.map(({ name }) => name).join(", ")}) from ${show(from, "the beginning")} to ${show(to, "the end")}`;
}
