/**
 * Row by row: what the ledger says the table must hold against what it holds. Pure. Both sides arrive sorted by key and are merged, so
 * memory does not grow with the run; only writes with an unknown outcome are remembered.
 */
import type { Kind, Outcome, ServerRow } from "./model.ts";

/**
 * Kinds of damage. `lost`: an acknowledged row is gone. `doubled`: a key is there more than once, or a statement touched more than one row.
 * `wrong`: a row's counter or id is not what was acknowledged. `resurrected`: an acknowledged delete is undone. `phantom`: a row that nobody
 * wrote, or whose insert was answered with an error. `vanished`: an acknowledged update or delete answered "0 rows" for a row that had been
 * acknowledged. `torn`: a transaction of unknown outcome is there in part. `duplicateId`: the server gave one id to two rows.
 */
export const DAMAGE_KINDS = ["lost", "doubled", "wrong", "resurrected", "phantom", "vanished", "torn", "duplicateId"] as const;
export type DamageKind = (typeof DAMAGE_KINDS)[number];

export interface Damage {
  count: number;
  /** The first few, in words. */
  examples: string[];
}
export type DamageReport = Record<DamageKind, Damage>;

/** One operation as the ledger holds it, oldest first within a key. */
export interface LedgerOperation {
  write: number;
  kind: Kind;
  outcome: Outcome;
  rows: number | null;
  id: string | null;
}

export interface KeyHistory {
  key: string;
  operations: readonly LedgerOperation[];
}

export interface Comparison {
  damage: DamageReport;
  /** Keys in the ledger and rows in the table. */
  keys: number;
  rows: number;
  /** Writes of unknown outcome (pending ones included) that the table holds, and that it does not. */
  unknownFound: number;
  unknownMissing: number;
}

const EXAMPLES = 10;

export function noDamage(): DamageReport {
  const none = (): Damage => ({ count: 0, examples: [] });
  return {
    lost: none(),
    doubled: none(),
    wrong: none(),
    resurrected: none(),
    phantom: none(),
    vanished: none(),
    torn: none(),
    duplicateId: none(),
  };
}

export function addDamage(report: DamageReport, kind: DamageKind, example: string, count = 1): void {
  report[kind].count += count;
  if (report[kind].examples.length < EXAMPLES) report[kind].examples.push(example);
}

interface State {
  present: boolean;
  counter: number;
}

const ABSENT: State = { present: false, counter: 0 };

function apply(kind: Kind, state: State): State {
  if (kind === "insert") return { present: true, counter: 0 };
  if (kind === "delete") return ABSENT;
  return { ...state, counter: state.counter + 1 };
}

const same = (a: State, b: State) => a.present === b.present && (!a.present || a.counter === b.counter);

/** The states that a row may be in, and the last operation whose outcome only the table can tell. */
interface Expected {
  /** As far as acknowledged operations go. */
  sure: State;
  open?: { write: number; applied: State };
  id: string | null;
  deleted: boolean;
}

/** Unknown operations end a key's history: the load leaves such a row alone from then on. */
function expect({ key, operations }: KeyHistory, damage: DamageReport): Expected {
  const expected: Expected = { sure: ABSENT, id: null, deleted: false };
  for (const { kind, outcome, rows, id, write } of operations) {
    if (outcome === "unknown" || outcome === "pending") expected.open = { write, applied: apply(kind, expected.sure) };
    if (outcome !== "acknowledged") continue;
    if (rows === 0) {
      addDamage(damage, "vanished", `${key}: ${kind} of write ${write} was acknowledged with 0 rows`);
      continue;
    }
    if (rows !== 1) addDamage(damage, "doubled", `${key}: ${kind} of write ${write} touched ${rows} rows`);
    expected.sure = apply(kind, expected.sure);
    if (kind === "insert") expected.id = id;
    if (kind === "delete") expected.deleted = true;
  }
  return expected;
}

class Comparer {
  readonly damage = noDamage();
  keys = 0;
  rows = 0;
  readonly #open = new Map<number, { applied: number; missing: number }>();
  readonly #idTaken: (id: string, key: string) => boolean;
  readonly #openIds = new Map<string, string>();

  constructor(idTaken: (id: string, key: string) => boolean) {
    this.#idTaken = idTaken;
  }

  key(history: KeyHistory, rows: readonly ServerRow[]): void {
    this.keys++;
    const { key } = history;
    const { sure, open, id, deleted } = expect(history, this.damage);
    const row = rows[0];
    const found: State = row ? { present: true, counter: row.counter } : ABSENT;
    if (rows.length > 1) addDamage(this.damage, "doubled", `${key}: ${rows.length} rows`, rows.length - 1);
    if (open) this.#settle(open.write, same(found, open.applied));
    if (row && !deleted && id !== null && row.id !== id) addDamage(this.damage, "wrong", `${key}: got id ${row.id}, want ${id}`);
    if (row && row.id !== id) this.#claim(row);
    if (same(found, sure) || (open && same(found, open.applied))) return;
    const wanted = open?.applied.present ? open.applied : sure;
    if (!row) addDamage(this.damage, "lost", `${key}: acknowledged with counter ${sure.counter}, not in the table`);
    else if (wanted.present) this.#wrong(key, row.counter, open ? [sure, open.applied] : [sure]);
    else if (deleted) addDamage(this.damage, "resurrected", `${key}: acknowledged as deleted, in the table with counter ${row.counter}`);
    else addDamage(this.damage, "phantom", `${key}: its insert was answered with an error, yet it is in the table`);
  }

  phantom(row: ServerRow): void {
    addDamage(this.damage, "phantom", `${row.key}: in the table with counter ${row.counter}, never written`);
    this.#claim(row);
  }

  finish(): Comparison {
    let unknownFound = 0;
    let unknownMissing = 0;
    for (const [write, { applied, missing }] of this.#open) {
      if (applied > 0 && missing > 0)
        addDamage(this.damage, "torn", `write ${write}: ${applied} of ${applied + missing} operations are in the table`);
      if (applied > 0) unknownFound++;
      else unknownMissing++;
    }
    return { damage: this.damage, keys: this.keys, rows: this.rows, unknownFound, unknownMissing };
  }

  #wrong(key: string, got: number, states: readonly State[]): void {
    const want = states.filter((state) => state.present).map((state) => state.counter);
    const off = got - (got > Math.max(...want) ? Math.max(...want) : Math.min(...want));
    const what = off > 0 ? `${off} too many` : `${-off} lost`;
    addDamage(this.damage, "wrong", `${key}: got counter ${got}, want ${want.join(" or ")} (${what})`);
  }

  #settle(write: number, applied: boolean): void {
    const seen = this.#open.get(write) ?? { applied: 0, missing: 0 };
    this.#open.set(write, applied ? { ...seen, applied: seen.applied + 1 } : { ...seen, missing: seen.missing + 1 });
  }

  /** The id of a row that the ledger has not seen acknowledged must not belong to any other row. */
  #claim({ id, key }: ServerRow): void {
    const other = this.#openIds.get(id);
    if ((other !== undefined && other !== key) || this.#idTaken(id, key))
      addDamage(this.damage, "duplicateId", `id ${id}: ${key} has the id of another row`);
    this.#openIds.set(id, key);
  }
}

/**
 * Merges the ledger's keys with the table's rows.
 * @param histories the ledger, sorted by key.
 * @param rows the table, sorted by key; the order of PostgreSQL's uuid type and of lower-case UUID text is the same.
 * @param idTaken whether the ledger knows the id as another key's. Ids given twice within the ledger are the ledger's own query.
 */
export async function compare(
  histories: Iterable<KeyHistory>,
  rows: AsyncIterable<ServerRow>,
  idTaken: (id: string, key: string) => boolean,
): Promise<Comparison> {
  const comparer = new Comparer(idTaken);
  const table = rows[Symbol.asyncIterator]();
  const advance = async (): Promise<ServerRow | undefined> => {
    const step = await table.next();
    if (step.done) return undefined;
    comparer.rows++;
    return step.value;
  };
  let row = await advance();
  for (const history of histories) {
    for (; row && row.key < history.key; row = await advance()) comparer.phantom(row);
    const own: ServerRow[] = [];
    for (; row && row.key === history.key; row = await advance()) own.push(row);
    comparer.key(history, own);
  }
  for (; row; row = await advance()) comparer.phantom(row);
  return comparer.finish();
}
