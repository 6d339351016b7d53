import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { InputError } from "../plan/types.ts";

/**
 * The application's SQL files by their path below `folder`. What they hold is the agent's business.
 *
 * @throws InputError when the folder cannot be read.
 */
export function readSchema(root: string, folder: string): Record<string, string> {
  const path = resolve(root, folder);
  const found = statSync(path, { throwIfNoEntry: false });
  const problem = (got: string) => new InputError("schema", [{ path: "pgladder:schema", got, want: "a folder of .sql files" }]);
  if (!found) throw problem(`${folder} (not there)`);
  if (!found.isDirectory()) throw problem(`${folder} (a file)`);
  const files = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".sql"));
  return Object.fromEntries(files.sort().map((name) => [name, readFileSync(join(path, name), "utf8")]));
}
