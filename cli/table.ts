/** Rows of a view as text: columns in line, numbers with the unit that the column's name ends in. */
export type Row = Readonly<Record<string, unknown>>;

const STEPS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** Bytes as PostgreSQL shows them: 1 kB is 1,024 B. */
export function bytes(value: number): string {
  let size = value;
  let step = 0;
  while (Math.abs(size) >= 1_024 && step < STEPS.length - 1) {
    size /= 1_024;
    step++;
  }
  return `${step === 0 || Math.abs(size) >= 100 ? Math.round(size) : Number(size.toFixed(1))} ${STEPS[step]}`;
}

const PARTS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
] as const;

/** A time in its two largest units; below a minute with at most three decimals. */
export function seconds(value: number): string {
  if (Math.abs(value) < 60) return `${Number(value.toFixed(3))} s`;
  const [size, unit] = PARTS.find(([length]) => value >= length)!;
  const [next, smaller] = PARTS[PARTS.findIndex(([length]) => length === size) + 1] ?? [1, "s"];
  const rest = Math.floor((value % size) / next);
  return `${Math.floor(value / size)} ${unit}${rest > 0 ? ` ${rest} ${smaller}` : ""}`;
}

const milliseconds = (value: number): string => (Math.abs(value) < 1_000 ? `${value} ms` : seconds(value / 1_000));

/** Suffix of a column's name → how its numbers are shown. */
const UNITS: Readonly<Record<string, (value: number) => string>> = {
  _bytes: bytes,
  _seconds: seconds,
  _ms: milliseconds,
  _percent: (value) => `${value} %`,
};

const unitOf = (column: string): string | undefined => Object.keys(UNITS).find((suffix) => column.endsWith(suffix));
const isName = (column: string): boolean => /(^|_)(pid|id|oid)$/.test(column);

/** One value; empty for null. */
export function cell(column: string, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") {
    const suffix = unitOf(column);
    if (suffix !== undefined) return UNITS[suffix]!(value);
    return isName(column) ? String(value) : value.toLocaleString("en-US", { maximumFractionDigits: 3 });
  }
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "object") return JSON.stringify(value);
  const text = String(value);
  const time = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(\+00:00|Z)$/.exec(text);
  return time ? `${time[1]} ${time[2]}` : text.replace(/\s*\n\s*/g, " ");
}

const title = (column: string): string => {
  const suffix = unitOf(column);
  return (suffix === undefined ? column : column.slice(0, -suffix.length)).replaceAll("_", " ");
};

/** The rows as lines, a title first; columns that are empty in all rows are left out, but for the first. */
export function table(rows: readonly Row[], hidden: readonly string[] = []): string[] {
  const all = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((column) => !hidden.includes(column));
  const columns = all.filter((column, i) => i === 0 || rows.some((row) => cell(column, row[column]) !== ""));
  const numeric = columns.map((column) => rows.every((row) => ["number", "undefined"].includes(typeof (row[column] ?? undefined))));
  const lines = [columns.map(title), ...rows.map((row) => columns.map((column) => cell(column, row[column])))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines.map((line) =>
    line
      .map((text, i) => (numeric[i] ? text.padStart(widths[i]!) : i === columns.length - 1 ? text : text.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}
