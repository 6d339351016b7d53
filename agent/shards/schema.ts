/** The application's schema on a shard: the same migrations as on the gateway, definitions only. */
import type pg from "pg";
import { InputError, type Ms, ms } from "../../plan/types.ts";
import { begin } from "../migrate/begin.ts";
import { MigrationError } from "../migrate/errors.ts";
import { readFolder } from "../migrate/files.ts";
import { definitionsOf } from "../migrate/place.ts";
import { type Adapted, type Run, runAlone, runFile, withRetries } from "../migrate/run.ts";
import { groupScripts, parseScript, type Script, type Statement } from "../migrate/script.ts";

export interface DefinitionsOptions {
  /** A connected client, straight to the shard's primary. It is ended here. */
  connect: () => Promise<pg.Client>;
  folder: string;
  /** Role that runs the files and so owns what they make. @default the connection's own */
  role?: string;
  lockTimeout: Ms;
  log: (line: string) => void;
  /** The shard's name in messages. */
  server: string;
  /** Attempts at a lock. @default 6 */
  tries?: number;
  /** How long to wait for another run to end. @default 10 minutes */
  wait?: Ms;
  /** Only these files. @default all */
  only?: (file: string) => boolean;
}

export const DEFAULT_TRIES = 6;
export const DEFAULT_WAIT = ms(600_000);

/** Reads and parses a folder. @throws InputError, MigrationError. */
export async function readScripts(folder: string, role: string | undefined, log: (line: string) => void): Promise<Script[]> {
  const { files, leftOut } = await readFolder(folder);
  for (const { name, why } of leftOut) log(`${folder}/${name}: left out, ${why}`);
  const scripts: Script[] = [];
  for (const file of files) scripts.push(await parseScript(file, role));
  return scripts;
}

/**
 * Applies what is pending of a folder to a shard, without the statements that change rows: rows come by replication, or stay on the gateway.
 * The same result whether the shard follows along or is made anew from the whole history. Safe to call twice and at the same time.
 *
 * @throws InputError for a folder or a ledger that cannot be used, MigrationError for a file that fails; both name the shard.
 */
export async function applyDefinitions(options: DefinitionsOptions): Promise<{ applied: string[]; already: number }> {
  const { folder, role, log, server, only = () => true } = options;
  const scripts = (await readScripts(folder, role, () => undefined)).filter(({ file }) => only(file.name)).map(definitionsOf);
  const client = await options.connect();
  client.on("error", () => undefined);
  try {
    const { tries = DEFAULT_TRIES, wait = DEFAULT_WAIT, lockTimeout } = options;
    const repeatable = new Set(scripts.filter(({ file }) => file.repeatable).map(({ file }) => file.name));
    // Whether a file was edited is for the gateway to say.
    const settled = (file: string) => !repeatable.has(file);
    const { run, pending, already, problems } = await begin(client, {
      folder,
      role,
      lockTimeout,
      tries,
      log,
      server,
      wait,
      scripts,
      settled,
    });
    if (problems.length > 0) throw new InputError("app migrations (nothing was changed)", problems);
    const shard = watched(run);
    for (const group of groupScripts(pending)) await applyGroup(shard, group);
    if (pending.length > 0) log(`${server}: ${pending.length} files applied, definitions only`);
    return { applied: pending.map(({ file }) => file.name), already };
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function applyGroup(run: Run, group: readonly Script[]): Promise<void> {
  if (group[0]!.outside !== undefined) return applyAlone(run, group[0]!);
  await withRetries(run, async () => {
    await run.client.query("begin");
    try {
      for (const script of group) {
        await runFile(run, script);
        await run.ledger.logMigration({ name: script.file.name });
      }
      await run.client.query("commit");
    } catch (error) {
      await run.client.query("rollback").catch(() => undefined);
      throw error;
    }
  });
}

/** One file that cannot run in a transaction, with its row in the ledger. */
export async function applyAlone(run: Run, script: Script): Promise<void> {
  await runAlone(run, script);
  await run.ledger.logMigration({ name: script.file.name });
}

/** Rows that the session has changed since it began, by table of the application. */
const CHANGES = `
  select format('%I.%I', schemaname, relname) as table, (n_tup_ins + n_tup_upd + n_tup_del)::float8 as changes, (n_tup_ins - n_tup_del)::float8 as rows
    from pg_stat_xact_user_tables
   where schemaname !~ '^(pg_temp|pg_toast|ladder|partman$|cron$)' and n_tup_ins + n_tup_upd + n_tup_del > 0`;

interface Changed {
  table: string;
  changes: number;
  rows: number;
}

/**
 * The run of a shard: what a DO block puts into tables that were empty is taken out again, because rows come from the gateway; where a block
 * changes rows that are there, the file fails.
 */
export function watched(run: Run): Run {
  const changes = async () => {
    const { rows } = await run.client.query<Changed>(CHANGES);
    return new Map(rows.map((row) => [row.table, row]));
  };
  const adapt = async (script: Script, statement: Statement): Promise<Adapted> => {
    if (!("DoStmt" in statement.node)) return { text: statement.text };
    const before = await changes();
    await run.client.query("select set_config('ladder.definitions', 'on', true)");
    const after = async () => {
      for (const [table, now] of await changes()) {
        const was = before.get(table);
        if (now.changes > (was?.changes ?? 0)) await takeOut(run, script, statement, table, now.rows - (was?.rows ?? 0));
      }
      await run.client.query("select set_config('ladder.definitions', '', true)");
    };
    return { text: statement.text, after };
  };
  return { ...run, adapt };
}

/** Empties a table to which the block has added `added` rows, and which was empty before. */
async function takeOut(run: Run, { file }: Script, { line, column }: Statement, table: string, added: number): Promise<void> {
  const { client, server } = run;
  await client.query("reset role");
  const { rows } = await client.query<{ rows: number }>(
    `select count(*)::float8 as rows from (select from only ${table} limit ${Math.max(0, added) + 1}) r`,
  );
  if (rows[0]!.rows > Math.max(0, added))
    throw new MigrationError(file, {
      line,
      column,
      message: `on ${server}: the block changes rows of ${table}, which a shard gets from the gateway`,
      notes: ["want: the statements that change rows outside of DO blocks, where they run on the gateway only"],
    });
  await client.query(
    `set local session_replication_role = replica; delete from only ${table}; set local session_replication_role = origin`,
  );
  if (run.role !== undefined) await client.query(`set role ${client.escapeIdentifier(run.role)}`);
}
