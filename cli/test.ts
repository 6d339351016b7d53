/** `bin/test`: lint, types, then the layers of tests, and one line at the end. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { ensureTestImage } from "./test-image.ts";
import { type Count, countOf, sumOf } from "./test-report.ts";

const ROOT = join(import.meta.dirname, "..");
const LAYERS = ["fast", "postgres", "engine", "mirror"] as const;

const say = (line: string) => process.stdout.write(`${line}\n`);
const modules = (path: string) => join(ROOT, "node_modules", path);

/** Runs one of the project's tools with its output shown. @returns its exit code */
function run(command: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const [program, ...args] = command;
    const child = spawn(program!, args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...environment } });
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

/** A check that is no test: it counts only when it fails. */
async function check(what: string, command: readonly string[]): Promise<Count> {
  say(`\n== ${what}`);
  return { passed: 0, failed: (await run(command)) === 0 ? 0 : 1 };
}

async function layer(name: string, reports: string, environment: NodeJS.ProcessEnv): Promise<Count> {
  say(`\n== ${name}`);
  const report = join(reports, `${name}.json`);
  const vitest = [process.execPath, modules("vitest/vitest.mjs"), "run", "--project", name, "--passWithNoTests"];
  const code = await run([...vitest, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`], environment);
  const count = countOf(readReport(report));
  say(`${name}: ${count.passed} passed, ${count.failed} failed`);
  // A runner that ended badly without a failed test has failed all the same.
  return code !== 0 && count.failed === 0 ? { ...count, failed: 1 } : count;
}

function readReport(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function main(full: boolean): Promise<number> {
  const reports = mkdtempSync(join(tmpdir(), "pgladder-test-"));
  const counts: Count[] = [];
  try {
    counts.push(await check("lint", [modules("@biomejs/biome/bin/biome"), "check", "."]));
    counts.push(await check("types", [process.execPath, modules("typescript/bin/tsc"), "--noEmit"]));
    counts.push(await layer("fast", reports, {}));
    say("\n== images");
    const environment = {
      PGLADDER_TEST_IMAGE: await ensureTestImage("node", say),
      PGLADDER_TEST_POOLER_IMAGE: await ensureTestImage("pooler", say),
      PGLADDER_TEST_CACHE_IMAGE: await ensureTestImage("cache", say),
      ...(full ? { PGLADDER_TEST_FULL: "1" } : {}),
    };
    for (const name of LAYERS.slice(1)) counts.push(await layer(name, reports, environment));
  } finally {
    rmSync(reports, { recursive: true, force: true });
  }
  const { passed, failed } = sumOf(counts);
  say(`\n${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

const command = new Command("bin/test")
  .description("run lint, types and every layer of tests")
  .option("--full", "the long tests too")
  .exitOverride();
try {
  command.parse();
  process.exit(await main(command.opts<{ full?: true }>().full === true));
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
