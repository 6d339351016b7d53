/** Statements of the application that a longer primary key breaks, found in what PostgreSQL has counted. Pure but for the reading. */
import type pg from "pg";
import { primaryKey, type Table } from "./catalog.ts";
import type { Finding } from "./store.ts";

const IDENTIFIER = '"(?:[^"]|"")+"|[\\w$]+';
const name = (text: string): string => (text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text.toLowerCase());
const INTO = new RegExp(`\\binsert\\s+into\\s+(?:(${IDENTIFIER})\\s*\\.\\s*)?(${IDENTIFIER})`, "gi");
const CONFLICT = new RegExp(
  `\\bon\\s+conflict\\s*(?:\\(\\s*((?:${IDENTIFIER})(?:\\s*,\\s*(?:${IDENTIFIER}))*)\\s*\\)|on\\s+constraint\\s+(${IDENTIFIER}))`,
  "gi",
);

export interface Target {
  schema: string;
  table: string;
  /** Columns and name of the primary key that becomes longer. */
  key: readonly string[];
  constraint: string;
}

/** The ON CONFLICT clause of an INSERT into the table that names its whole primary key; undefined when there is none. */
export function conflictOnKey(statement: string, { schema, table, key, constraint }: Target): string | undefined {
  const into = [...statement.matchAll(INTO)].some(
    ([, home, relation]) => name(relation!) === table && (home === undefined || name(home) === schema),
  );
  if (!into) return undefined;
  for (const [clause, columns, named] of statement.matchAll(CONFLICT)) {
    if (named !== undefined && name(named) === constraint) return clause;
    const list = columns?.match(new RegExp(IDENTIFIER, "g"))?.map(name) ?? [];
    if (list.length === key.length && key.every((column) => list.includes(column))) return clause;
  }
  return undefined;
}

/** The most frequent ones block: each would fail from the swap on, or no longer see a conflict. */
const MOST_NAMED = 5;

/** Statements that pg_stat_statements has counted; without it, or without the right to read it, none. */
export async function statementFindings(client: pg.Client, table: Table, by: string | undefined): Promise<Finding[]> {
  const key = primaryKey(table);
  if (by === undefined || !key || key.columns.includes(by)) return [];
  const { rows: homes } = await client.query<{ home: string }>(
    `select quote_ident(nspname) as home from pg_extension e join pg_namespace n on n.oid = extnamespace
      where extname = 'pg_stat_statements' and current_setting('shared_preload_libraries') like '%pg_stat_statements%'`,
  );
  const home = homes[0]?.home;
  if (home === undefined) return [];
  const { rows } = await client.query<{ query: string }>(
    `select query from ${home}.pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
        and query ~* 'on\\s+conflict' and position(lower($1) in lower(query)) > 0 order by calls desc`,
    [table.table],
  );
  const target = { schema: table.schema, table: table.table, key: key.columns, constraint: key.name };
  const clauses = new Set(rows.flatMap(({ query }) => conflictOnKey(query, target) ?? []));
  const longer = [...key.columns, by].map((column) => `"${column.replaceAll('"', '""')}"`).join(", ");
  return [...clauses].slice(0, MOST_NAMED).map((clause) => ({
    object: table.name,
    level: "blocks",
    why: `the application inserts with ${clause.replace(/\s+/g, " ")}, which the longer primary key breaks`,
    fix: `create unique index concurrently on ${table.name} (${longer}); let the application say ON CONFLICT (${longer}); then select ${home}.pg_stat_statements_reset()`,
  }));
}
