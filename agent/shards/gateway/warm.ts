/** Connections to the shards, opened before somebody waits for them. */
import type pg from "pg";
import type { Ms } from "../../../plan/types.ts";

/** More statements at once would take the pool from the application. */
const MOST = 8;
/** Rounds without a session that is new to us: the others are not the pooler's to give. */
const ENOUGH = 25;

export interface Warmed {
  /** The role's sessions that have their connections. */
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

/**
 * Gives a role's pooled sessions their connections to the shards, where the trees are built already; each session has its own, and a new one takes
 * 10 to 20 ms. Run it shortly before the flip. The pooler hands out sessions as it likes, so statements are sent until all sessions were
 * reached, no new one comes, or time is up.
 *
 * @param pooled a client of the role through the pooler.
 * @param replicas connections of reads, to the shards' replicas.
 */
export async function warmSessions(pooled: () => Promise<pg.Client>, replicas: boolean, patience: Ms): Promise<Warmed> {
  const end = Date.now() + patience;
  const warm = new Set<string>();
  const present = new Map<string, number[]>();
  const cold = () => [...present].flatMap(([server, pids]) => pids.filter((pid) => !warm.has(`${server} ${pid}`))).length;
  const helpers = [await pooled()];
  const round = async (): Promise<boolean> => {
    const before = warm.size;
    for (const { server, pid, all } of await Promise.all(helpers.map((client) => warmOne(client, replicas)))) {
      warm.add(`${server} ${pid}`);
      present.set(server, all);
    }
    return warm.size > before;
  };
  try {
    await round();
    while (helpers.length < Math.min(MOST, cold())) helpers.push(await pooled());
    for (let idle = 0; idle < ENOUGH && cold() > 0 && Date.now() < end; ) idle = (await round()) ? 0 : idle + 1;
    return { warm: warm.size, cold: cold() };
  } finally {
    await Promise.all(helpers.map((client) => client.end()));
  }
}

/** Holds its session for a moment, so that the other statements come to other sessions. */
async function warmOne(client: pg.Client, replicas: boolean): Promise<Session> {
  const { rows } = await client.query<Session>(
    `select inet_server_addr()::text as server, pg_backend_pid() as pid, ladder.warm_shards($1), pg_sleep(0.02),
        array(select pid from pg_stat_activity where usename = current_user and datname = current_database() and backend_type = 'client backend') as all`,
    [replicas],
  );
  return rows[0]!;
}
