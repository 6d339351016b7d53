/** Reads a folder of migrations: which files, in which order, with which text. */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { InputError, type Problem } from "../../plan/types.ts";
import { compareNames, isRepeatable, whyLeftOut } from "./order.ts";

/** One migration file as read from disk. */
export interface SourceFile {
  /** Path inside the folder, with `/`: the name in the ledger. */
  name: string;
  /** Path to show in messages. */
  path: string;
  /** UTF-8 text without byte order mark, line ends as LF. */
  text: string;
  /** SHA-256 of `text`, hexadecimal: the same for a Windows and a Linux checkout. */
  sha256: string;
  /** Runs again when its text changes (Flyway's `R__`). */
  repeatable: boolean;
}

export interface Folder {
  files: SourceFile[];
  /** `.sql` files that are not run, and why. */
  leftOut: { name: string; why: string }[];
}

/** Bytes above which a file is refused: its statements are parsed in memory. */
const LARGEST_FILE = 64 * 1024 * 1024;

const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : String(error));

async function listFiles(folder: string, inside: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(join(folder, inside), { withFileTypes: true })) {
    if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
    const name = inside === "" ? entry.name : `${inside}/${entry.name}`;
    if (entry.isDirectory()) names.push(...(await listFiles(folder, name)));
    else names.push(name);
  }
  return names;
}

function decode(bytes: Buffer): { text: string } | { got: string; want: string } {
  const mark = bytes.subarray(0, 2).toString("hex");
  if (mark === "fffe" || mark === "feff") return { got: "UTF-16 text", want: "UTF-8 text" };
  if (!isUtf8(bytes)) {
    let line = 1;
    for (let start = 0, end = 0; start < bytes.length; start = end + 1, line++) {
      end = bytes.indexOf(0x0a, start);
      if (end < 0) end = bytes.length;
      if (!isUtf8(bytes.subarray(start, end))) break;
    }
    return { got: `bytes that are not UTF-8 in line ${line}`, want: "UTF-8 text" };
  }
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).replaceAll("\r\n", "\n");
  const zero = text.indexOf("\0");
  if (zero >= 0) return { got: `a zero byte in line ${text.slice(0, zero).split("\n").length}`, want: "text" };
  return { text };
}

async function readSource(folder: string, name: string, problems: Problem[]): Promise<SourceFile | undefined> {
  const path = join(folder, name);
  const refuse = (got: string, want: string): undefined => {
    problems.push({ path, got, want });
    return undefined;
  };
  try {
    const { size } = await stat(path);
    if (size > LARGEST_FILE) return refuse(`${size} bytes`, `at most ${LARGEST_FILE} bytes; load data with COPY, not with a migration`);
    const decoded = decode(await readFile(path));
    if (!("text" in decoded)) return refuse(decoded.got, decoded.want);
    const sha256 = createHash("sha256").update(decoded.text).digest("hex");
    return { name, path, text: decoded.text, sha256, repeatable: isRepeatable(name) };
  } catch (error) {
    return refuse(codeOf(error), "a readable file");
  }
}

async function listFolder(folder: string): Promise<string[]> {
  const refuse = (got: string): never => {
    throw new InputError("migrations", [{ path: folder, got, want: "a readable folder of .sql files" }]);
  };
  try {
    if (!(await stat(folder)).isDirectory()) refuse("a file");
    return await listFiles(folder, "");
  } catch (error) {
    if (error instanceof InputError) throw error;
    return refuse(codeOf(error) === "ENOENT" ? "no such folder" : codeOf(error));
  }
}

/**
 * The migrations of a folder in the order they run. Files that do not end in `.sql` and hidden ones are ignored.
 * @throws InputError naming every path that cannot be used: missing, not a folder, unreadable, not UTF-8, of a tool with another order.
 */
export async function readFolder(folder: string): Promise<Folder> {
  const names = await listFolder(folder);
  const problems: Problem[] = [];
  if (names.includes("sqitch.plan"))
    problems.push({ path: join(folder, "sqitch.plan"), got: "a Sqitch project", want: "a folder of files whose names give their order" });
  const sql = names.filter((name) => /\.sql$/i.test(name)).sort(compareNames);
  const siblings = new Set(sql);
  const files: SourceFile[] = [];
  const leftOut: Folder["leftOut"] = [];
  for (const name of sql) {
    const why = whyLeftOut(name, siblings);
    if (/(^|\/)B\d[\d._]*__/.test(name))
      problems.push({ path: join(folder, name), got: "a Flyway baseline", want: "the versioned files it stands for, or its text as V1__" });
    if (why !== undefined) leftOut.push({ name, why });
    else {
      const file = await readSource(folder, name, problems);
      if (file) files.push(file);
    }
  }
  if (problems.length > 0) throw new InputError("migrations", problems);
  return { files, leftOut };
}
