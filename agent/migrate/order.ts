/**
 * The order of migration files, and which `.sql` files are no migrations. Pure.
 * Understood: `001_x.sql`, `20240101120000_x.sql`, Flyway's `V1.2__x.sql`, `R__x.sql`, `U1__x.sql`, `x.up.sql` beside `x.down.sql`,
 * and one folder a migration (`20240101_init/up.sql`).
 */

interface Key {
  version: bigint[] | undefined;
  rest: string;
}

const UNDO_NAME = /^(down|undo|rollback|revert)$/i;

function keyOf(segment: string): Key {
  const flyway = /^[Vv](\d+(?:[._]\d+)*)__(.*)$/.exec(segment);
  const plain = /^(\d+(?:\.\d+)*)(.*)$/.exec(segment);
  const [, version, rest] = flyway ?? plain ?? [];
  if (version === undefined) return { version: undefined, rest: segment };
  return { version: version.split(/[._]/).map(BigInt), rest: rest ?? "" };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareNumbers(a: readonly bigint[], b: readonly bigint[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i] ?? -1n, b[i] ?? -1n];
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

function compareNatural(a: string, b: string): number {
  const [as, bs] = [a.match(/\d+|\D+/g) ?? [], b.match(/\d+|\D+/g) ?? []];
  for (let i = 0; i < Math.min(as.length, bs.length); i++) {
    const [x, y] = [as[i]!, bs[i]!];
    const order = /^\d/.test(x) && /^\d/.test(y) ? compareNumbers([BigInt(x)], [BigInt(y)]) : compareText(x, y);
    if (order !== 0) return order;
  }
  return as.length - bs.length;
}

function compareSegments(a: string, b: string): number {
  const [x, y] = [keyOf(a), keyOf(b)];
  if (x.version && y.version) return compareNumbers(x.version, y.version) || compareNatural(x.rest, y.rest);
  if (x.version || y.version) return x.version ? -1 : 1;
  return compareNatural(x.rest, y.rest);
}

/** Flyway's `R__x.sql`: runs after all the others, and again whenever its text changes. */
export function isRepeatable(name: string): boolean {
  return /(^|\/)R__[^/]*\.sql$/i.test(name);
}

/** Orders two paths relative to the folder: numbers by value, then text by code point; never by locale, so the same on every machine. */
export function compareNames(a: string, b: string): number {
  const [ra, rb] = [isRepeatable(a), isRepeatable(b)];
  if (ra !== rb) return ra ? 1 : -1;
  const [as, bs] = [a.split("/"), b.split("/")];
  for (let i = 0; i < Math.min(as.length, bs.length); i++) {
    const order = compareSegments(as[i]!, bs[i]!);
    if (order !== 0) return order;
  }
  return as.length - bs.length || compareText(a, b);
}

/** Why a `.sql` file is not run (it undoes another one), or undefined when it is a migration. `siblings`: all paths of the folder. */
export function whyLeftOut(name: string, siblings: ReadonlySet<string>): string | undefined {
  const segments = name.split("/");
  const base = segments.pop()!.replace(/\.sql$/i, "");
  const folder = segments.find((s) => UNDO_NAME.test(s));
  if (folder !== undefined) return `in a folder named ${folder}`;
  if (/^U\d[\d._]*__/.test(base)) return "a Flyway undo file";
  const undo = /^(?:(.*)([._-]))?(down|undo|rollback|revert)$/i.exec(base);
  if (!undo) return undefined;
  const [, stem, separator] = undo;
  if (stem === undefined || separator === ".") return "a down migration";
  const prefix = [...segments, ""].join("/");
  return siblings.has(`${prefix}${stem}${separator}up.sql`) ? "a down migration" : undefined;
}
