/**
 * The agent on AWS: the same commands as in its container, as Lambda functions in the VPC (components/aws/agent.ts). An invocation brings
 * what to make true; passwords are read from Secrets Manager and are in no event, environment or log.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LambdaCommand, LambdaEvent } from "../plan/lambda.ts";
import type { Context } from "./connections.ts";
import { configureManaged, migrateManaged } from "./managed/configure.ts";
import { publishMetrics } from "./managed/metrics.ts";
import { moveManaged } from "./managed/move.ts";
import { readPasswords } from "./managed/secrets.ts";

/** Beside the bundle, as components/aws/package.ts packs it. */
const PLATFORM = join(import.meta.dirname, "sql/platform");
const APPLICATION = join(import.meta.dirname, "schema");
const LINTER = join(import.meta.dirname, "bin/squawk");
/** The authorities of RDS' certificates, which Lambda's Node runtimes have from version 20 on; PGLADDER_CA names another file. */
const AUTHORITIES = process.env.PGLADDER_CA ?? "/var/runtime/ca-cert.pem";
/** The only folder that a function may write to. */
const WORKING = join(tmpdir(), "pgladder");
/** Lines of the log that a failure shows to whoever waits for the command. */
const SHOWN = 40;

/** What the handler uses of Lambda's context. */
interface Invocation {
  getRemainingTimeInMillis(): number;
}

type Run = (context: Context, event: LambdaEvent, invocation: Invocation) => Promise<unknown>;

const COMMANDS: Record<LambdaCommand, Run> = {
  configure: (context) => configureManaged(context, PLATFORM),
  migrate: (context) => migrateManaged(context, folder(APPLICATION), linter()),
  move: (context, { nodes, release }, invocation) =>
    moveManaged(context, { nodes, release, folder: folder(APPLICATION), remaining: () => invocation.getRemainingTimeInMillis() }),
  metrics: (context, event) =>
    // Lambda puts words before what console.log prints, and the line would be no metric any more.
    publishMetrics(context, { ...event, write: (line) => process.stdout.write(`${line}\n`), now: Date.now() }),
};

/** A command that failed, with the end of its log: the message is all that the caller gets. */
class CommandFailed extends Error {
  constructor(command: string, cause: unknown, lines: readonly string[]) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const shown = lines.length > 0 ? `\n\nthe log's last lines:\n${lines.slice(-SHOWN).join("\n")}` : "";
    super(`${command}: ${message}${shown}`);
    this.name = "CommandFailed";
    // Lambda would add it to its answer, and the bundle's lines tell nobody anything.
    this.stack = "";
  }
}

/**
 * Runs one command.
 * @returns what the command says of itself, or `{"done": <command>}`
 * @throws with the command's own message, a migration's with file, line and PostgreSQL's words, and the end of the log
 */
export async function handler(event: LambdaEvent, invocation: Invocation): Promise<unknown> {
  const lines: string[] = [];
  const log = (line: string) => {
    lines.push(line);
    console.log(line);
  };
  try {
    const command = COMMANDS[event.command];
    if (!command) throw new Error(`got ${JSON.stringify(event.command)}, want one of ${Object.keys(COMMANDS).join(", ")}`);
    const { desired, secrets } = event;
    mkdirSync(WORKING, { recursive: true });
    copyFileSync(AUTHORITIES, join(WORKING, "ca.crt"));
    const passwords = await readPasswords(secrets);
    const context: Context = { files: WORKING, desired, passwords, log, managed: desired.pooler };
    return (await command(context, event, invocation)) ?? { done: event.command };
  } catch (error) {
    throw new CommandFailed(event.command, error, lines);
  }
}

/** A package has no empty folders. */
function folder(path: string): string {
  if (existsSync(path)) return path;
  const empty = join(WORKING, "empty");
  mkdirSync(empty, { recursive: true });
  return empty;
}

/** Packages need not keep who may run a file. */
function linter(): string | undefined {
  if (!existsSync(LINTER)) return undefined;
  const copy = join(WORKING, "squawk");
  if (!existsSync(copy)) copyFileSync(LINTER, copy);
  chmodSync(copy, 0o755);
  return copy;
}
