/** `ladder.migration`: what was applied, kept for umzug. Written as the connection's own role, never as the application's. */
import type { Client } from "pg";
import type { MigrationParams, UmzugStorage } from "umzug";
import { InputError, type Problem } from "../../plan/types.ts";
import type { SourceFile } from "./files.ts";
import { compareNames } from "./order.ts";

/** Which files: the platform's own or the application's. */
export type MigrationSet = "platform" | "app";

export interface LedgerRow {
  file: string;
  sha256: string;
  state: "started" | "applied";
  /** Finished statements of a file that runs without a transaction. */
  statements: number;
  appliedAt: Date;
  error: string | null;
}

export class Ledger implements UmzugStorage<object> {
  readonly #client: Client;
  readonly set: MigrationSet;
  readonly #files: ReadonlyMap<string, SourceFile>;
  readonly #durations = new Map<string, number>();
  /** Rows for files that ran before `ladder.migration` was there: the platform's first ones. */
  readonly #early: string[] = [];

  constructor(client: Client, set: MigrationSet, files: readonly SourceFile[]) {
    this.#client = client;
    this.set = set;
    this.#files = new Map(files.map((file) => [file.name, file]));
  }

  /** How long a file took, in ms; written with its row. */
  took(name: string, duration: number): void {
    this.#durations.set(name, duration);
  }

  async #exists(): Promise<boolean> {
    const { rows } = await this.#client.query<{ there: boolean }>("select to_regclass('ladder.migration') is not null as there");
    return rows[0]?.there === true;
  }

  /** @throws InputError when the ledger is missing and this is not the set that makes it. */
  async rows(): Promise<LedgerRow[]> {
    if (!(await this.#exists())) {
      if (this.set === "platform") return [];
      throw new InputError("migrations", [
        { path: "ladder.migration", got: "no such table", want: "the platform's migrations applied first" },
      ]);
    }
    const { rows } = await this.#client.query<LedgerRow>(
      `select file, sha256, state, statements, applied_at as "appliedAt", error from ladder.migration where set = $1`,
      [this.set],
    );
    return rows;
  }

  /** Names that umzug takes as done. A repeatable file whose text changed is pending again. */
  async executed(): Promise<string[]> {
    const rows = await this.rows();
    return rows.filter((row) => !this.#changedRepeatable(row)).map((row) => row.file);
  }

  #changedRepeatable(row: LedgerRow): boolean {
    const file = this.#files.get(row.file);
    return file?.repeatable === true && file.sha256 !== row.sha256;
  }

  async logMigration({ name }: Pick<MigrationParams<object>, "name">): Promise<void> {
    this.#early.push(name);
    if (!(await this.#exists())) return;
    for (const each of this.#early.splice(0)) await this.#write(each, "applied", null);
  }

  /** Marks a file that runs without a transaction as begun. */
  async start(name: string): Promise<void> {
    await this.#write(name, "started", 0);
  }

  async #write(name: string, state: LedgerRow["state"], statements: number | null): Promise<void> {
    await this.#client.query(
      `insert into ladder.migration as m (set, file, sha256, state, statements, duration)
       values ($1, $2, $3, $4, coalesce($5, 0), make_interval(secs => $6::float8 / 1000))
       on conflict (set, file) do update set sha256 = excluded.sha256, state = excluded.state, error = null,
         statements = coalesce($5, m.statements), duration = excluded.duration, applied_at = excluded.applied_at, by = excluded.by`,
      [this.set, name, this.#files.get(name)!.sha256, state, statements, this.#durations.get(name) ?? null],
    );
  }

  /** Notes how far a file without a transaction has come, or the error that stopped it. */
  async progress(name: string, statements: number, error: string | null): Promise<void> {
    await this.#client.query("update ladder.migration set statements = $3, error = $4 where set = $1 and file = $2", [
      this.set,
      name,
      statements,
      error,
    ]);
  }

  async unlogMigration({ name }: Pick<MigrationParams<object>, "name">): Promise<void> {
    await this.#client.query("delete from ladder.migration where set = $1 and file = $2", [this.set, name]);
  }
}

const day = (date: Date): string => date.toISOString().slice(0, 16).replace("T", " ");

function halfRun(set: MigrationSet, path: string, row: LedgerRow): Problem {
  const where = `where set = '${set}' and file = '${row.file.replaceAll("'", "''")}'`;
  return {
    path,
    got: `a run of ${day(row.appliedAt)} that stopped after ${row.statements} of its statements${row.error === null ? "" : `: ${row.error}`}`,
    want:
      `what it left checked; then, as ladder_admin, finish it by hand and update ladder.migration set state = 'applied' ${where}, ` +
      `or undo it and delete from ladder.migration ${where}`,
  };
}

/**
 * What contradicts the ledger: edited, removed or inserted files, and files that stopped half-way. Pure.
 * `folder` is put before names that have no file any more.
 */
export function checkHistory(set: MigrationSet, folder: string, files: readonly SourceFile[], rows: readonly LedgerRow[]): Problem[] {
  const byName = new Map(files.map((file) => [file.name, file]));
  const applied = new Map(rows.map((row) => [row.file, row]));
  if (rows.length > 1 && !rows.some((row) => byName.has(row.file)))
    return [
      { path: folder, got: `none of the ${rows.length} files applied to this database`, want: "the folder this database was made from" },
    ];
  const problems: Problem[] = [];
  for (const row of rows) {
    const file = byName.get(row.file);
    if (!file) {
      const twin = files.find((other) => other.sha256 === row.sha256 && !applied.has(other.name));
      problems.push({
        path: `${folder}/${row.file}`,
        got: twin ? `renamed to ${twin.name}` : "removed",
        want: `the file as it was applied on ${day(row.appliedAt)}; undo its work in a new file`,
      });
    } else if (row.state === "started") problems.push(halfRun(set, file.path, row));
    else if (file.sha256 !== row.sha256 && !file.repeatable)
      problems.push({
        path: file.path,
        got: `edited after it was applied (sha256 ${file.sha256.slice(0, 12)}…)`,
        want: `the text applied on ${day(row.appliedAt)} (sha256 ${row.sha256.slice(0, 12)}…); put the change into a new file`,
      });
  }
  const last = files.filter((file) => applied.has(file.name) && !file.repeatable).at(-1);
  for (const file of files)
    if (
      last &&
      !applied.has(file.name) &&
      compareNames(file.name, last.name) < 0 &&
      !problems.some((p) => p.got === `renamed to ${file.name}`)
    )
      problems.push({ path: file.path, got: "a new file before applied ones", want: `a name that sorts after ${last.name}` });
  return problems;
}
