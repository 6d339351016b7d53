/** What is read of one side of a comparison: rows as hashes, in cells or by key. */
import pg from "pg";
import { bucketExpression } from "./sql.ts";
import type { GlobalTable, ShardedTable } from "./types.ts";

const quote = pg.escapeIdentifier;

/** A column and its type as SQL. */
export interface KeyColumn {
  name: string;
  type: string;
}

/** How the rows of a table are told apart and made into text. */
export interface Shape {
  key: readonly KeyColumn[];
  /** In the order of their names, so that it does not matter in which order a server has them. */
  columns: readonly KeyColumn[];
  /** Pages on disk, all partitions. */
  pages: number;
}

/** One side: its connection, the table as it is called there, and which of its rows count. */
export interface Rows {
  client: pg.Client;
  relation: string;
  /** null: every row. */
  condition: string | null;
}

export interface Cell {
  cell: number;
  count: number;
  /** Of the hashes of its rows; the order does not matter. */
  sum: bigint;
}

/** The row or rows of a key. */
export interface Row {
  key: readonly string[];
  cell: number;
  count: number;
  sum: string;
}

/** Settings by which texts of all types are the same on every server, and by which no policy leaves out rows unseen: it is an error instead. */
export async function prepareReader(client: pg.Client): Promise<void> {
  await client.query(`
    set search_path = pg_catalog; set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set extra_float_digits = 1;
    set bytea_output = 'hex'; set xmloption = 'content'; set lc_monetary = 'C'; set row_security = off; set statement_timeout = 0; set lock_timeout = '10s';
    set idle_in_transaction_session_timeout = '5min'; set client_min_messages = warning; set application_name = 'ladder verify'`);
}

/** Whom row security binds reads as ladder_upkeep, whom it does not. */
export async function readAsUpkeep({ client, relation }: Rows): Promise<void> {
  const { rows } = await client.query<{ free: boolean; schema: string }>(
    `select rolsuper or rolbypassrls as free, quote_ident(nspname) as schema from pg_roles, pg_class c join pg_namespace n on n.oid = relnamespace
      where rolname = current_user and c.oid = $1::regclass`,
    [relation],
  );
  const { free, schema } = rows[0]!;
  if (free) return;
  await client.query(
    `grant usage on schema ${schema} to ladder_upkeep; grant select, update on ${relation} to ladder_upkeep; set role ladder_upkeep`,
  );
}

/** Of a table without a primary key the index of its replica identity is the key; without either it has none. */
export async function readShape({ client, relation }: Rows): Promise<Shape> {
  const { rows } = await client.query<{ key: KeyColumn[] | null; columns: KeyColumn[]; pages: number }>(
    `select (select json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod)) order by o)
         from (select indkey, indnkeyatts from pg_index where indrelid = c.oid and (indisprimary or indisreplident) order by indisprimary desc limit 1) i,
           unnest(i.indkey::int2[]) with ordinality u(n, o) join pg_attribute a on a.attrelid = c.oid and a.attnum = u.n where o <= indnkeyatts) as key,
       (select json_agg(json_build_object('name', attname, 'type', format_type(atttypid, atttypmod)) order by attname collate "C")
         from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped) as columns,
       (select coalesce(sum(pg_relation_size(p)), 0) / 8192 from (select relid from pg_partition_tree(c.oid) union select c.oid) t (p))::float8 as pages
       from pg_class c where c.oid = $1::regclass`,
    [relation],
  );
  return { ...rows[0]!, key: rows[0]!.key ?? [] };
}

/** The SQL by which one side's rows become cells and hashes. */
export class Reader {
  readonly #rows: Rows;
  readonly #shape: Shape;
  readonly #cell: string;

  /** @param perBucket cells of each bucket, a power of two. */
  constructor(rows: Rows, shape: Shape, table: GlobalTable | ShardedTable, buckets: number, perBucket: number) {
    this.#rows = rows;
    this.#shape = shape;
    const bucket = "key" in table ? bucketExpression(table, buckets) : "0";
    const key = `row(${shape.key.map(({ name }) => quote(name)).join(", ")})::text`;
    this.#cell = `(${bucket} * ${perBucket} + (hashtextextended(${key}, 0) & ${perBucket - 1}))::int`;
  }

  get client(): pg.Client {
    return this.#rows.client;
  }

  get #hash(): string {
    return `hashtextextended(row(${this.#shape.columns.map(({ name }) => `t.${quote(name)}`).join(", ")})::text, 0)`;
  }

  get #where(): string {
    return this.#rows.condition ?? "true";
  }

  /** Count and sum of every cell that has rows, in one scan. */
  async cells(): Promise<Cell[]> {
    const { rows } = await this.client.query<[number, string, string]>({
      text: `select ${this.#cell}, count(*), sum(${this.#hash}) from ${this.#rows.relation} t where ${this.#where} group by 1`,
      rowMode: "array",
    });
    return rows.map(([cell, count, sum]) => ({ cell, count: Number(count), sum: BigInt(sum) }));
  }

  /** Every row of the cells. */
  async rowsOf(cells: readonly number[]): Promise<Row[]> {
    const { rows } = await this.client.query<Row>(
      `select array[${this.#keyTexts}] as key, ${this.#cell} as cell, count(*)::int as count, sum(${this.#hash})::text as sum
         from ${this.#rows.relation} t where ${this.#where} and ${this.#cell} = any ($1::int[]) group by ${this.#keyColumns}`,
      [cells],
    );
    return rows;
  }

  /** The rows that have one of the keys; held as they are until the transaction ends where `held`. */
  async rowsBy(keys: readonly (readonly string[])[], held = false): Promise<Row[]> {
    const types = this.#shape.key.map(({ type }, at) => `$${at + 1}::text[]::${type}[]`).join(", ");
    const names = this.#shape.key.map((_, at) => `ladder_k${at}`);
    const join = this.#shape.key.map(({ name }, at) => `t.${quote(name)} = ladder_k${at}`).join(" and ");
    const { rows } = await this.client.query<Row>(
      `with t as materialized (select t.* from unnest(${types}) as k (${names.join(", ")}) join ${this.#rows.relation} t on ${join}
           where ${this.#where} ${held ? "for share of t" : ""})
       select array[${this.#keyTexts}] as key, ${this.#cell} as cell, count(*)::int as count, sum(${this.#hash})::text as sum
         from t group by ${this.#keyColumns}`,
      this.#shape.key.map((_, at) => keys.map((key) => key[at]!)),
    );
    return rows;
  }

  get #keyColumns(): string {
    return this.#shape.key.map(({ name }) => `t.${quote(name)}`).join(", ");
  }

  get #keyTexts(): string {
    return this.#shape.key.map(({ name }) => `t.${quote(name)}::text`).join(", ");
  }
}
