/** Runs parsed migrations: many in one transaction, or one statement by statement. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, DatabaseError } from "pg";
import { type Umzug, MigrationError as UmzugError } from "umzug";
import type { Ms } from "../../plan/types.ts";
import { MigrationError, placeAt } from "./errors.ts";
import type { Ledger } from "./ledger.ts";
import type { Script, Statement } from "./script.ts";
import { freshSettings, lockHolders } from "./session.ts";
import { relationsOf, whyOutside } from "./statements.ts";

export interface Run {
  client: Client;
  ledger: Ledger;
  role: string | undefined;
  lockTimeout: Ms;
  /** How often a statement that waits for a lock in vain is tried. */
  tries: number;
  log: (line: string) => void;
  /** Which server, where there are several; it stands in messages. */
  server?: string;
  /** What the server makes of a statement; undefined leaves it out. @default it runs as it is */
  adapt?: ((script: Script, statement: Statement) => Promise<Adapted | undefined>) | undefined;
}

/** A statement as one server runs it. */
export interface Adapted {
  text: string;
  /** Follows it, in the same transaction. */
  after?: () => Promise<void>;
}

const LOCK_NOT_AVAILABLE = "55P03";
const DEADLOCK = "40P01";
const LONGEST_PAUSE = 8000;

/** A lock was not to be had: worth another try. */
class LockRefused extends Error {
  readonly failure: MigrationError;
  readonly statement: Statement;
  readonly client: Client;
  constructor(failure: MigrationError, statement: Statement, client: Client) {
    super(failure.message, { cause: failure });
    this.failure = failure;
    this.statement = statement;
    this.client = client;
  }
}

/** What to do about errors whose own message does not say it. */
function advice(error: DatabaseError, role: string | undefined): string[] {
  const own: Record<string, string> = {
    "25001": "want: -- ladder: no transaction in the file's first line",
    "2D000": "want: -- ladder: no transaction in the file's first line",
    "42501": `the file runs as ${role ?? "the connection's role"}; extensions that need a superuser come with sql/platform`,
  };
  if (error.code === "42704" && error.message.startsWith("role ")) return ["want: a dump made with pg_dump --no-owner --no-privileges"];
  const line = own[error.code ?? ""];
  return line === undefined ? [] : [line];
}

/** An error of a statement, with its place and server; one about a lock makes `withRetries` try again. */
export function describe(
  { client, role, server }: Run,
  { file }: Script,
  statement: Statement,
  error: unknown,
): MigrationError | LockRefused {
  if (error instanceof MigrationError) return error;
  const on = server === undefined ? "" : `on ${server}: `;
  if (!(error instanceof DatabaseError)) {
    const message = `${on}the connection was lost: ${error instanceof Error ? error.message : String(error)}`;
    const notes = ["run it again: the ledger knows what was applied"];
    return new MigrationError(file, { line: statement.line, column: statement.column, message, notes }, { cause: error });
  }
  const place = error.position === undefined ? statement : placeAt(statement.text, Number(error.position) - 1, statement);
  const lines = { detail: error.detail, hint: error.hint, context: error.where, "in the query": error.internalQuery };
  const notes = Object.entries(lines).flatMap(([name, text]) => (text === undefined ? [] : [`${name}: ${text}`]));
  const failure = { line: place.line, column: place.column, message: `${on}${error.message}`, code: error.code };
  const described = new MigrationError(file, { ...failure, notes: [...notes, ...advice(error, role)] }, { cause: error });
  return error.code === LOCK_NOT_AVAILABLE || error.code === DEADLOCK ? new LockRefused(described, statement, client) : described;
}

async function execute(run: Run, script: Script, statement: Statement): Promise<void> {
  try {
    const adapted: Adapted | undefined = run.adapt ? await run.adapt(script, statement) : { text: statement.text };
    if (!adapted) return;
    await run.client.query(adapted.text);
    await adapted.after?.();
  } catch (error) {
    throw describe(run, script, statement, error);
  }
}

async function become(run: Run): Promise<void> {
  if (run.role !== undefined) await run.client.query(`set role ${run.client.escapeIdentifier(run.role)}`);
}

/** Fires what a commit would fire, so that the next file may alter the tables and errors name this file. */
async function checkDeferred(run: Run, script: Script): Promise<void> {
  const { rows } = await run.client.query<{ names: string | null }>(
    `select string_agg(distinct format('%I.%I', n.nspname, c.conname), ', ') as names
     from pg_constraint c join pg_namespace n on n.oid = c.connamespace
     where c.condeferrable and c.condeferred and has_schema_privilege(n.oid, 'usage')`,
  );
  const names = rows[0]?.names;
  const last = script.statements.at(-1);
  if (!names || !last) return;
  await execute({ ...run, adapt: undefined }, script, { ...last, text: `set constraints ${names} immediate` });
  await run.client.query(`set constraints ${names} deferred`);
}

/** One file inside the run's transaction; its row in the ledger is the caller's. */
export async function runFile(run: Run, script: Script): Promise<void> {
  const start = performance.now();
  await freshSettings(run.client, run.lockTimeout, run.ledger.set);
  await become(run);
  for (const statement of script.statements) await execute(run, script, statement);
  await checkDeferred(run, script);
  await run.client.query("reset role");
  run.ledger.took(script.file.name, performance.now() - start);
}

/** Tries again while a lock cannot be had, with growing pauses that let the waiting traffic through. */
export async function withRetries(run: Run, attempt: () => Promise<void>): Promise<void> {
  for (let n = 1; ; n++) {
    try {
      return await attempt();
    } catch (caught) {
      const error = caught instanceof UmzugError ? caught.cause : caught;
      if (!(error instanceof LockRefused)) throw error;
      const { failure, statement, client } = error;
      const holders = await lockHolders(client, relationsOf(statement.node));
      if (n >= run.tries) {
        const tried = `tried ${run.tries} times, each waiting up to ${run.lockTimeout} ms; nothing of the statement was applied`;
        failure.message = [failure.message, tried, ...holders, "want: a quieter moment, or the session above ended"].join("\n");
        throw failure;
      }
      const pause = Math.min(LONGEST_PAUSE, 250 * 2 ** (n - 1));
      const why = failure.code === DEADLOCK ? "a deadlock" : `no lock within ${run.lockTimeout} ms`;
      const again = `try ${n + 1} of ${run.tries} in ${pause} ms`;
      run.log([`${failure.file}:${failure.line}: ${why}, ${again}`, ...holders].join("; "));
      await sleep(pause);
    }
  }
}

/** Applies files in one transaction, with their ledger rows: all or none. */
export async function runTogether(run: Run, umzug: Umzug<object>, scripts: readonly Script[]): Promise<void> {
  const names = scripts.map(({ file }) => file.name);
  await withRetries(run, async () => {
    await run.client.query("begin");
    try {
      await umzug.up({ migrations: names });
      await run.client.query("commit");
    } catch (error) {
      await run.client.query("rollback").catch(() => undefined);
      throw error;
    }
  });
}

async function invalidIndexes(run: Run): Promise<string[]> {
  const { rows } = await run.client.query<{ name: string }>(
    "select indexrelid::regclass::text as name from pg_index where not indisvalid order by 1",
  );
  return rows.map((row) => row.name);
}

function refuseInvalid(script: Script, invalid: readonly string[]): void {
  for (const { node, line, column } of script.statements) {
    const name = "IndexStmt" in node ? node.IndexStmt.idxname : undefined;
    const left = name === undefined ? undefined : invalid.find((other) => other.split(".").at(-1) === name);
    if (left !== undefined)
      throw new MigrationError(script.file, {
        line,
        column,
        message: `index ${left} is there but invalid: an earlier CREATE INDEX CONCURRENTLY did not finish`,
        notes: [`want: drop index concurrently ${left}; then the migration again`],
      });
  }
}

/**
 * One file statement by statement, each committing by itself. The ledger says "started" and how far it came, so that a run that stops
 * half-way is named by the next one. If its first statement fails and leaves nothing behind, the file counts as not started.
 */
export async function runAlone(run: Run, script: Script): Promise<void> {
  const { client, ledger } = run;
  const { file, statements } = script;
  const start = performance.now();
  const invalid = await invalidIndexes(run);
  refuseInvalid(script, invalid);
  await ledger.start(file.name);
  await freshSettings(client, run.lockTimeout, ledger.set);
  for (const [done, statement] of statements.entries()) {
    const patient = whyOutside(statement.node) !== undefined;
    try {
      await withRetries(run, async () => {
        await become(run);
        await client.query(`set lock_timeout = ${patient ? 0 : run.lockTimeout}`);
        await execute(run, script, statement);
      });
    } catch (error) {
      await noteFailure(run, script, done, invalid, error);
      throw error;
    }
    await client.query("reset role");
    await ledger.progress(file.name, done + 1, null);
  }
  ledger.took(file.name, performance.now() - start);
}

async function noteFailure(run: Run, script: Script, done: number, invalidBefore: readonly string[], error: unknown): Promise<void> {
  const { name } = script.file;
  try {
    await run.client.query("reset role");
    const left = (await invalidIndexes(run)).filter((index) => !invalidBefore.includes(index));
    if (done === 0 && left.length === 0) return await run.ledger.unlogMigration({ name });
    const message = error instanceof MigrationError ? error.message.split("\n")[0]! : String(error);
    await run.ledger.progress(name, done, [message, ...left.map((index) => `invalid index ${index} is left`)].join("; "));
  } catch {
    run.log(`${script.file.path}: the ledger could not be told; the next run names the file as started`);
  }
}
