/** What a failed migration tells its reader: the place in the file, PostgreSQL's words, and what is left behind. */
import type { SourceFile } from "./files.ts";

/** A place in a file; lines and columns count from 1, columns in characters. */
export interface Place {
  line: number;
  column: number;
}

export interface Failure extends Partial<Place> {
  /** PostgreSQL's message, or what is wrong with the file. */
  message: string;
  /** SQLSTATE. */
  code?: string | undefined;
  /** Further lines: detail, hint, context, what to do. */
  notes?: string[] | undefined;
}

/** A migration that was refused or failed. Its message has file, line, the text there, and PostgreSQL's message, detail and hint. */
export class MigrationError extends Error {
  readonly file: string;
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly code: string | undefined;

  constructor(file: Pick<SourceFile, "path" | "text">, failure: Failure, options?: ErrorOptions) {
    const { line, column } = failure;
    const at = [file.path, line, column].filter((part) => part !== undefined).join(":");
    const code = failure.code === undefined ? "" : ` (SQLSTATE ${failure.code})`;
    super([`${at}: ${failure.message}${code}`, ...excerpt(file.text, failure), ...(failure.notes ?? [])].join("\n"), options);
    this.name = "MigrationError";
    this.file = file.path;
    this.line = line;
    this.column = column;
    this.code = failure.code;
  }
}

const WIDEST_EXCERPT = 120;

function excerpt(text: string, { line, column }: Partial<Place>): string[] {
  if (line === undefined || column === undefined) return [];
  const whole = [...(text.split("\n")[line - 1] ?? "").replaceAll("\t", " ")];
  const from = whole.length > WIDEST_EXCERPT ? Math.max(0, column - WIDEST_EXCERPT / 2) : 0;
  const margin = `  ${line} | `;
  return [`${margin}${whole.slice(from, from + WIDEST_EXCERPT).join("")}`, `${" ".repeat(margin.length + column - 1 - from)}^`];
}

/** The place of the character at `offset` (in characters, from 0) when the text starts at `start`. */
export function placeAt(text: string, offset: number, start: Place = { line: 1, column: 1 }): Place {
  const before = [...text].slice(0, offset).join("");
  const lines = before.split("\n");
  const column = [...lines.at(-1)!].length + 1;
  return lines.length === 1 ? { line: start.line, column: start.column + column - 1 } : { line: start.line + lines.length - 1, column };
}
