/** Splits a migration into statements with PostgreSQL's own parser, and refuses what only psql understands. */
import { hasSqlDetails, loadModule, type Node, type ParseResult, parseSync } from "libpg-query";
import { MigrationError, type Place, placeAt } from "./errors.ts";
import type { SourceFile } from "./files.ts";
import { enumCreated, enumExtended, ownership, refusal, whyOutside } from "./statements.ts";

export interface Statement extends Place {
  text: string;
  node: Node;
}

/** A migration, parsed. */
export interface Script {
  file: SourceFile;
  /** The text that is run: lines as in the file, what is left out blanked. */
  text: string;
  statements: Statement[];
  /** Why it cannot run inside a transaction; undefined when it can. */
  outside: string | undefined;
  /** Enum types that it creates, and those it adds values to. */
  enums: { created: string[]; extended: string[] };
  /** What was left out of the file, for the log. */
  notes: string[];
}

/** `-- ladder: no transaction` in the first line, and what other tools call the same. */
const NO_TRANSACTION =
  /^--\s*(ladder:\s*no transaction\b|no-transaction\b|\+goose\s+no\s+transaction\b|atlas:txmode\s+none\b|migrate:up\s+transaction:false\b)/im;
/** The line from which a file undoes itself, in the dialects of dbmate, goose, sql-migrate, rambler, node-pg-migrate and MyBatis. */
const DOWN = /^\s*--\s*(migrate:down\b|(\+goose|\+migrate|rambler)\s+down\b|down migration\b|\/\/\s*@undo\b)/i;

const blank = (text: string): string => text.replace(/[^\n]/g, " ");

function cutDown(text: string, notes: string[]): string {
  const lines = text.split("\n");
  const from = lines.findIndex((line) => DOWN.test(line));
  if (from < 0) return text;
  notes.push(`lines ${from + 1}-${lines.length} undo the migration: left out`);
  return [...lines.slice(0, from), ...lines.slice(from).map(blank)].join("\n");
}

function explain(file: SourceFile, text: string, offset: number, message: string): MigrationError {
  const before = [...text].slice(0, offset).join("");
  const rest = text.slice(before.length);
  const place = placeAt(text, offset);
  const command = /^\\\S*/.exec(rest)?.[0];
  const inCopy = /(^|;)\s*copy\s[^;]*\sfrom\s+stdin\b[^;]*;\s*(\S[^\n]*\n|\S*$|\\\.)*$/i.test(before);
  if (command === "\\." || (inCopy && /from\s+stdin\b[^;]*;\s*$/i.test(before)))
    return new MigrationError(file, {
      ...place,
      message: "rows for COPY … FROM stdin, which only psql reads from a file",
      notes: ["want: INSERT statements (pg_dump --rows-per-insert=1000), or load the rows after the migration"],
    });
  if (command !== undefined)
    return new MigrationError(file, {
      ...place,
      message: `${command} is a psql command, not SQL`,
      notes: ["want: SQL only; put an included file (\\i) into the folder, and leave \\connect and \\set out"],
    });
  return new MigrationError(file, { ...place, message, code: "42601", notes: [NOTHING_RAN] });
}

const NOTHING_RAN = "nothing was changed: every pending file is read before the first one runs";

/** Parses; lines with pg_dump's `\restrict` and `\unrestrict` (psql's guard around a dump) are blanked. */
function parseText(file: SourceFile, original: string): { text: string; tree: ParseResult } {
  for (let text = original; ; ) {
    if (text.trim() === "") return { text, tree: { version: 0, stmts: [] } };
    try {
      return { text, tree: parseSync(text) };
    } catch (error) {
      if (!hasSqlDetails(error)) throw error;
      const offset = Math.max(0, error.sqlDetails?.cursorPosition ?? 0);
      const at = [...text].slice(0, offset).join("").length;
      const guard = /^\\(un)?restrict\b[^\n]*/.exec(text.slice(at))?.[0];
      if (guard === undefined) throw explain(file, text, offset, error.message);
      text = text.slice(0, at) + blank(guard) + text.slice(at + guard.length);
    }
  }
}

/** Statements with their places. The parser counts in bytes. */
function split(text: string, tree: ParseResult): Statement[] {
  const bytes = Buffer.from(text);
  const statements: Statement[] = [];
  let line = 1;
  let counted = 0;
  for (const { stmt, stmt_location = 0, stmt_len } of tree.stmts ?? []) {
    if (!stmt) continue;
    for (let next = bytes.indexOf(0x0a, counted); next >= 0 && next < stmt_location; next = bytes.indexOf(0x0a, counted)) {
      line++;
      counted = next + 1;
    }
    const column = [...bytes.subarray(counted, stmt_location).toString()].length + 1;
    const end = stmt_len ? stmt_location + stmt_len : bytes.length;
    statements.push({ text: bytes.subarray(stmt_location, end).toString().trimEnd(), line, column, node: stmt });
  }
  return statements;
}

/** Leaves out BEGIN and COMMIT in pairs: the migrator's own transaction takes their place. */
function withoutTransaction(file: SourceFile, statements: Statement[], outside: boolean): Statement[] {
  let open: Statement | undefined;
  const kept: Statement[] = [];
  const refuse = (at: Statement, message: string, want: string): never => {
    throw new MigrationError(file, { line: at.line, column: at.column, message, notes: [`want: ${want}`] });
  };
  for (const statement of statements) {
    const kind = "TransactionStmt" in statement.node ? statement.node.TransactionStmt.kind : undefined;
    const starts = kind === "TRANS_STMT_BEGIN" || kind === "TRANS_STMT_START";
    if (!starts && kind !== "TRANS_STMT_COMMIT") {
      kept.push(statement);
      continue;
    }
    if (outside) refuse(statement, `${statement.text} in a file that runs without a transaction`, "the transaction in a file of its own");
    if (starts === (open !== undefined))
      refuse(statement, starts ? "BEGIN inside a transaction" : "COMMIT without BEGIN", "BEGIN and COMMIT in pairs, or neither");
    if ("TransactionStmt" in statement.node && (statement.node.TransactionStmt.options ?? statement.node.TransactionStmt.chain))
      refuse(statement, `${statement.text} asks for a transaction of its own`, "plain BEGIN and COMMIT, or neither");
    open = starts ? statement : undefined;
  }
  if (open) refuse(open, "BEGIN without COMMIT", "BEGIN and COMMIT in pairs, or neither");
  return kept;
}

/** Leaves out what a dump says about owners: everything belongs to the role that runs the file. */
function withoutOwners(statements: readonly Statement[], role: string, notes: string[]): Statement[] {
  const owners = statements.filter(({ node }) => ownership(node) === "owner");
  if (owners.length > 0) notes.push(`line ${owners[0]!.line}: OWNER TO left out (${owners.length} in all), everything belongs to ${role}`);
  const comments = statements.filter(({ node }) => ownership(node) === "extension comment");
  for (const { line } of comments) notes.push(`line ${line}: COMMENT ON EXTENSION left out (only the extension's owner may)`);
  return statements.filter(({ node }) => ownership(node) === undefined);
}

/**
 * Reads a migration into statements. `role`: who runs it, where that is not the connection's own role.
 * @throws MigrationError for a syntax error (PostgreSQL's message), psql commands, COPY from stdin, a transaction that does not close,
 * and statements that would take the run out of the migrator's hands (ROLLBACK, SET ROLE, DISCARD ALL).
 */
export async function parseScript(file: SourceFile, role?: string): Promise<Script> {
  await loadModule();
  const notes: string[] = [];
  const { text, tree } = parseText(file, cutDown(file.text, notes));
  const all = split(text, tree);
  for (const { node, line, column } of all) {
    const refused = refusal(node);
    if (refused) throw new MigrationError(file, { line, column, message: refused.message, notes: [`want: ${refused.want}`] });
  }
  const marked = NO_TRANSACTION.test(text.slice(0, 400)) ? "its first lines ask for no transaction" : undefined;
  const outside = marked ?? all.map(({ node }) => whyOutside(node)).find((why) => why !== undefined);
  const plain = withoutTransaction(file, all, outside !== undefined);
  const statements = role === undefined ? plain : withoutOwners(plain, role, notes);
  const enums = {
    created: all.flatMap(({ node }) => enumCreated(node) ?? []),
    extended: all.flatMap(({ node }) => enumExtended(node) ?? []),
  };
  return { file, text, statements, outside, enums, notes };
}

/**
 * Scripts that share a transaction. As many as can: a broken one then undoes all. A script that cannot run in a transaction is alone, and
 * a value added to an enum type that an earlier transaction created ends the transaction, because PostgreSQL lets nobody use it before.
 */
export function groupScripts(scripts: readonly Script[]): Script[][] {
  const groups: Script[][] = [];
  let created = new Set<string>();
  let open = false;
  for (const script of scripts) {
    if (script.outside === undefined && open) groups.at(-1)!.push(script);
    else {
      groups.push([script]);
      created = new Set();
    }
    for (const name of script.enums.created) created.add(name);
    open = script.outside === undefined && script.enums.extended.every((name) => created.has(name));
  }
  return groups;
}
