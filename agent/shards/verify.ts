/** Proves that two servers have the same rows of a table while one of them is written and the other follows by logical replication. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { ShardClass } from "../../plan/shards.ts";
import { classCondition, qualified } from "./sql.ts";
import type { GlobalTable, Server, ShardedTable } from "./types.ts";
import { type Cell, type KeyColumn, prepareReader, Reader, type Row, type Rows, readAsUpkeep, readShape } from "./verify-rows.ts";

export interface VerifySide {
  server: Pick<Server, "connect">;
  /** The table's schema there. @default the table's own */
  schema?: string;
  /** Only the rows of this class count. @default all */
  class?: ShardClass | null;
}

export interface VerifyOptions {
  /** What is written. */
  source: VerifySide;
  /** What follows. */
  target: VerifySide;
  table: ShardedTable | GlobalTable;
  buckets: number;
  /** Waits until the target has everything that the source had committed before this position in its log. */
  applied: (lsn: string) => Promise<void>;
}

export interface Difference {
  /** `(user_id, id) = (7, 1)` */
  key: string;
  bucket: number;
  what: "missing" | "extra" | "changed" | "doubled";
}

export interface Verified {
  /** Rows of each bucket at the time of the scan; one bucket for a table without a shard key. */
  rows: readonly number[];
  /** Keys that were looked at again, because rows had changed between the looks at the two sides. */
  settled: number;
}

/** The target does not have the source's rows. */
export class RowsDiffer extends Error {
  override readonly name = "RowsDiffer";
  readonly table: string;
  /** Not all: the first that were proven. */
  readonly differences: readonly Difference[];

  constructor(table: string, differences: readonly Difference[]) {
    const shown = differences.slice(0, MOST_SHOWN).map(({ what, key, bucket }) => `${what} ${key} of bucket ${bucket}`);
    const more = differences.length > MOST_SHOWN ? ` and ${differences.length - MOST_SHOWN} or more others` : "";
    super(`${table}: got other rows than the source has: ${shown.join(", ")}${more}`);
    this.table = table;
    this.differences = differences;
  }
}

const MOST_SHOWN = 20;
/** Cells of a scan: what is kept in memory of each side, some 20 MB. */
const MOST_CELLS = 2 ** 17;
/** Rows that are read at a time when cells are compared by key. */
const MOST_ROWS = 100_000;
/** Keys that are looked at again at a time. */
const MOST_KEYS = 1_000;
/** Looks without a lock: replication has brought nearly everything by then. */
const FREE_LOOKS = 5;
/** Looks after which a key that was never there in the source counts as one that it did not have in between either. */
const ABSENT_LOOKS = 12;
/** How long rows of the source are held for a look, ms, and how many of them. */
const HOLD = 500;
const MOST_HELD = 100;

/**
 * Compares the rows of a table, of all columns by name. Each side is scanned once, in cells of some ten rows; of cells that differ the rows are
 * compared by key, and what still differs is read again from the source, then from the target when that has applied what the source had. Both
 * sides are then at one position of the log for the row. Rows that keep changing are held in the source for half a second at the most.
 *
 * @throws RowsDiffer with the keys, when a row differs although the target has applied what the source had.
 */
export async function verifyTable(options: VerifyOptions): Promise<Verified> {
  const clients: pg.Client[] = [];
  const open = async ({ server, schema, class: rows }: VerifySide): Promise<Rows> => {
    const client = await server.connect();
    clients.push(client);
    await prepareReader(client);
    const { table } = options;
    const condition = "key" in table && rows && rows.modulus > 1 ? classCondition(table, rows) : null;
    const side = { client, relation: qualified(table, schema), condition };
    await readAsUpkeep(side);
    return side;
  };
  try {
    return await compare(await open(options.source), await open(options.target), options);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }
}

interface Pair {
  source: Reader;
  target: Reader;
  applied: VerifyOptions["applied"];
}

async function compare(from: Rows, to: Rows, { source: { class: rows }, table, buckets, applied }: VerifyOptions): Promise<Verified> {
  const shape = await readShape(from);
  if (shape.key.length === 0) throw new Error(`${from.relation}: got no primary key, want one: rows are compared by it`);
  const there = await readShape(to);
  const list = (columns: readonly KeyColumn[]) => columns.map(({ name, type }) => `${name} ${type}`).join(", ");
  if (list(there.columns) !== list(shape.columns))
    throw new Error(`${to.relation}: got the columns ${list(there.columns)}, want those of the source: ${list(shape.columns)}`);
  const count = "key" in table ? buckets : 1;
  const perBucket = cellsPerBucket(shape.pages, count / Math.min(count, rows?.modulus ?? 1));
  const reader = (side: Rows) => new Reader(side, shape, table, buckets, perBucket);
  const pair: Pair = { source: reader(from), target: reader(to), applied };

  const { cells, differing } = await scan(pair);
  let settled = 0;
  for (const page of pages(differing)) {
    const suspects = differ(await pair.source.rowsOf(page), await pair.target.rowsOf(page));
    settled += suspects.length;
    const proven: Unequal[] = [];
    for (let at = 0; at < suspects.length && proven.length <= MOST_SHOWN; at += MOST_KEYS)
      proven.push(...(await settle(pair, suspects.slice(at, at + MOST_KEYS))));
    if (proven.length > 0)
      throw new RowsDiffer(
        from.relation,
        proven.map((one) => describe(one, shape.key, perBucket)),
      );
  }
  const perRow = new Array<number>(count).fill(0);
  for (const { cell, count: many } of cells) perRow[Math.floor(cell / perBucket)]! += many;
  return { rows: perRow, settled };
}

/** Cells of each bucket: about one for each page of the table on disk. */
function cellsPerBucket(pagesOnDisk: number, buckets: number): number {
  const wanted = Math.min(Math.max(pagesOnDisk, 1), MOST_CELLS) / buckets;
  return 2 ** Math.max(0, Math.floor(Math.log2(wanted)));
}

/** Scans both sides at the same time; the target not before it has what the source had when its scan began. */
async function scan({ source, target, applied }: Pair): Promise<{ cells: Cell[]; differing: Map<number, number> }> {
  await source.client.query("begin isolation level repeatable read");
  let both: [Cell[], Cell[]];
  try {
    await applied(await mark(source.client));
    both = await Promise.all([source.cells(), target.cells()]);
  } finally {
    await source.client.query("commit");
  }
  const [cells, others] = both;
  const left = new Map(others.map((other) => [other.cell, other]));
  const differing = new Map<number, number>();
  for (const { cell, count, sum } of cells) {
    const other = left.get(cell);
    left.delete(cell);
    if (other?.count !== count || other.sum !== sum) differing.set(cell, Math.max(count, other?.count ?? 0));
  }
  for (const { cell, count } of left.values()) differing.set(cell, count);
  return { cells, differing };
}

/** Cells that together have no more rows than are read at a time; at least one. */
function* pages(cells: ReadonlyMap<number, number>): Generator<number[]> {
  let page: number[] = [];
  let rows = 0;
  for (const [cell, count] of cells) {
    if (page.length > 0 && rows + count > MOST_ROWS) {
      yield page;
      [page, rows] = [[], 0];
    }
    page.push(cell);
    rows += count;
  }
  if (page.length > 0) yield page;
}

/** A position in the source's log, written down there, after everything that it has committed. */
async function mark(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ lsn: string }>("select pg_logical_emit_message(false, 'ladder', 'verify', true)::text as lsn");
  return rows[0]!.lsn;
}

interface Unequal {
  key: readonly string[];
  cell: number;
  here: Row | undefined;
  there: Row | undefined;
}

const nameOf = (key: readonly string[]): string => key.join("\0");
const same = (a: Row | undefined, b: Row | undefined): boolean => a?.count === b?.count && a?.sum === b?.sum;

/** Keys whose rows are not the same in both lists. */
function differ(source: readonly Row[], target: readonly Row[]): Unequal[] {
  const there = new Map(target.map((row) => [nameOf(row.key), row]));
  const found: Unequal[] = [];
  for (const row of source) {
    const other = there.get(nameOf(row.key));
    there.delete(nameOf(row.key));
    if (!same(row, other)) found.push({ key: row.key, cell: row.cell, here: row, there: other });
  }
  return [...found, ...[...there.values()].map((row) => ({ key: row.key, cell: row.cell, here: undefined, there: row }))];
}

/** Looks at the keys again until none differs, or until enough are proven to differ. */
async function settle(pair: Pair, suspects: readonly Unequal[]): Promise<Unequal[]> {
  const proven: Unequal[] = [];
  const absences = new Map<string, Absence>();
  let keys = suspects.map(({ key }) => key);
  for (let look = 0; keys.length > 0 && proven.length <= MOST_SHOWN; look++) {
    if (look > 0) await sleep(Math.min(10 * 2 ** look, 200));
    const hold = look >= FREE_LOOKS;
    const present = hold ? keys.filter((key) => !absences.has(nameOf(key))) : [];
    const later = new Set(present.slice(MOST_HELD));
    const looked = keys.filter((key) => !later.has(key));
    const { before, there, after, held, oldest, next } = await lookAgain(pair, looked, hold);
    const now = new Map(after.map((row) => [nameOf(row.key), row]));
    keys = [...later];
    for (const one of differ(before, there)) {
      const name = nameOf(one.key);
      if (same(one.there, now.get(name))) continue;
      const absence = absences.get(name) ?? { since: next, looks: 0 };
      if (one.here ?? now.get(name)) absences.delete(name);
      else absences.set(name, { ...absence, looks: absence.looks + (oldest >= absence.since ? 1 : 0) });
      if ((held && one.here) || (absences.get(name)?.looks ?? 0) >= ABSENT_LOOKS) proven.push(one);
      else keys.push(one.key);
    }
  }
  return proven;
}

/**
 * A key that the source did not have. Looks count when the transactions that were under way at the first have ended: a commit that waits for a
 * synchronous replica may have been sent to the target already.
 */
interface Absence {
  since: bigint;
  looks: number;
}

interface Look {
  before: Row[];
  there: Row[];
  after: Row[];
  /** The source's rows could not change between the look at them and the one at the target. */
  held: boolean;
  /** The oldest transaction under way in the source, and the next one to come. */
  oldest: bigint;
  next: bigint;
}

async function lookAgain({ source, target, applied }: Pair, keys: readonly (readonly string[])[], hold: boolean): Promise<Look> {
  const { rows } = await source.client.query<{ oldest: string; next: string }>(
    "select pg_snapshot_xmin(s)::text as oldest, pg_snapshot_xmax(s)::text as next from pg_current_snapshot() s",
  );
  const at = { oldest: BigInt(rows[0]!.oldest), next: BigInt(rows[0]!.next) };
  const locked = hold ? await take(source, keys) : undefined;
  try {
    const before = locked ?? (await source.rowsBy(keys));
    const arrived = applied(await mark(source.client));
    const held = locked !== undefined && (await Promise.race([arrived.then(() => true), sleep(HOLD, false)]));
    if (!held) await source.client.query("commit");
    await arrived;
    const there = await target.rowsBy(keys);
    await source.client.query("commit");
    return { before, there, after: await source.rowsBy(keys), held, ...at };
  } catch (error) {
    await source.client.query("rollback").catch(() => undefined);
    throw error;
  }
}

/** Begins a transaction that holds the rows; undefined when others hold them. */
async function take(source: Reader, keys: readonly (readonly string[])[]): Promise<Row[] | undefined> {
  await source.client.query("begin; set local lock_timeout = '50ms'");
  try {
    return await source.rowsBy(keys, true);
  } catch (error) {
    await source.client.query("rollback").catch(() => undefined);
    if (error instanceof pg.DatabaseError && (error.code === "55P03" || error.code === "40P01")) return undefined;
    throw error;
  }
}

function describe({ key, cell, here, there }: Unequal, columns: readonly KeyColumn[], perBucket: number): Difference {
  const values = `(${columns.map(({ name }) => name).join(", ")}) = (${key.join(", ")})`;
  const what = here === undefined ? "extra" : there === undefined ? "missing" : there.count > here.count ? "doubled" : "changed";
  return { key: values, bucket: Math.floor(cell / perBucket), what };
}
