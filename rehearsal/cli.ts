/** `node rehearsal/cli.ts`: runs a rehearsal's load, prints the verdict, exits 1 when it does not pass. See docs/rehearsal.md. */
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { InputError } from "../plan/types.ts";
import { Ledger } from "./ledger.ts";
import { renderVerdict } from "./render.ts";
import { wholeVerdict } from "./shards.ts";
import { checkTable, DEFAULT_TABLE, dropTable } from "./table.ts";
import { checkTarget } from "./target.ts";
import type { Limits } from "./verdict.ts";
import { type Load, type LoadOptions, startLoad } from "./workload.ts";

interface VerdictFlags {
  write: string;
  ledger: string;
  json?: true;
  allowPrivate?: true;
  allowFailed: number;
  allowReadErrors: number;
  maxStall?: number;
}

interface RunFlags extends VerdictFlags {
  read?: string;
  clients: number;
  rate: number;
  readRate?: number;
  routed: number;
  seconds: number;
  table: string;
  mark?: string;
  drop?: true;
}

const number = (text: string) => {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError("want a number");
  return Number(text);
};

/** How often the file of marks is looked at, ms. */
const MARK_INTERVAL = 200;

/** Every line that appears in the file while the load runs becomes a mark in the timeline; lines that were there before do not. */
async function followMarks(path: string, load: Load, stopped: () => boolean): Promise<void> {
  const lines = () => (existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : []);
  let seen = lines().length;
  while (!stopped()) {
    await sleep(MARK_INTERVAL);
    const all = lines();
    for (const text of all.slice(seen)) load.mark(text);
    seen = Math.max(seen, all.length);
  }
}

async function conclude(ledger: Ledger, { write, json, allowFailed, allowReadErrors, maxStall }: VerdictFlags): Promise<boolean> {
  const limits: Limits = { failedWrites: allowFailed, readErrors: allowReadErrors, ...(maxStall === undefined ? {} : { stall: maxStall }) };
  const result = await wholeVerdict(ledger, write, limits);
  console.log(json ? JSON.stringify(result, undefined, 2) : renderVerdict(result));
  return result.passed;
}

async function run(flags: RunFlags): Promise<boolean> {
  const { write, read, ledger, clients, rate, readRate, routed, table, seconds, allowPrivate, mark, drop } = flags;
  const options: LoadOptions = {
    writeUrl: write,
    ledger,
    clients,
    rate,
    routed,
    table,
    maxSeconds: seconds,
    allowPrivate: allowPrivate ?? false,
  };
  const load = await startLoad({ ...options, ...(read && { readUrl: read }), ...(readRate && { readRate }) });
  let stopped = false;
  const stop = () => {
    if (stopped) process.exit(130);
    stopped = true;
    console.error("stopping; once more ends it at once");
    void load.stop().catch(() => undefined);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const marks = mark === undefined ? undefined : followMarks(mark, load, () => stopped);
  try {
    await load.ended;
    stopped = true;
    await marks;
    const passed = await conclude(load.ledger, flags);
    if (drop && passed) await dropTable(write, table);
    return passed;
  } finally {
    load.ledger.close();
  }
}

async function verify(flags: VerdictFlags): Promise<boolean> {
  const problems = checkTarget("write", flags.write, flags.allowPrivate ?? false);
  if (problems.length > 0) throw new InputError("rehearsal", problems);
  const ledger = Ledger.open(flags.ledger);
  try {
    return await conclude(ledger, flags);
  } finally {
    ledger.close();
  }
}

type DropFlags = Pick<RunFlags, "write" | "table" | "allowPrivate">;

async function drop({ write, table, allowPrivate }: DropFlags): Promise<boolean> {
  const problems = [...checkTarget("write", write, allowPrivate ?? false), ...checkTable(table)];
  if (problems.length > 0) throw new InputError("rehearsal", problems);
  await dropTable(write, table);
  return true;
}

const finish = (work: Promise<boolean>) =>
  work.then(
    (passed) => {
      process.exitCode = passed ? 0 : 1;
    },
    (error: unknown) => {
      console.error(error instanceof Error ? error.message || error.name : error);
      process.exitCode = 2;
    },
  );

const withVerdict = (command: Command) =>
  command
    .requiredOption("--write <url>", "the stack's write URL")
    .requiredOption("--ledger <file>", "the ledger file")
    .option("--json", "print the verdict as JSON")
    .option("--allow-private", "accept private addresses and Docker names as hosts, not only this machine")
    .option("--allow-failed <n>", "writes that may fail (failed, refused or unknown) and the run still pass", number, 0)
    .option("--allow-read-errors <n>", "reads that may fail and the run still pass", number, 0)
    .option("--max-stall <ms>", "longest write stall that still passes", number);

const program = new Command("rehearsal").description("Proves that a stack loses nothing while it is changed.");
withVerdict(program.command("run", { isDefault: true }))
  .description("Writes at a steady rate, keeps a ledger of what was acknowledged, and compares it with the table row by row.")
  .option("--read <url>", "the stack's read URL")
  .option("--clients <n>", "connections that write, up to 200", number, 20)
  .option("--rate <n>", "writes a second, all clients together, up to 5000", number, 200)
  .option("--read-rate <n>", "reads a second (default: the write rate)", number)
  .option("--routed <share>", "share of clients and readers that go through the client library's shard router, 0 to 1", number, 0)
  .option("--seconds <n>", "how long, up to 3600", number, 30)
  .option("--table <name>", "the rehearsal's own table", DEFAULT_TABLE)
  .option("--mark <file>", "every line appended to this file meanwhile becomes a mark in the timeline")
  .option("--drop", "remove the table when the run passed")
  .action((flags: RunFlags) => finish(run(flags)));
withVerdict(program.command("verify"))
  .description("Compares the ledger of an earlier run with the table again: after a crash, after the way back.")
  .action((flags: VerdictFlags) => finish(verify(flags)));
program
  .command("drop")
  .description("Removes the rehearsal's table.")
  .requiredOption("--write <url>", "the stack's write URL")
  .option("--table <name>", "the rehearsal's own table", DEFAULT_TABLE)
  .option("--allow-private", "accept private addresses and Docker names as hosts")
  .action((flags: DropFlags) => finish(drop(flags)));
await program.parseAsync();
