/** Many rows at once: COPY above 1,000, multi-row inserts below; upserts both ways. One call is one transaction: all rows or none. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { from as copyFrom } from "pg-copy-streams";
import { InputError, type Problem } from "../plan/types.ts";
import { type Column, columnsOf, describeTable, type Query, type Table } from "./catalog.ts";
import { quote, quoteList, type TableName } from "./ids.ts";
import { copyLine, toText } from "./text.ts";
import type { Row, Transaction } from "./transaction.ts";

/** A row by column names. Null is NULL; undefined is a mistake. */
export type BulkRow = Readonly<Record<string, unknown>>;
export type Rows = Iterable<BulkRow> | AsyncIterable<BulkRow>;

export interface Conflict {
  /** Columns of the unique index. Two rows of one call must differ in them: PostgreSQL refuses to update a row twice (21000). */
  columns: readonly string[];
  /** What happens to a row that is there: it stays, or these columns take the new values. @default all given columns outside `columns` */
  update?: "nothing" | readonly string[];
}

export interface BulkOptions {
  /** @default the first row's keys; every row must have exactly these */
  columns?: readonly string[];
  conflict?: Conflict;
  /** More rows than this go by COPY. @default 1000 */
  copyAbove?: number;
}

export interface BulkResult {
  /** Rows inserted or updated. */
  count: number;
  way: "copy" | "insert";
}

/** The requirement documents' limit. */
export const COPY_ABOVE = 1000;
/** Parameters of one statement: the protocol counts them in 16 bits. */
const MOST_PARAMETERS = 65_535;
/** Rows that a temporary table holds at a time. */
const STAGED = 50_000;
/** Characters sent at a time. */
const CHUNK = 65_536;
const MOST_PROBLEMS = 20;

export async function bulkInsert(tx: Transaction, name: TableName, rows: Rows, options: BulkOptions): Promise<BulkResult> {
  const source = peekable(rows);
  try {
    return await load(source, tx, name, options);
  } finally {
    await source.close();
  }
}

async function load(source: Source, tx: Transaction, name: TableName, options: BulkOptions): Promise<BulkResult> {
  const { conflict, copyAbove = COPY_ABOVE } = options;
  const first = await source.take(copyAbove + 1);
  const names = options.columns ?? Object.keys(first[0] ?? {});
  if (first.length === 0) return { count: 0, way: "insert" };
  if (names.length === 0) throw new InputError("bulkInsert", [{ path: "rows[0]", got: {}, want: "at least one column" }]);
  const query: Query = async <R extends Row>(sql: string, values: readonly unknown[]) => (await tx.query<R>(sql, values)).rows;
  const table = await describeTable(query, name);
  const work = new Load(tx, table, columnsOf(table, names, "columns"), conflict);
  if (first.length <= copyAbove) return { count: await work.insert(first), way: "insert" };
  return { count: await work.copy(chain(first, source.rest())), way: "copy" };
}

class Load {
  readonly #tx: Transaction;
  readonly #table: Table;
  readonly #columns: readonly Column[];
  readonly #list: string;
  readonly #onConflict: string;
  #seen = 0;

  constructor(tx: Transaction, table: Table, columns: readonly Column[], conflict: Conflict | undefined) {
    this.#tx = tx;
    this.#table = table;
    this.#columns = columns;
    this.#list = quoteList(columns.map(({ name }) => name));
    this.#onConflict = conflict ? onConflict(table, columns, conflict) : "";
  }

  async insert(rows: readonly BulkRow[]): Promise<number> {
    const width = this.#columns.length;
    const texts = this.#checked(rows);
    const most = Math.floor(MOST_PARAMETERS / width);
    let count = 0;
    for (let at = 0; at < texts.length; at += most) {
      const part = texts.slice(at, at + most);
      const tuples = part.map((_, row) => `(${this.#columns.map((_, column) => `$${row * width + column + 1}`).join(", ")})`);
      const sql = `insert into ${this.#table.sql} (${this.#list}) values ${tuples.join(", ")}${this.#onConflict}`;
      count += (await this.#tx.query(sql, part.flat())).count;
    }
    return count;
  }

  /** Straight into the table where COPY may; else through a temporary table, which is gone with the transaction, so a pooler is no trouble. */
  async copy(rows: AsyncIterable<BulkRow>): Promise<number> {
    if (this.#onConflict === "" && !this.#table.secured) return this.#send(this.#table.sql, rows);
    const staging = quote("pgladder_staging");
    await this.#tx.query(`create temporary table ${staging} on commit drop as select ${this.#list} from ${this.#table.sql} with no data`);
    let count = 0;
    const source = peekable(rows);
    for (;;) {
      const copied = await this.#send(staging, source.upTo(STAGED));
      const sql = `insert into ${this.#table.sql} (${this.#list}) select ${this.#list} from ${staging}${this.#onConflict}`;
      count += (await this.#tx.query(sql)).count;
      if (copied < STAGED) break;
      await this.#tx.query(`truncate ${staging}`);
    }
    await this.#tx.query(`drop table ${staging}`);
    return count;
  }

  async #send(target: string, rows: AsyncIterable<BulkRow>): Promise<number> {
    const stream = this.#tx.client.query(copyFrom(`copy ${target} (${this.#list}) from stdin`));
    await this.#tx.watch(pipeline(Readable.from(this.#lines(rows), { objectMode: false }), stream));
    return stream.rowCount;
  }

  async *#lines(rows: AsyncIterable<BulkRow>): AsyncGenerator<string> {
    let chunk = "";
    for await (const row of rows) {
      chunk += copyLine(this.#checked([row])[0]!);
      if (chunk.length < CHUNK) continue;
      yield chunk;
      chunk = "";
    }
    if (chunk !== "") yield chunk;
  }

  /** The rows' texts. @throws InputError with the first problems of these rows. */
  #checked(rows: readonly BulkRow[]): (string | null)[][] {
    const problems: Problem[] = [];
    const texts = rows.map((row) => {
      const at = `rows[${this.#seen++}]`;
      for (const { name } of this.#columns)
        if (row[name] === undefined) problems.push({ path: `${at}.${name}`, got: undefined, want: "a value or null" });
      if (Object.keys(row).length > this.#columns.length)
        for (const key of Object.keys(row))
          if (!this.#columns.some(({ name }) => name === key))
            problems.push({ path: `${at}.${key}`, got: "a value", want: `only ${this.#list}` });
      return this.#columns.map((column) => toText(row[column.name], column));
    });
    if (problems.length > 0) throw new InputError("bulkInsert", problems.slice(0, MOST_PROBLEMS));
    return texts;
  }
}

function onConflict(table: Table, columns: readonly Column[], { columns: key, update }: Conflict): string {
  columnsOf(table, key, "conflict.columns");
  const target = ` on conflict (${quoteList(key)}) do`;
  if (update === "nothing") return `${target} nothing`;
  const names = update ?? columns.map(({ name }) => name).filter((name) => !key.includes(name));
  columnsOf(table, names, "conflict.update");
  if (names.length === 0) return `${target} nothing`;
  return `${target} update set ${names.map((name) => `${quote(name)} = excluded.${quote(name)}`).join(", ")}`;
}

/** A source that is read in parts; what was not taken stays. */
function peekable(rows: Rows) {
  const iterator = Symbol.asyncIterator in rows ? rows[Symbol.asyncIterator]() : rows[Symbol.iterator]();
  async function* upTo(count: number): AsyncGenerator<BulkRow> {
    for (let taken = 0; taken < count; taken++) {
      const { done, value } = await iterator.next();
      if (done) return;
      yield value;
    }
  }
  async function take(count: number): Promise<BulkRow[]> {
    const taken: BulkRow[] = [];
    for await (const row of upTo(count)) taken.push(row);
    return taken;
  }
  return {
    upTo,
    rest: () => upTo(Number.POSITIVE_INFINITY),
    take,
    /** Lets the source free what it holds, a file for one. */
    close: async () => void (await iterator.return?.()),
  };
}

type Source = ReturnType<typeof peekable>;

async function* chain(first: readonly BulkRow[], rest: AsyncIterable<BulkRow>): AsyncGenerator<BulkRow> {
  yield* first;
  yield* rest;
}
