/** Which partitions a copy gets: names as the upkeep of partitions gives them, bounds as SQL. */
import pg from "pg";
import type { Partition, Period } from "../../plan/config/tables.ts";

export interface NewPartition {
  name: string;
  /** `for values …` or `default`. */
  bounds: string;
}

/** More than this many partitions make every plan slow; a stray date far away is the usual cause. */
export const MOST_PARTITIONS = 2_000;
const LONGEST_NAME = 63;

/** The table's name, shortened so that the suffix fits, as pg_partman does. Names are counted in bytes. */
export function partitionName(table: string, suffix: string): string {
  let base = table;
  while (Buffer.byteLength(base + suffix) > LONGEST_NAME) base = base.slice(0, -1);
  return base + suffix;
}

/** Partitions by list or hash; those by time depend on the data. */
export function fixedPartitions(table: string, declaration: Exclude<Partition, { kind: "range" }>): NewPartition[] {
  if (declaration.kind === "hash")
    return Array.from({ length: declaration.modulus }, (_, remainder) => ({
      name: partitionName(table, `_${remainder}`),
      bounds: `for values with (modulus ${declaration.modulus}, remainder ${remainder})`,
    }));
  const listed = Object.entries(declaration.partitions).map(([name, values]) => ({
    name: partitionName(table, `_${name}`),
    bounds: `for values in (${values.map(pg.escapeLiteral).join(", ")})`,
  }));
  return [...listed, { name: partitionName(table, "_default"), bounds: "default" }];
}

export const partitionBy = (declaration: Partition, column: string): string => `partition by ${declaration.kind} (${column})`;

const STEPS: Record<Period, string> = { day: "1 day", week: "1 week", month: "1 month", quarter: "3 months", year: "1 year" };

/** How many periods lie between the table's first row and the last one that is made ahead. */
export async function countPeriods(
  client: pg.Client,
  every: Period,
  ahead: number,
  least: string | null,
  greatest: string | null,
): Promise<number> {
  const { rows } = await client.query<{ periods: number }>(`${PERIODS} select count(*)::float8 as periods from periods`, [
    every,
    STEPS[every],
    ahead,
    least,
    greatest,
  ]);
  return rows[0]!.periods;
}

/** All periods, UTC, weeks from Monday; one more than the greatest number allowed at most. */
const PERIODS = `
with ends as (
  select date_trunc($1, least(coalesce($4::timestamptz, now()), now()) at time zone 'UTC') as first,
         greatest(date_trunc($1, now() at time zone 'UTC') + $3::int * $2::interval, date_trunc($1, $5::timestamptz at time zone 'UTC')) as last),
 periods as (
  select first + n * $2::interval as start from ends, generate_series(0, ${MOST_PARTITIONS}) n where first + n * $2::interval <= last)`;

/** Partitions by time: from the first row to `ahead` periods from now or the last row, and one for the rest. */
export async function rangePartitions(
  client: pg.Client,
  table: string,
  { every, ahead }: Extract<Partition, { kind: "range" }>,
  least: string | null,
  greatest: string | null,
): Promise<NewPartition[]> {
  const { rows } = await client.query<{ suffix: string; start: string; next: string }>(
    `${PERIODS} select to_char(start, '"_p"YYYYMMDD') as suffix, to_char(start, 'YYYY-MM-DD HH24:MI:SS"+00"') as start,
       to_char(start + $2::interval, 'YYYY-MM-DD HH24:MI:SS"+00"') as next from periods order by periods.start`,
    [every, STEPS[every], ahead, least, greatest],
  );
  const timed = rows.map(({ suffix, start, next }) => ({
    name: partitionName(table, suffix),
    bounds: `for values from ('${start}') to ('${next}')`,
  }));
  return [...timed, { name: partitionName(table, "_default"), bounds: "default" }];
}
