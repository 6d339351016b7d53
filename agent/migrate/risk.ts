/** Names, before anything runs, the pending statements that would lock a filled table for long. */
import { execFile } from "node:child_process";
import type { Client } from "pg";
import { InputError, type Problem } from "../../plan/types.ts";
import { type Hazard, hazardOf, locksTable } from "./hazards.ts";
import type { Script, Statement } from "./script.ts";
import { relationsOf } from "./statements.ts";

/** From which size on a table counts as filled: either is enough. */
export interface Filled {
  rows: number;
  bytes: number;
}
export const FILLED_TABLE: Filled = { rows: 100_000, bytes: 100 * 1024 * 1024 };

export interface RiskOptions {
  client: Client;
  /** Pending scripts, grouped by transaction. */
  groups: readonly (readonly Script[])[];
  linter: string | undefined;
  filled: Filled;
  onRisk: "warn" | "fail";
  log: (line: string) => void;
}

/** The linter's rules that are about long locks; the others are matters of taste or of clients. */
const LOCK_RULES = new Set([
  "adding-field-with-default",
  "adding-foreign-key-constraint",
  "adding-not-nullable-field",
  "adding-serial-primary-key-field",
  "ban-alter-domain-with-add-constraint",
  "changing-column-type",
  "constraint-missing-not-valid",
  "disallowed-unique-constraint",
  "require-concurrent-index-creation",
  "require-concurrent-index-deletion",
  "require-concurrent-partition-detach",
  "require-concurrent-reindex",
]);

interface LintFinding {
  line: number;
  column: number;
  message: string;
  help: string | null;
  rule_name: string;
}

interface Size {
  table: string;
  rows: number;
  bytes: number;
}

const keyOf = (schema: string | undefined, name: string): string => `${schema ?? "public"}.${name}`;

/** Sizes of the filled tables behind the names that scripts use; an index counts as its table, a partitioned table with its parts. */
async function filledTables(client: Client, scripts: readonly Script[], filled: Filled): Promise<Map<string, Size>> {
  const names = new Map<string, [string, string]>();
  for (const { statements } of scripts)
    for (const { node } of statements)
      for (const { schema, name } of relationsOf(node)) names.set(keyOf(schema, name), [schema ?? "public", name]);
  const { rows } = await client.query<Size & { key: string }>(
    `select concat(n ->> 0, '.', n ->> 1) as key, t.oid::regclass::text as table, sum(p.rows)::float8 as rows, sum(p.bytes)::float8 as bytes
     from json_array_elements($1::json) n
     join pg_class named on named.oid = to_regclass(format('%I.%I', n ->> 0, n ->> 1))
     join pg_class t on t.oid = coalesce((select indrelid from pg_index where indexrelid = named.oid), named.oid)
     cross join lateral (
       select greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0) as rows, pg_table_size(c.oid) as bytes
       from pg_class c
       where (c.oid = t.oid or c.oid in (select relid from pg_partition_tree(t.oid))) and c.relkind in ('r', 'm')
     ) p
     group by 1, t.oid having sum(p.rows) >= $2 or sum(p.bytes) >= $3`,
    [JSON.stringify([...names.values()]), filled.rows, filled.bytes],
  );
  return new Map(rows.map((row) => [row.key, row]));
}

/** Runs the linter over one text. It exits with 1 when it finds something. */
function lint(linter: string, text: string): Promise<LintFinding[]> {
  return new Promise((resolve, reject) => {
    const child = execFile(linter, ["--reporter", "Json", "--stdin-filepath", "migration.sql"], (error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as LintFinding[]);
      } catch {
        reject(new Error(`${linter}: got ${JSON.stringify(stderr || error?.message || stdout)}, want the linter's findings as JSON`));
      }
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(text);
  });
}

/** The last statement that begins at or before a finding of the linter, which counts lines and columns from 0. */
function statementAt(script: Script, finding: LintFinding): Statement | undefined {
  const [line, column] = [finding.line + 1, finding.column + 1];
  return script.statements.findLast((s) => s.line < line || (s.line === line && s.column <= column));
}

async function lintHazards(linter: string, script: Script): Promise<Map<Statement, Hazard>> {
  const hazards = new Map<Statement, Hazard>();
  for (const finding of await lint(linter, script.text)) {
    const statement = LOCK_RULES.has(finding.rule_name) ? statementAt(script, finding) : undefined;
    if (!statement) continue;
    const known = hazards.get(statement);
    if (known && (finding.rule_name === "constraint-missing-not-valid" || known.rule !== "constraint-missing-not-valid")) continue;
    hazards.set(statement, {
      rule: finding.rule_name,
      why: finding.message.replace(/\s+/g, " "),
      instead: finding.help ?? "add a new column, fill it in batches, switch over in a later release",
    });
  }
  return hazards;
}

/** True where the line above the statement accepts the rule, with the linter's own comment. */
function accepted(script: Script, statement: Statement, rule: string): boolean {
  const above = script.text.split("\n")[statement.line - 2] ?? "";
  const [, rules] = /--\s*squawk-ignore\b(.*)$/.exec(above) ?? [];
  return rules !== undefined && (rules.trim() === "" || rules.includes(rule));
}

const shown = new Intl.NumberFormat("en-US");

function sizeText({ table, rows, bytes }: Size): string {
  return `${table} (about ${shown.format(rows)} rows, ${shown.format(Math.ceil(bytes / 1024 / 1024))} MiB)`;
}

/**
 * Logs a line for each pending statement that would lock a filled table for long: place, rule, table with its size, what to do instead.
 * A comment `-- squawk-ignore rule` on the line above accepts it.
 * @throws InputError with all of them when `onRisk` is "fail".
 */
export async function assessRisk({ client, groups, linter, filled, onRisk, log }: RiskOptions): Promise<void> {
  const sizes = await filledTables(client, groups.flat(), filled);
  if (sizes.size === 0) return;
  const problems: Problem[] = [];
  if (linter === undefined) log("no linter given: only this program's own checks for long locks run");
  for (const group of groups) {
    const locked = new Set<string>();
    for (const script of group) {
      const tablesOf = ({ node }: Statement) => relationsOf(node).flatMap(({ schema, name }) => sizes.get(keyOf(schema, name)) ?? []);
      const touching = script.statements.filter((statement) => tablesOf(statement).length > 0);
      const linted = linter === undefined || touching.length === 0 ? new Map<Statement, Hazard>() : await lintHazards(linter, script);
      for (const statement of touching) {
        const tables = tablesOf(statement);
        const hazard =
          hazardOf(
            statement.node,
            tables.some(({ table }) => locked.has(table)),
          ) ?? linted.get(statement);
        if (locksTable(statement.node)) for (const { table } of tables) locked.add(table);
        if (!hazard || accepted(script, statement, hazard.rule)) continue;
        problems.push({
          path: `${script.file.path}:${statement.line}`,
          got: `${hazard.rule} on ${tables.map(sizeText).join(", ")}: ${hazard.why}`,
          want: hazard.instead,
        });
      }
    }
  }
  if (problems.length > 0 && onRisk === "fail")
    throw new InputError("migrations that would lock a filled table for long (nothing was changed)", problems);
  for (const { path, got, want } of problems) log(`${path}: warning: ${got}; do: ${want}`);
}
