import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { engine, ifThere } from "./engine.ts";
import { Failure } from "./failure.ts";

const CONTEXT = join(import.meta.dirname, "../images/node");
const BASE = "debian:trixie-slim";
const REPOSITORY = "pgladder/node";

/**
 * The node image for the tests that need PostgreSQL alone. Built when its files or its base have changed.
 *
 * @returns its tag
 * @throws Failure where it cannot be built
 */
export async function ensureTestImage(say: (line: string) => void): Promise<string> {
  const tag = `${REPOSITORY}:test-${await keyOf()}`;
  const found = await ifThere(engine.getImage(tag).inspect());
  if (found) say(`${tag} is there`);
  else {
    say(`building ${tag}, about 2 minutes`);
    await build(tag);
  }
  await engine.getImage(tag).tag({ repo: REPOSITORY, tag: "test" });
  return tag;
}

async function keyOf(): Promise<string> {
  const hash = createHash("sha256").update((await engine.getImage(BASE).inspect()).Id);
  const files = readdirSync(CONTEXT, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  for (const path of paths) hash.update(path.slice(CONTEXT.length)).update("\0").update(readFileSync(path));
  return hash.digest("hex").slice(0, 12);
}

async function build(tag: string): Promise<void> {
  const code = await new Promise<number>((resolve, reject) => {
    const child = spawn("docker", ["build", "--quiet", "--build-arg", `BASE=${BASE}`, "--tag", tag, CONTEXT], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    child.once("error", reject);
    child.once("close", (ended) => resolve(ended ?? 1));
  });
  if (code !== 0) throw new Failure(`node image: docker build ended with ${code}`);
}
