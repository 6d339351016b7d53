/**
 * Pages by key: the next page begins after the last row's place in the order, found by an index. No OFFSET, so page 1,000 costs what page 1
 * costs, and rows that come or go meanwhile neither repeat a row nor hide one.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import { InputError } from "../plan/types.ts";
import { type Column, columnsOf, type Query, type Table } from "./catalog.ts";
import { quote, quoteList, type TableName } from "./ids.ts";
import type { Row } from "./transaction.ts";

export interface OrderBy {
  column: string;
  /** @default "asc" */
  direction?: "asc" | "desc";
  /** @default PostgreSQL's: last for asc, first for desc */
  nulls?: "first" | "last";
}

export interface PageOptions {
  table: TableName;
  /** @default all */
  columns?: readonly string[];
  /** A condition in SQL with `$1`…, and its values. The same for every page. */
  where?: string;
  values?: readonly unknown[];
  /** Directions may be mixed. Columns of the primary key that are missing are put behind, so that the order is total. */
  orderBy: readonly OrderBy[];
  /** Rows of a page, 1 to 10,000. */
  limit: number;
  /** `next` of the page before. @default the first page */
  after?: string;
}

export interface Page<R extends Row> {
  rows: R[];
  /** Where the next page begins; undefined on the last page. May be sent to a browser: it holds the last row's ordering values, readable. */
  next: string | undefined;
}

/** One column of a total order. */
export interface Key extends Pick<Column, "name" | "type" | "notNull"> {
  descending: boolean;
  nullsFirst: boolean;
}

const MOST = 10_000;
/** Name of the column that carries a row's place. */
const PLACE = "pgladder_place";
const Cursor = z.tuple([z.string()], z.union([z.string(), z.null()]));

export function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MOST) return;
  throw new InputError("limit", [{ path: "limit", got: limit, want: `a whole number from 1 to ${MOST}` }]);
}

export async function readPage<R extends Row>(query: Query, table: Table, options: PageOptions): Promise<Page<R>> {
  const { columns = [...table.columns.keys()], where = "true", values = [], orderBy, limit, after } = options;
  checkLimit(limit);
  columnsOf(table, columns, "columns");
  const keys = totalOrder(table, orderBy);
  const order = orderText(keys);
  const signature = createHash("sha256").update(`${table.sql} ${order}`).digest("base64url").slice(0, 8);
  const from = after === undefined ? undefined : keyset(keys, readCursor(after, signature, keys.length), values.length + 1);
  const rows = await query<Row>(
    `select ${quoteList(columns)}, array[${keys.map(({ name }) => `${quote(name)}::text`).join(", ")}] as ${quote(PLACE)}
     from ${table.sql} where (${where})${from ? ` and ${from.sql}` : ""} order by ${order} limit $${values.length + (from?.values.length ?? 0) + 1}`,
    [...values, ...(from?.values ?? []), limit + 1],
  );
  const more = rows.length > limit;
  const page = rows.slice(0, limit);
  const last: unknown[] = page.at(-1)?.[PLACE] ?? [];
  const next = more ? Buffer.from(JSON.stringify([signature, ...last])).toString("base64url") : undefined;
  return { rows: page.map(({ [PLACE]: _, ...row }) => row as R), next };
}

/** @throws InputError for unknown columns, and for a table whose rows have no total order. */
export function totalOrder(table: Table, orderBy: readonly OrderBy[]): Key[] {
  const { primaryKey } = table;
  if (primaryKey.length === 0) throw new InputError("page", [{ path: "table", got: table.sql, want: "a table with a primary key" }]);
  const named = orderBy.map(({ column }) => column);
  const direction = orderBy.at(-1)?.direction ?? "asc";
  const all: OrderBy[] = [...orderBy, ...primaryKey.filter((name) => !named.includes(name)).map((column) => ({ column, direction }))];
  return columnsOf(
    table,
    all.map(({ column }) => column),
    "orderBy",
  ).map(({ name, type, notNull }, i) => {
    const descending = all[i]!.direction === "desc";
    return { name, type, notNull, descending, nullsFirst: (all[i]!.nulls ?? (descending ? "first" : "last")) === "first" };
  });
}

/** Where nulls cannot be, nothing is said of them: an index in the usual order fits. */
export function orderText(keys: readonly Key[]): string {
  const nulls = ({ notNull, nullsFirst }: Key) => (notNull ? "" : ` nulls ${nullsFirst ? "first" : "last"}`);
  return keys.map((key) => `${quote(key.name)} ${key.descending ? "desc" : "asc"}${nulls(key)}`).join(", ");
}

/**
 * The condition "comes after this place", its parameters numbered from `first`. Rows are compared as a whole where the directions are one and
 * nulls cannot be: one range of an index. Otherwise column by column, with a bound on the first that an index can begin at.
 */
export function keyset(keys: readonly Key[], place: readonly (string | null)[], first: number): { sql: string; values: (string | null)[] } {
  const values: (string | null)[] = [];
  const parameters = keys.map(({ type }, i) => {
    if (place[i] === null) return "null";
    values.push(place[i]!);
    return `$${first + values.length - 1}::${type}`;
  });
  const operator = ({ descending }: Key) => (descending ? "<" : ">");
  const [leading] = keys;
  if (keys.every(({ notNull, descending }) => notNull && descending === leading!.descending))
    return { sql: `(${quoteList(keys.map(({ name }) => name))}) ${operator(leading!)} (${parameters.join(", ")})`, values };

  const same = (i: number) => `${quote(keys[i]!.name)} ${place[i] === null ? "is null" : `= ${parameters[i]}`}`;
  const further = (i: number) => {
    const { notNull, nullsFirst } = keys[i]!;
    const name = quote(keys[i]!.name);
    if (place[i] === null) return nullsFirst ? `${name} is not null` : undefined;
    const beyond = `${name} ${operator(keys[i]!)} ${parameters[i]}`;
    return notNull || nullsFirst ? beyond : `(${beyond} or ${name} is null)`;
  };
  const ways = keys.flatMap((_, i) => {
    const beyond = further(i);
    return beyond === undefined ? [] : [[...keys.slice(0, i).map((_, before) => same(before)), beyond].join(" and ")];
  });
  const bound = leading!.notNull ? `${quote(leading!.name)} ${operator(leading!)}= ${parameters[0]} and ` : "";
  return { sql: `${bound}(${ways.join(" or ") || "false"})`, values };
}

function readCursor(text: string, signature: string, length: number): (string | null)[] {
  const fail = (want: string): never => {
    throw new InputError("page", [{ path: "after", got: text, want }]);
  };
  let raw: unknown;
  try {
    raw = JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    return fail("`next` of an earlier page");
  }
  const { success, data } = Cursor.safeParse(raw);
  if (!success) return fail("`next` of an earlier page");
  const [signed, ...place] = data;
  return signed === signature && place.length === length ? place : fail("`next` of an earlier page of the same table in the same order");
}
