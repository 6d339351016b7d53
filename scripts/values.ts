/**
 * Generates the SMALLINT values' SQL functions, TypeScript constants and documentation from sql/values.yaml.
 * `node scripts/values.ts` writes what has changed; `--check` only names it and ends with 1.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { InputError, type Problem } from "../plan/types.ts";

const ROOT = join(import.meta.dirname, "..");
const SOURCE = "sql/values.yaml";
const DOCS = "docs/guide/values.md";
const MARKS = ["<!-- generated from sql/values.yaml -->", "<!-- end -->"] as const;
const SMALLINT = { min: -32_768, max: 32_767 };

const Entry = z.tuple([z.int().min(SMALLINT.min).max(SMALLINT.max), z.string().regex(/^[a-z][a-z0-9_]*$/), z.string().min(1)]);
const Source = z.record(
  z.string().regex(/^[a-z][a-z0-9_]*$/),
  z.strictObject({
    about: z.string().min(1),
    columns: z.array(z.string().regex(/^[a-z_]+\.[a-z_]+$/)),
    values: z.array(Entry).min(1),
  }),
);

/** One table of values. */
export interface Domain {
  /** Such as message_type. */
  name: string;
  about: string;
  /** Columns that hold its numbers, as table.column. */
  columns: readonly string[];
  /** In ascending order of their numbers. */
  values: readonly { number: number; name: string; description: string }[];
}

/**
 * Reads the source.
 * @throws InputError with every problem: unknown keys, numbers that are no SMALLINT, numbers or names given twice.
 */
export function readDomains(text: string): Domain[] {
  const parsed = Source.safeParse(parse(text));
  if (!parsed.success)
    throw new InputError(
      SOURCE,
      parsed.error.issues.map((issue) => ({ path: issue.path.join("."), got: issue.message, want: "the form of the other entries" })),
    );
  const domains = Object.entries(parsed.data).map(([name, { about, columns, values }]) => ({
    name,
    about,
    columns,
    values: values.map(([number, of, description]) => ({ number, name: of, description })).sort((a, b) => a.number - b.number),
  }));
  const problems = domains.flatMap(({ name, values }) => [
    ...repeated(`${name}.values`, values, ({ number }) => number),
    ...repeated(`${name}.values`, values, (value) => value.name),
  ]);
  if (problems.length > 0) throw new InputError(SOURCE, problems);
  return domains;
}

function repeated<T>(path: string, values: readonly T[], keyOf: (value: T) => string | number): Problem[] {
  const keys = values.map(keyOf);
  return [...new Set(keys.filter((key, i) => keys.indexOf(key) < i))].map((got) => ({ path, got, want: "each number and name once" }));
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

function sqlOf({ name, about, values }: Domain): string {
  return `create or replace function ${name}_name(value integer) returns text immutable parallel safe
return case value
${values.map((v) => `  when ${v.number} then ${quoted(v.name)}`).join("\n")}
end;
create or replace function ${name}_value(name text) returns smallint immutable parallel safe
return (case name
${values.map((v) => `  when ${quoted(v.name)} then ${v.number}`).join("\n")}
end)::smallint;
comment on function ${name}_name(integer) is ${quoted(`${about}: the name of a number, null for an unknown one`)};
comment on function ${name}_value(text) is ${quoted(`${about}: the number of a name, null for an unknown one`)};
`;
}

/** sql/app/R__values.sql: two functions a domain, which the planner turns into constants, and a view of all values. */
export function renderSql(domains: readonly Domain[]): string {
  const rows = domains.flatMap(({ name, values }) =>
    values.map((v) => `  (${quoted(name)}, ${v.number}::smallint, ${quoted(v.name)}, ${quoted(v.description)})`),
  );
  return `-- Names of the SMALLINT values, both ways. Generated from ${SOURCE} by \`npm run values\`. Applied again whenever it changes.
${domains.map(sqlOf).join("\n")}
create or replace view domain_values as
select * from (values
${rows.join(",\n")}
) as v (domain, value, name, description);
comment on view domain_values is 'All values of the SMALLINT columns';
`;
}

const pascal = (name: string): string => name.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function typeScriptOf({ name, about, values }: Domain): string {
  const [constant, type] = [name.toUpperCase(), pascal(name)];
  const entries = (of: (v: Domain["values"][number]) => string) => values.map((v) => `  ${of(v)},`).join("\n");
  return `/** ${about}: names → numbers. */
export const ${constant} = {
${entries((v) => `/** ${v.description} */\n  ${v.name}: ${v.number}`)}
} as const;
export type ${type}Name = keyof typeof ${constant};
export type ${type} = (typeof ${constant})[${type}Name];
/** ${about}: numbers → names. */
export const ${constant}_NAME = {
${entries((v) => `${v.number}: "${v.name}"`)}
} as const satisfies Record<${type}, ${type}Name>;
`;
}

/** client/values.ts: the numbers by name (\`CHANNEL.web\`), the names by number, and a type of each. */
export function renderTypeScript(domains: readonly Domain[]): string {
  return `/** Values of the SMALLINT columns. Generated from ${SOURCE} by \`npm run values\`. */

${domains.map(typeScriptOf).join("\n")}`;
}

/** The tables of values in the guide. */
export function renderDocs(domains: readonly Domain[]): string {
  const rows = domains.map(
    ({ name, columns, values }) => `| ${name} | ${columns.join(", ")} | ${values.map((v) => `${v.number} ${v.name}`).join(", ")} |`,
  );
  return ["| values | columns | numbers and names |", "|---|---|---|", ...rows].join("\n");
}

/** What a column's comment says: "0 web, 1 whatsapp …". */
export const commentOf = ({ values }: Domain): string => values.map((v) => `${v.number} ${v.name}`).join(", ");

/** The documentation page with its generated part replaced. @throws Error where the page has lost its marks. */
export function withTables(page: string, tables: string): string {
  const [begin, end] = [page.indexOf(MARKS[0]), page.indexOf(MARKS[1])];
  if (begin < 0 || end < begin) throw new Error(`${DOCS}: got no lines ${MARKS.join(" and ")}, want both, in this order`);
  return `${page.slice(0, begin + MARKS[0].length)}\n${tables}\n${page.slice(end)}`;
}

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** Every generated file with what it should hold. */
export function generated(): { path: string; text: string }[] {
  const domains = readDomains(read(SOURCE));
  return [
    { path: "client/values.ts", text: renderTypeScript(domains) },
    { path: "sql/app/R__values.sql", text: renderSql(domains) },
    { path: DOCS, text: withTables(read(DOCS), renderDocs(domains)) },
  ];
}

function current(path: string): string | undefined {
  try {
    return read(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

if (import.meta.main) {
  const stale = generated().filter(({ path, text }) => current(path) !== text);
  const check = process.argv.includes("--check");
  for (const { path, text } of stale) {
    if (!check) writeFileSync(join(ROOT, path), text);
    process.stdout.write(`${path}: ${check ? "differs from what sql/values.yaml gives" : "written"}\n`);
  }
  if (check && stale.length > 0) process.exitCode = 1;
}
