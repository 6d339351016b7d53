/** Many keys in one statement, instead of one statement for each (N+1). */
import DataLoader from "dataloader";
import { InputError } from "../plan/types.ts";
import { columnsOf, type Query, type Table } from "./catalog.ts";
import { quote, quoteList, type TableName } from "./ids.ts";
import { checkLimit, type OrderBy, orderText, totalOrder } from "./page.ts";
import { toText } from "./text.ts";
import type { Row } from "./transaction.ts";

export interface TopOptions<K> {
  table: TableName;
  /** Column that makes the groups. */
  group: string;
  /** The groups that are wanted, by their value of `group`. */
  keys: readonly K[];
  /** What comes first; completed by the primary key. */
  orderBy: readonly OrderBy[];
  /** Rows of a group at most, 1 to 10,000. */
  limit: number;
  /** @default all */
  columns?: readonly string[];
  /** A condition in SQL with `$1`…, and its values. */
  where?: string;
  values?: readonly unknown[];
}

export interface LoaderOptions {
  /** @default all */
  columns?: readonly string[];
  /** Keys of one statement. @default 1000 */
  batch?: number;
}

/** One column's value; for several columns, theirs in the same order. */
export type LoaderKey = string | number | bigint | Date | readonly unknown[];

const POSITION = "pgladder_position";
const RANK = "pgladder_rank";
const BATCH = 1000;

/** LATERAL: an index on (group, order) is asked `limit` rows for each group, however large the groups are. */
export async function topPerGroup<R extends Row, K>(query: Query, table: Table, options: TopOptions<K>): Promise<Map<K, R[]>> {
  const { group, keys, orderBy, limit, columns = [...table.columns.keys()], where = "true", values = [] } = options;
  checkLimit(limit);
  columnsOf(table, columns, "columns");
  const [by] = columnsOf(table, [group], "group");
  const order = orderText(totalOrder(table, orderBy));
  const distinct = [...new Set(keys)];
  const n = values.length;
  const rows = await query<Row>(
    `select wanted.${quote(POSITION)}::int as ${quote(POSITION)}, found.*
     from unnest($${n + 1}::${by!.type}[]) with ordinality as wanted(pgladder_key, ${quote(POSITION)})
     cross join lateral (
       select ${quoteList(columns)}, row_number() over (order by ${order}) as ${quote(RANK)}
       from ${table.sql} where ${quote(group)} = wanted.pgladder_key and (${where}) order by ${order} limit $${n + 2}
     ) as found order by wanted.${quote(POSITION)}, found.${quote(RANK)}`,
    [...values, toText(distinct, { base: by!.base, array: true }), limit],
  );
  const groups = byPosition<R>(rows, distinct.length);
  return new Map(distinct.map((key, i) => [key, groups[i]!]));
}

/**
 * Collects the keys that are asked for in one turn of the event loop and reads them together.
 * @returns for each key its rows
 */
export function makeLoader<R extends Row, K extends LoaderKey>(
  query: Query,
  describe: () => Promise<Table>,
  key: string | readonly string[],
  { columns, batch = BATCH }: LoaderOptions,
): DataLoader<K, R[], string> {
  const names = typeof key === "string" ? [key] : key;
  const load = async (keys: readonly K[]) => {
    const table = await describe();
    const wanted = columns ?? [...table.columns.keys()];
    columnsOf(table, wanted, "columns");
    const by = columnsOf(table, names, "key");
    const arrays = by.map(({ base }, column) =>
      toText(
        keys.map((one) => partsOf(one, by.length)[column]),
        { base, array: true },
      ),
    );
    const rows = await query<Row>(
      `select wanted.${quote(POSITION)}::int as ${quote(POSITION)}, ${wanted.map((name) => `found.${quote(name)}`).join(", ")}
       from unnest(${by.map(({ type }, i) => `$${i + 1}::${type}[]`).join(", ")})
         with ordinality as wanted(${by.map((_, i) => `k${i}`).join(", ")}, ${quote(POSITION)})
       join ${table.sql} as found on ${by.map(({ name }, i) => `found.${quote(name)} = wanted.k${i}`).join(" and ")}`,
      arrays,
    );
    return byPosition<R>(rows, keys.length);
  };
  return new DataLoader<K, R[], string>(load, { maxBatchSize: batch, cacheKeyFn: (one) => JSON.stringify(partsOf(one).map(String)) });
}

function partsOf(key: LoaderKey, length?: number): readonly unknown[] {
  const parts = Array.isArray(key) ? key : [key];
  if (length !== undefined && parts.length !== length)
    throw new InputError("loader", [{ path: "key", got: parts.map(String), want: `${length} values, one for each column` }]);
  return parts;
}

function byPosition<R extends Row>(rows: readonly Row[], length: number): R[][] {
  const groups: R[][] = Array.from({ length }, () => []);
  for (const { [POSITION]: position, [RANK]: _, ...row } of rows) groups[position - 1]!.push(row as R);
  return groups;
}
