/**
 * Applies a folder of SQL migrations to one database: the platform's or the application's.
 * order.ts and files.ts read the folder, script.ts splits it into statements, ledger.ts keeps what was applied, risk.ts names what would
 * lock a filled table, run.ts runs. docs/migrations.md is the user's page.
 */
import type { Client } from "pg";
import { Umzug } from "umzug";
import { InputError, type Ms, ms } from "../../plan/types.ts";
import { readFolder } from "./files.ts";
import { checkHistory, Ledger, type MigrationSet } from "./ledger.ts";
import { assessRisk, FILLED_TABLE, type Filled } from "./risk.ts";
import { type Run, runAlone, runFile, runTogether } from "./run.ts";
import { groupScripts, parseScript, type Script } from "./script.ts";
import { freshSettings, refuseReadOnly, takeRunLock } from "./session.ts";

export { MigrationError } from "./errors.ts";
export type { MigrationSet } from "./ledger.ts";
export type { Filled } from "./risk.ts";

export interface MigrateOptions {
  /** A connected client, straight to the primary: not through the pooler, because the run holds a session lock. It is ended here. */
  connect: () => Promise<Client>;
  /** Folder of `.sql` files. */
  folder: string;
  set: MigrationSet;
  /** Role that runs the files and so owns what they make. @default the connection's own */
  role?: string;
  /** How long one statement may wait for a lock, and so hold up everybody behind it. */
  lockTimeout: Ms;
  log: (line: string) => void;
  /** What happens when a pending file would lock a filled table for long. @default "warn" */
  onRisk?: "warn" | "fail";
  /** The squawk binary. Without it only the checks of this program run. */
  linter?: string;
  /** From which size a table counts as filled. @default 100,000 rows or 100 MiB */
  filled?: Filled;
  /** Attempts at a lock. @default 6 */
  tries?: number;
  /** How long to wait for another run to end. @default 10 minutes */
  wait?: Ms;
}

export interface MigrateResult {
  /** Files applied by this run, in order. */
  applied: string[];
  /** Files that were there before. */
  already: number;
}

const DEFAULT_TRIES = 6;
const DEFAULT_WAIT = ms(600_000);

async function applyGroup(run: Run, umzug: Umzug<object>, group: readonly Script[]): Promise<void> {
  if (group[0]!.outside === undefined) await runTogether(run, umzug, group);
  else {
    await runAlone(run, group[0]!);
    await run.ledger.logMigration({ name: group[0]!.file.name });
  }
  for (const { file, statements, outside } of group)
    run.log(
      `${file.path}: applied, ${statements.length} statement${statements.length === 1 ? "" : "s"}${outside === undefined ? "" : `, without a transaction (${outside})`}`,
    );
}

async function migrate(client: Client, options: MigrateOptions): Promise<MigrateResult> {
  const { folder, set, role, lockTimeout, log } = options;
  const { files, leftOut } = await readFolder(folder);
  for (const { name, why } of leftOut) log(`${folder}/${name}: left out, ${why}`);
  if (files.length === 0) log(`${folder}: no .sql files`);
  await refuseReadOnly(client);
  await freshSettings(client, lockTimeout, set);
  await takeRunLock(client, options.wait ?? DEFAULT_WAIT, log);

  const ledger = new Ledger(client, set, files);
  const rows = await ledger.rows();
  const problems = checkHistory(set, folder, files, rows);
  if (problems.length > 0) throw new InputError(`${set} migrations (nothing was changed)`, problems);
  const done = new Set(await ledger.executed());
  const pending = files.filter((file) => !done.has(file.name));
  const already = files.length - pending.length;
  log(`${folder}: ${already} applied before, ${pending.length} to apply`);
  const scripts: Script[] = [];
  for (const file of pending) scripts.push(await parseScript(file, role));
  for (const { file, notes } of scripts) for (const note of notes) log(`${file.path}: ${note}`);

  const groups = groupScripts(scripts);
  await assessRisk({
    client,
    groups,
    linter: options.linter,
    filled: options.filled ?? FILLED_TABLE,
    onRisk: options.onRisk ?? "warn",
    log,
  });
  const run: Run = { client, ledger, role, lockTimeout, tries: options.tries ?? DEFAULT_TRIES, log };
  const umzug = new Umzug<object>({
    migrations: scripts.map((script) => ({ name: script.file.name, path: script.file.path, up: () => runFile(run, script) })),
    storage: ledger,
    context: {},
    logger: undefined,
  });
  for (const group of groups) await applyGroup(run, umzug, group);
  return { applied: pending.map(({ name }) => name), already };
}

/**
 * Applies what is pending, in order, and nothing twice. Files that can run in a transaction share one: if any fails, none is applied.
 * Safe to call twice and at the same time: the second call waits, then finds nothing to do. Never drops anything by itself.
 * @throws InputError for a folder or a history that cannot be used, MigrationError for a file that fails: both with the place and what to do.
 */
export async function applyMigrations(options: MigrateOptions): Promise<MigrateResult> {
  const client = await options.connect();
  let lost: Error | undefined;
  client.on("error", (error) => {
    lost = error;
  });
  client.on("notice", (notice) => {
    if (notice.severity === "WARNING") options.log(`${options.folder}: ${notice.message ?? ""}`);
  });
  try {
    return await migrate(client, options);
  } catch (error) {
    if (lost && error instanceof Error) error.message += `\nthe connection was lost: ${lost.message}`;
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}
