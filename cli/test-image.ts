import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { engine, ifThere } from "./engine.ts";
import { Failure } from "./failure.ts";

const BASE = "debian:trixie-slim";

/** Images that tests run alone. */
export type TestImage = "node" | "pooler" | "cache";

const contextOf = (image: TestImage) => join(import.meta.dirname, "../images", image);

/**
 * An image for the tests that need PostgreSQL or Valkey alone. Built when its files or its base have changed.
 *
 * @returns its tag
 * @throws Failure where it cannot be built
 */
export async function ensureTestImage(image: TestImage, say: (line: string) => void): Promise<string> {
  const tag = `pgladder/${image}:test-${await keyOf(contextOf(image))}`;
  const found = await ifThere(engine.getImage(tag).inspect());
  if (found) say(`${tag} is there`);
  else {
    say(`building ${tag}, about 2 minutes`);
    await build(tag, contextOf(image));
  }
  await engine.getImage(tag).tag({ repo: `pgladder/${image}`, tag: "test" });
  return tag;
}

async function keyOf(context: string): Promise<string> {
  const hash = createHash("sha256").update((await engine.getImage(BASE).inspect()).Id);
  const files = readdirSync(context, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  for (const path of paths) hash.update(path.slice(context.length)).update("\0").update(readFileSync(path));
  return hash.digest("hex").slice(0, 12);
}

async function build(tag: string, context: string): Promise<void> {
  const code = await new Promise<number>((resolve, reject) => {
    const child = spawn("docker", ["build", "--quiet", "--build-arg", `BASE=${BASE}`, "--tag", tag, context], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    child.once("error", reject);
    child.once("close", (ended) => resolve(ended ?? 1));
  });
  if (code !== 0) throw new Failure(`${tag}: docker build ended with ${code}`);
}
