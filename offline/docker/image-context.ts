import { createHash } from "node:crypto";
import { lstatSync, type Stats } from "node:fs";
import { lstat, readdir, readFile, readlink, realpath } from "node:fs/promises";
import { isAbsolute, join, relative } from "node:path";
import { buffer } from "node:stream/consumers";
import dockerignore from "@balena/dockerignore";
import { pack } from "tar-stream";

interface Entry {
  /** Relative to the context, with "/" between its parts. */
  readonly path: string;
  readonly stats: Stats;
}

/** Everything below `folder` in the order of its names, folders included. */
async function walk(folder: string, below = ""): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const name of (await readdir(join(folder, below))).sort()) {
    const path = below === "" ? name : `${below}/${name}`;
    const stats = await lstat(join(folder, path));
    entries.push({ path, stats });
    if (stats.isDirectory()) entries.push(...(await walk(folder, path)));
  }
  return entries;
}

/** The patterns of `<Dockerfile>.dockerignore`, else of the context's own `.dockerignore`. */
async function isKept(context: string, dockerfile: string): Promise<(path: string) => boolean> {
  for (const file of [`${dockerfile}.dockerignore`, join(context, ".dockerignore")]) {
    const patterns = await readFile(file, "utf8").catch(() => undefined);
    if (patterns !== undefined) return dockerignore.default().add(patterns).createFilter();
  }
  return () => true;
}

/** The mode as Go prints it, because the digest is made of that text: "-rw-r--r--". */
function modeText(stats: Stats): string {
  const special = [
    stats.isDirectory() ? "d" : "",
    stats.isSymbolicLink() ? "L" : "",
    stats.mode & 0o4000 ? "u" : "",
    stats.mode & 0o2000 ? "g" : "",
    stats.mode & 0o1000 ? "t" : "",
  ].join("");
  const rights = [..."rwxrwxrwx"].map((letter, index) => (stats.mode & (0o400 >> index) ? letter : "-")).join("");
  return `${special === "" ? "-" : special}${rights}`;
}

/**
 * The digest of a build context, the same as the real provider's: names, modes and contents of all files that are not ignored,
 * preceded by the Dockerfile's content under one fixed name. Times and owners do not count.
 */
export async function contextDigest(context: string, dockerfile: string): Promise<string> {
  const kept = await isKept(context, dockerfile);
  const total = createHash("sha256");
  const add = (name: string, mode: string, content: Buffer | undefined): void => {
    const hash = createHash("sha256");
    if (content !== undefined) hash.update(content);
    total.update(name).update(mode).update(hash.digest()).update("\0");
  };
  add("Dockerfile", "----------", await readFile(dockerfile));
  for (const { path, stats } of await walk(context)) {
    if (stats.isDirectory() || !kept(path)) continue;
    const file = join(context, path);
    if (stats.isSymbolicLink()) {
      const target = await realpath(file);
      add(path, modeText(stats), Buffer.from(isAbsolute(context) ? target : relative(process.cwd(), target)));
    } else {
      add(path, modeText(stats), stats.isFile() ? await readFile(file) : undefined);
    }
  }
  return total.digest("hex");
}

/** The Dockerfile's path as the builder wants it: relative to the context, or "../…" when it lies outside. */
export function relativeDockerfile(context: string, dockerfile: string): string {
  return relative(context, dockerfile);
}

/**
 * The context as an archive owned by root. Ignored files are left out, but never the Dockerfile and .dockerignore, which the builder reads.
 * @returns the archive, and the Dockerfile's path inside it.
 */
export async function contextArchive(context: string, dockerfile: string): Promise<{ archive: Buffer; dockerfile: string }> {
  const kept = await isKept(context, dockerfile);
  const inside = relativeDockerfile(context, dockerfile);
  const outside = inside.startsWith("../") ? `.dockerfile.${createHash("sha256").update(inside).digest("hex").slice(0, 20)}` : undefined;
  const archive = pack();
  const bytes = buffer(archive);
  for (const { path, stats } of await walk(context)) {
    if (!kept(path) && path !== inside && path !== ".dockerignore") continue;
    const header = { name: path, mode: stats.mode & 0o7777, mtime: stats.mtime, uid: 0, gid: 0 };
    const file = join(context, path);
    if (stats.isDirectory()) archive.entry({ ...header, type: "directory" });
    else if (stats.isSymbolicLink()) archive.entry({ ...header, type: "symlink", linkname: await readlink(file) });
    else if (stats.isFile()) archive.entry(header, await readFile(file));
  }
  if (outside !== undefined) archive.entry({ name: outside, mode: 0o600, uid: 0, gid: 0, mtime: new Date(0) }, await readFile(dockerfile));
  archive.finalize();
  return { archive: await bytes, dockerfile: outside ?? inside };
}

/** @throws what the real provider says about a Dockerfile that is not there, with a hint where it is. */
export function requireDockerfile(context: string, dockerfile: string): void {
  const found = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  if (found(dockerfile)) return;
  if (isAbsolute(dockerfile)) throw new Error(`expected a relative Dockerfile path; got "${dockerfile}" instead: no such file`);
  const hint = join(context, dockerfile);
  const advice = found(hint) ? `. Try setting \`dockerfile\` to "${hint}"` : ": no such file";
  throw new Error(`could not open dockerfile at relative path "${dockerfile}"${advice}`);
}
