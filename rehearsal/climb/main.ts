/** `npm run rehearse`: climbs a filled stack under load and prints the verdict of each step. See docs/rehearsal.md. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { passed, renderClimb } from "./report.ts";
import { type ClimbOptions, climb, openStack } from "./run.ts";
import { readSteps, type Step } from "./steps.ts";

interface Flags {
  stack: string;
  port: number;
  steps: Step[];
  set: Record<string, string>;
  messages: number;
  clients: number;
  rate: number;
  routed: number;
  speed: number;
  pgbench: number;
  image: string;
  maxStall?: number;
  folder?: string;
  keep?: true;
  json?: string;
}

/** One gigabyte a node, and few connections: many nodes share the machine. */
const SMALL = {
  primary: JSON.stringify({ memory: "1GB" }),
  shards: JSON.stringify({ memory: "1GB" }),
  pooler: JSON.stringify({ defaultPoolSize: 8, minPoolSize: 2, reservePoolSize: 2, sessionPoolSize: 4 }),
};

const number = (text: string): number => {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError("want a number");
  return Number(text);
};

const steps = (text: string): Step[] => {
  try {
    return readSteps(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
};

const setting = (text: string, before: Record<string, string>): Record<string, string> => {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("want key=value");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
};

const began = performance.now();
const say = (text: string): void => {
  const at = ((performance.now() - began) / 1000).toFixed(1).padStart(7);
  process.stderr.write(`${text.replaceAll(/^/gm, `${at}  `)}\n`);
};

async function rehearse(flags: Flags): Promise<boolean> {
  const { stack: name, port, set, pgbench, image, speed, maxStall, keep, json, ...load } = flags;
  const folder = flags.folder ?? mkdtempSync(join(tmpdir(), "pgladder-rehearse-"));
  const options: ClimbOptions = {
    ...load,
    name,
    folder,
    values: { port: String(port), ...SMALL, ...set },
    speedSeconds: speed,
    pgbench: pgbench > 0 ? { scale: pgbench, image } : undefined,
    maxStall,
    say,
  };
  const stack = openStack(options);
  try {
    const report = await climb(stack, options);
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(`${renderClimb(report).join("\n")}\n`);
    return passed(report);
  } finally {
    if (keep) say(`the stack stays: PGLADDER_STATE=${join(folder, "state")} PGLADDER_CONFIG=${folder} bin/ladder --stack ${name} status`);
    else {
      await stack.down();
      if (flags.folder === undefined) rmSync(folder, { recursive: true, force: true });
    }
  }
}

const program = new Command("rehearse")
  .description("Climbs a stack of its own, filled and under load, and proves step by step that nothing was lost.")
  .option("--steps <list>", "stages one after the other; 4x6 is stage 4 with six shards", steps, readSteps("3,4"))
  .option("--messages <n>", "rows of the example application's messages", number, 2_000_000)
  .option("--clients <n>", "connections that write, up to 200", number, 20)
  .option("--rate <n>", "writes a second, all clients together, and as many reads", number, 100)
  .option("--routed <share>", "share of clients and readers that go through the client library's router, 0 to 1", number, 0.5)
  .option("--speed <seconds>", "before and after each step: how fast the router and the write URL are; 0 leaves it out", number, 30)
  .option("--pgbench <scale>", "pgbench before, during and after each step, at this scale; 0 leaves it out", number, 0)
  .option("--image <name>", "image that has pgbench", process.env.PGLADDER_TEST_IMAGE ?? "pgladder/node:latest")
  .option("--max-stall <ms>", "longest write stall that still passes", number)
  .option("--stack <name>", "name of the stack, which must not exist", "rehearse")
  .option("--port <n>", "its port", number, 6690)
  .option("--set <key=value>", "configuration of the stack, as often as needed", setting, {})
  .option("--folder <path>", "for state, configuration and ledgers, which stay there (default: a temporary one)")
  .option("--json <file>", "the whole report")
  .option("--keep", "leave the stack as the last step leaves it")
  .action(async (flags: Flags) => {
    process.exitCode = (await rehearse(flags)) ? 0 : 1;
  });

try {
  await program.parseAsync();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
