import { chown, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

export interface VolumeFile {
  /** Path below the volumes' folder: `<volume>/<file>`. */
  path: string;
  content: string;
  uid: number;
  gid: number;
}

export interface FileSet {
  files: readonly VolumeFile[];
}

/**
 * Makes the volumes below `root` hold exactly the given files, each mode 0400 and owned by its reader, every file replaced in
 * one step. Files that are no longer listed go.
 *
 * @throws when a path leaves its volume or a volume is not mounted.
 */
export async function writeFiles(root: string, { files }: FileSet, log: (line: string) => void): Promise<void> {
  const volumes = await readdir(root);
  for (const { path } of files) {
    const volume = path.split("/")[0] ?? "";
    if (!volumes.includes(volume) || relative(root, join(root, path)).startsWith("..")) {
      throw new Error(`${path}: got a path outside the mounted volumes, want one below ${volumes.join(", ")}`);
    }
  }
  const wanted = new Set(files.map((file) => file.path));
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = relative(root, join(entry.parentPath, entry.name));
    if (entry.isFile() && !wanted.has(path)) await rm(join(root, path));
  }
  let changed = 0;
  for (const file of files) changed += Number(await writeOne(root, file));
  log(`${files.length} files in ${volumes.length} volumes, ${changed} changed`);
}

async function writeOne(root: string, { path, content, uid, gid }: VolumeFile): Promise<boolean> {
  const target = join(root, path);
  const current = await readFile(target, "utf8").catch(() => undefined);
  if (current === content) return false;
  await mkdir(dirname(target), { recursive: true });
  await chown(dirname(target), uid, gid);
  const temporary = `${target}.new`;
  await writeFile(temporary, content, { mode: 0o400 });
  await chown(temporary, uid, gid);
  await rename(temporary, target);
  return true;
}
