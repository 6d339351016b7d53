/**
 * What each shard is asked for, and what is made of the parts. Pure. The parts are put together by PostgreSQL, so that order, collations,
 * numbers and their types are what one table would have given.
 */
import { InputError, type Problem } from "../../plan/types.ts";
import { quote } from "../ids.ts";
import type { OrderBy } from "../page.ts";

/** Function, or function and column. `count` alone counts rows. */
export type Aggregate = "count" | readonly [kind: AggregateKind, column: string];
export type AggregateKind = (typeof KINDS)[number];
const KINDS = ["sum", "count", "min", "max", "avg"] as const;

export interface Shape {
  order?: readonly OrderBy[];
  limit?: number;
  /** Columns that make the groups of the aggregates. @default one group */
  groupBy?: readonly string[];
  /** Name of a column of the answer → how it comes about. */
  aggregates?: Readonly<Record<string, Aggregate>>;
}

/** A column of the shards' answers: what it is, and a column of the answer's type. */
interface Part {
  sql: string;
  /** SQL whose type is the part's. */
  like: string;
}

/** The answer's columns, in terms of its parts `p0`, `p1` … of types `t`. */
interface Output {
  name: string;
  whole: string;
  parts: readonly Part[];
  combine: (part: readonly string[], type: readonly string[]) => string;
}

/** Name of the column that carries a row's place. */
export const PLACE = "pgladder_place";

const of = (sql: string): string => `(${sql}\n) as q`;
const column = (name: string): string => `q.${quote(name)}`;
const limited = ({ limit }: Shape): string => (limit === undefined ? "" : ` limit ${limit}`);

/** @throws InputError with every problem. */
export function checkShape({ order = [], limit, groupBy = [], aggregates }: Shape): void {
  const problems: Problem[] = [];
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 1))
    problems.push({ path: "limit", got: limit, want: "a whole number from 1" });
  if (groupBy.length > 0 && aggregates === undefined) problems.push({ path: "groupBy", got: groupBy, want: "aggregates beside it" });
  for (const [name, aggregate] of Object.entries(aggregates ?? {})) {
    const [kind] = typeof aggregate === "string" ? [aggregate] : aggregate;
    if (!KINDS.includes(kind) || (typeof aggregate === "string" && aggregate !== "count"))
      problems.push({ path: `aggregates.${name}`, got: aggregate, want: `"count", or one of ${KINDS.join(", ")} with a column` });
    if (groupBy.includes(name)) problems.push({ path: `aggregates.${name}`, got: name, want: "a name that no column of groupBy has" });
  }
  const known = aggregates && [...groupBy, ...Object.keys(aggregates)];
  order.forEach(({ column }, i) => {
    if (known && !known.includes(column))
      problems.push({ path: `order[${i}].column`, got: column, want: `one of the answer's: ${known.join(", ")}` });
  });
  if (problems.length > 0) throw new InputError("onAllShards", problems);
}

/** `column` gives SQL for a column of the order. */
function orderBy({ order = [] }: Shape, column: (name: string, i: number) => string): string {
  const keys = order.map(({ column: name, direction = "asc", nulls }, i) => {
    return `${column(name, i)} ${direction === "desc" ? "desc" : "asc"}${nulls === undefined ? "" : ` nulls ${nulls === "first" ? "first" : "last"}`}`;
  });
  return keys.length > 0 ? ` order by ${keys.join(", ")}` : "";
}

/** The whole answer where one server has all rows. */
export function wholeSql(sql: string, shape: Shape): string {
  if (!shape.aggregates) return `select q.* from ${of(sql)}${orderBy(shape, column)}${limited(shape)}`;
  const outputs = outputsOf(shape, []);
  const groups = (shape.groupBy ?? []).map((_, i) => i + 1);
  const list = outputs.map(({ name, whole }) => `${whole} as ${quote(name)}`).join(", ");
  return `select ${list} from ${of(sql)}${grouping(groups)}${orderBy(shape, quote)}${limited(shape)}`;
}

/** Asks for the types, one row of texts, in the order that `partSql` and `combineSql` want them. */
export function typesSql(sql: string, shape: Shape): string {
  const likes = shape.aggregates
    ? outputsOf(shape, []).flatMap(({ parts }) => parts.map(({ like }) => like))
    : (shape.order ?? []).map(({ column: name }) => `any_value(${column(name)})`);
  return `select array[${likes.map((like) => `pg_typeof(${like})::text`).join(", ")}]::text[] as types from (select * from ${of(sql)} limit 0) as q`;
}

/** One shard's part: its first rows with their place in the order; or its groups, the parts' texts in `pgladder_place`. */
export function partSql(sql: string, shape: Shape, types: readonly string[]): string {
  if (!shape.aggregates) {
    const place = (shape.order ?? []).map(({ column: name }) => `${column(name)}::text`);
    const keys = place.length > 0 ? `, array[${place.join(", ")}] as ${quote(PLACE)}` : "";
    return `select q.*${keys} from ${of(sql)}${orderBy(shape, column)}${limited(shape)}`;
  }
  const parts = outputsOf(shape, types).flatMap((output) => output.parts);
  const groups = (shape.groupBy ?? []).map(column);
  return `select array[${parts.map(({ sql }) => `(${sql})::text`).join(", ")}] as ${quote(PLACE)} from ${of(sql)}${grouping(groups)}`;
}

/** Puts parts together: `$1`, `$2` … are the columns of all places. For rows in an order the answer is their positions, from 1. */
export function combineSql(shape: Shape, types: readonly string[]): string {
  const arrays = types.map((_, i) => `$${i + 1}::text[]`).join(", ");
  const names = types.map((_, i) => `p${i}`);
  const typed = types.map((type, i) => `p${i}::${type}`);
  if (!shape.aggregates) {
    const order = orderBy(shape, (_, i) => typed[i]!);
    return `select n::int as n from unnest(${arrays}) with ordinality as part(${names.join(", ")}, n)${order}, n${limited(shape)}`;
  }
  let at = 0;
  const list = outputsOf(shape, types).map(({ name, parts, combine }) => {
    const from = at;
    at += parts.length;
    return `${combine(typed.slice(from, at), types.slice(from, at))} as ${quote(name)}`;
  });
  const groups = (shape.groupBy ?? []).map((_, i) => i + 1);
  return `select ${list.join(", ")} from unnest(${arrays}) as part(${names.join(", ")})${grouping(groups)}${orderBy(shape, quote)}${limited(shape)}`;
}

const grouping = (groups: readonly (string | number)[]): string => (groups.length > 0 ? ` group by ${groups.join(", ")}` : "");

function outputsOf({ groupBy = [], aggregates = {} }: Shape, types: readonly string[]): Output[] {
  const outputs: Output[] = groupBy.map((name) => {
    const sql = column(name);
    return { name, whole: sql, parts: [{ sql, like: `any_value(${sql})` }], combine: ([part]) => part! };
  });
  let at = groupBy.length;
  for (const [name, aggregate] of Object.entries(aggregates)) {
    const output = outputOf(name, aggregate, types[at]);
    outputs.push(output);
    at += output.parts.length;
  }
  return outputs;
}

function outputOf(name: string, aggregate: Aggregate, type: string | undefined): Output {
  const [kind, sql] = typeof aggregate === "string" ? [aggregate, "*"] : [aggregate[0], column(aggregate[1])];
  const whole = `${kind}(${sql})`;
  const part = { sql: whole, like: whole };
  switch (kind) {
    case "min":
    case "max":
      return { name, whole, parts: [part], combine: ([p]) => `${kind}(${p})` };
    case "sum":
      // The sum of sums has a wider type than the sum.
      return { name, whole, parts: [part], combine: ([p], [t]) => `sum(${p})::${t}` };
    case "count":
      return { name, whole, parts: [part], combine: ([p]) => `sum(${p})::bigint` };
    case "avg": {
      const count = `count(${sql})`;
      const sum = { sql: `sum(${sql}::${type})`, like: `avg(${sql})` };
      return { name, whole, parts: [sum, { sql: count, like: count }], combine: ([s, c]) => `sum(${s}) / nullif(sum(${c}), 0)` };
    }
  }
}
