/** pgbench's tables under a climb: selects and inserts through the write URL that must not fail, and TPC-B, whose hot rows do at stage 4. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pgbench, readReport } from "../../bench/pgbench.ts";

/** pgbench's own tables as a migration. Its history has no key: it gets one, with the account by which it is spread. */
export const PGBENCH_SQL = `create table pgbench_accounts (aid integer not null primary key, bid integer, abalance integer, filler char(84));
create table pgbench_branches (bid integer not null primary key, bbalance integer, filler char(88));
create table pgbench_tellers (tid integer not null primary key, bid integer, tbalance integer, filler char(84));
create sequence pgbench_history_id;
create table pgbench_history (
  id bigint not null default nextval('pgbench_history_id'),
  tid integer,
  bid integer,
  aid integer not null,
  delta integer,
  mtime timestamp,
  filler char(22),
  primary key (aid, id)
);
`;

/** Each table by its own number, history by the account's: what TPC-B changes together lies on up to three shards. */
export const PGBENCH_TABLES = {
  pgbench_accounts: { shardBy: "aid" },
  pgbench_branches: { shardBy: "bid" },
  pgbench_tellers: { shardBy: "tid" },
  pgbench_history: { shardBy: "aid" },
} as const;

const INSERT = `\\set aid random(1, 100000 * :scale)
\\set delta random(-5000, 5000)
insert into pgbench_history (tid, bid, aid, delta, mtime) values (1, 1, :aid, :delta, current_timestamp);
`;

export interface Run {
  what: "select only" | "insert" | "TPC-B";
  /** Transactions a second; of all runs together their mean. */
  perSecond: number;
  failed: number;
  /** Why pgbench could not go on, where it could not. */
  error?: string;
}

const CLIENTS = 4;

export class Pgbench {
  readonly #image: string;
  readonly #url: string;
  readonly #scale: number;
  readonly #insert: string;

  /** @param folder where the insert script is kept */
  constructor({ image, url, scale, folder }: { image: string; url: string; scale: number; folder: string }) {
    this.#image = image;
    this.#url = url;
    this.#scale = scale;
    this.#insert = join(folder, "insert.sql");
    writeFileSync(this.#insert, INSERT);
  }

  /** Fills the tables, which are there. */
  async fill(): Promise<void> {
    await this.#pgbench(["-i", "-I", "g", "-q", "-s", String(this.#scale)]);
  }

  /** Selects and inserts, one after the other, as fast as they go. */
  async quiet(seconds: number): Promise<Run[]> {
    return [await this.#run("select only", seconds), await this.#run("insert", seconds)];
  }

  tpcB(seconds: number): Promise<Run> {
    return this.#run("TPC-B", seconds);
  }

  /** Selects and inserts at the same time, 50 a second each, ten seconds a run, until `ended`. */
  async during(ended: () => boolean): Promise<Run[]> {
    const until = async (what: Run["what"]): Promise<Run> => {
      const runs: Run[] = [];
      while (!ended()) runs.push(await this.#run(what, 10, ["-R", "50"]));
      const error = runs.find((run) => run.error !== undefined)?.error;
      const perSecond = runs.reduce((sum, run) => sum + run.perSecond, 0) / Math.max(1, runs.length);
      return { what, perSecond, failed: runs.reduce((sum, { failed }) => sum + failed, 0), ...(error === undefined ? {} : { error }) };
    };
    return Promise.all([until("select only"), until("insert")]);
  }

  async #run(what: Run["what"], seconds: number, more: readonly string[] = []): Promise<Run> {
    const script = {
      "select only": ["-S", "-M", "prepared"],
      insert: ["-f", this.#insert, "-D", `scale=${this.#scale}`],
      "TPC-B": ["-s", String(this.#scale)],
    }[what];
    try {
      const report = readReport(await this.#pgbench(["-n", "-c", String(CLIENTS), "-T", String(seconds), ...more, ...script]));
      return { what, perSecond: report.transactionsPerSecond, failed: report.failed };
    } catch (error) {
      return { what, perSecond: 0, failed: 0, error: lastLine(error) };
    }
  }

  #pgbench(args: readonly string[]): Promise<string> {
    return pgbench({ image: this.#image, url: this.#url, files: [this.#insert] }, args);
  }
}

/** What pgbench said last, without the command line. */
function lastLine(error: unknown): string {
  const text = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
  return text.split("\n").find((line) => line.includes("error:")) ?? text.trim().split("\n").at(-1)!;
}
