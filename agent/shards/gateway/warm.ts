/** What a session needs before its first statement is fast, made before somebody waits for it. */
import type pg from "pg";
import type { Ms } from "../../../plan/types.ts";
import { qualified } from "../sql.ts";
import type { GlobalTable } from "../types.ts";

/** More statements at once would take the pool from the application. */
const MOST = 8;
/** Rounds without a session that is new to us: the others are not the pooler's to give. */
const ENOUGH = 25;

export interface Warmed {
  /** The role's sessions that were reached. */
  warm: number;
  /** Those that were not handed to us. */
  cold: number;
}

interface Session {
  server: string;
  pid: number;
  /** Of the same role there. */
  all: number[];
}

/** For the gateway's sessions, where the trees are built already: each has its own connections to the shards, and a new one takes 10 to 20 ms. */
export const SHARDS = "select ladder.warm_shards(false)";

/** For a shard's sessions: what PostgreSQL keeps in memory of tables and their partitions. */
export const definitionsOf = (tables: readonly GlobalTable[]): string =>
  tables.map((table) => `explain select from ${qualified(table)}`).join("; ");

export interface Warming {
  /** A client of the role through the pooler. */
  pooled: () => Promise<pg.Client>;
  /** Statements that change nothing. */
  what: string;
  patience: Ms;
  /** Sessions that the pooler shall open where it has fewer, up to 8. @default 1 */
  least?: number;
}

/**
 * Has each of a role's pooled sessions do something once. Run it shortly before the flip. The pooler hands out sessions as it likes, so
 * statements are sent until all sessions were reached, no new one comes, or time is up.
 */
export async function warmSessions({ pooled, what, patience, least = 1 }: Warming): Promise<Warmed> {
  const end = Date.now() + patience;
  const warm = new Set<string>();
  const present = new Map<string, number[]>();
  const cold = () => [...present].flatMap(([server, pids]) => pids.filter((pid) => !warm.has(`${server} ${pid}`))).length;
  const helpers: pg.Client[] = [];
  const round = async (): Promise<boolean> => {
    const before = warm.size;
    for (const { server, pid, all } of await Promise.all(helpers.map((client) => warmOne(client, what)))) {
      warm.add(`${server} ${pid}`);
      present.set(server, all);
    }
    return warm.size > before;
  };
  try {
    while (helpers.length < Math.min(MOST, least)) helpers.push(await pooled());
    await round();
    while (helpers.length < Math.min(MOST, cold())) helpers.push(await pooled());
    for (let idle = 0; idle < ENOUGH && cold() > 0 && Date.now() < end; ) idle = (await round()) ? 0 : idle + 1;
    return { warm: warm.size, cold: cold() };
  } finally {
    await Promise.all(helpers.map((client) => client.end()));
  }
}

/** Holds its session for a moment, so that the other statements come to other sessions. */
async function warmOne(client: pg.Client, what: string): Promise<Session> {
  const session = `select inet_server_addr()::text as server, pg_backend_pid() as pid, pg_sleep(0.02),
    array(select pid from pg_stat_activity where usename = current_user and datname = current_database() and backend_type = 'client backend') as all`;
  const results = (await client.query(`${what}; ${session}`)) as unknown as pg.QueryResult<Session>[];
  return results.at(-1)!.rows[0]!;
}
