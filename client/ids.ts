/** Identifiers in SQL text: always quoted, so they are taken exactly as given, upper case included. */
import pg from "pg";
import { InputError } from "../plan/types.ts";

/** `name`, `schema.name`, or both apart where a name has a dot in it. Without a schema the search path finds it. */
export type TableName = string | readonly [schema: string, name: string];

/** @throws InputError for an empty name or one with a NUL. */
export function quote(name: string): string {
  if (name === "" || name.includes("\0")) throw new InputError("identifier", [{ path: "name", got: name, want: "a name, without NUL" }]);
  return pg.escapeIdentifier(name);
}

/** The table's name as SQL text. @throws InputError for a name with more than one dot. */
export function quoteTable(table: TableName): string {
  const parts = typeof table === "string" ? table.split(".") : table;
  if (parts.length > 2)
    throw new InputError("identifier", [{ path: "table", got: table, want: '"name", "schema.name" or [schema, name]' }]);
  return parts.map(quote).join(".");
}

export const quoteList = (names: readonly string[]): string => names.map(quote).join(", ");
