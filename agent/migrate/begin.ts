/** How a run begins on one server of several: its lock, what it has, what is to apply. */
import type { Client } from "pg";
import type { Ms, Problem } from "../../plan/types.ts";
import { checkHistory, Ledger } from "./ledger.ts";
import type { Run } from "./run.ts";
import type { Script } from "./script.ts";
import { freshSettings, refuseReadOnly, takeRunLock } from "./session.ts";

export interface BeginOptions extends Pick<Run, "role" | "lockTimeout" | "tries" | "log" | "server"> {
  folder: string;
  wait: Ms;
  /** Every file of the folder as this server runs it. */
  scripts: readonly Script[];
  /** Files whose text here is of no matter: another server has them as they are. */
  settled: (file: string) => boolean;
}

export interface Begun {
  run: Run;
  /** In order. */
  pending: Script[];
  already: number;
  /** Files that this server has as they are. */
  done: ReadonlySet<string>;
  /** What contradicts the ledger. */
  problems: Problem[];
}

/** Prepares the session and takes the run's lock, which lasts as long as the connection. Changes nothing. */
export async function begin(client: Client, options: BeginOptions): Promise<Begun> {
  const { folder, role, lockTimeout, tries, log, server, scripts, settled } = options;
  await refuseReadOnly(client);
  await freshSettings(client, lockTimeout, "app");
  await takeRunLock(client, options.wait, log);
  const files = scripts.map(({ file }) => file);
  const ledger = new Ledger(client, "app", files);
  const rows = (await ledger.rows()).map((row) => {
    const file = files.find(({ name }) => name === row.file);
    return file && settled(row.file) ? { ...row, sha256: file.sha256 } : row;
  });
  const on = server === undefined ? "" : `${server}: `;
  const problems = checkHistory("app", folder, files, rows).map((problem) => ({ ...problem, path: on + problem.path }));
  const had = new Map(rows.map((row) => [row.file, row.sha256]));
  const isDone = ({ file }: Script) => had.has(file.name) && (!file.repeatable || had.get(file.name) === file.sha256);
  const pending = scripts.filter((script) => !isDone(script));
  return {
    run: { client, ledger, role, lockTimeout, tries, log, ...(server === undefined ? {} : { server }) },
    pending,
    already: scripts.length - pending.length,
    done: new Set(scripts.filter(isDone).map(({ file }) => file.name)),
    problems,
  };
}
