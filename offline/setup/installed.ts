// Exits 0 when node_modules already holds what package-lock.json names, so that a tree filled by `npm install` is not filled again.
import { readFileSync } from "node:fs";
import { join } from "node:path";

interface Lock {
  packages: Record<string, { version?: string; optional?: boolean; devOptional?: boolean }>;
}

const root = process.argv[2] ?? ".";
const read = (file: string): Lock => JSON.parse(readFileSync(join(root, file), "utf8")) as Lock;

try {
  const found = read("node_modules/.package-lock.json").packages;
  const missing = Object.entries(read("package-lock.json").packages).filter(
    ([path, wanted]) => path !== "" && !wanted.optional && !wanted.devOptional && found[path]?.version !== wanted.version,
  );
  process.exitCode = missing.length === 0 ? 0 : 1;
} catch {
  process.exitCode = 1;
}
