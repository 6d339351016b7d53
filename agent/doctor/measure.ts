/** What a statement costs through postgres_fdw, measured on the server itself: a table of its own, read and written directly and through a loop back. */
import type pg from "pg";
import { UNAUDITED } from "../audit.ts";
import { unseen } from "../unseen.ts";

/** Statements a second that the whole server can do, half of them reads and half of them updates by key, each a transaction of its own. */
export interface Measured {
  direct: number;
  gateway: number;
  sessions: number;
}

/** How the server reaches itself: options of a foreign server, and of its user mapping. */
export interface Loopback {
  server: Readonly<Record<string, string>>;
  user: Readonly<Record<string, string>>;
}

/** Rows that each session has for itself: nobody waits for another one's. */
const ROWS = 100;
/** The ways are measured in turns: what else the machine does shall slow both. */
const TURNS = 5;
/** Length of a turn, ms. */
const TURN = 160;
const MOST_SESSIONS = 16;
const LEAST_SESSIONS = 4;

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const options = (given: Readonly<Record<string, string>>): string =>
  Object.entries(given)
    .map(([name, value]) => `${name} ${quote(value)}`)
    .join(", ");

const CLEAN = "drop server if exists ladder_measure cascade; drop schema if exists ladder_measure cascade";

/** A session for each core that the settings were made for, and as many again that postgres_fdw opens. */
async function sessionsFor(admin: pg.Client): Promise<number> {
  const { rows } = await admin.query<{ cores: number; free: number }>(
    `select current_setting('max_parallel_workers')::int as cores,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - current_setting('reserved_connections')::int
         - (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as free`,
  );
  const { cores, free } = rows[0]!;
  const sessions = Math.min(MOST_SESSIONS, Math.max(LEAST_SESSIONS, cores));
  if (free < 3 * sessions) throw new Error(`got ${free} free connections, want ${3 * sessions}`);
  return sessions;
}

/**
 * Keeps a session for each core busy for 1.6 s. Nothing waits for a disk or a replica. Leaves nothing behind; what a killed run has left is removed
 * by the next one.
 *
 * @param connect as the administrator, a new session each time
 * @param progress statements that the application has sent so far: what it does meanwhile is part of what the server can do
 * @throws PostgreSQL's error where the server cannot reach itself, or has no postgres_fdw
 */
export async function measure(
  connect: () => Promise<pg.Client>,
  { server, user }: Loopback,
  progress: () => Promise<number>,
): Promise<Measured> {
  const sessions: pg.Client[] = [];
  const admin = await connect();
  let had = true;
  try {
    const wanted = await sessionsFor(admin);
    const { rows } = await admin.query<{ there: boolean }>(
      "select exists (select from pg_extension where extname = 'postgres_fdw') as there",
    );
    had = rows[0]!.there;
    const all = { ...server, options: `-c synchronous_commit=off ${UNAUDITED}`, connect_timeout: "3", application_name: "ladder doctor" };
    await admin.query(CLEAN);
    for (const statement of [
      "create extension if not exists postgres_fdw",
      "create schema ladder_measure",
      "create unlogged table ladder_measure.direct (k integer primary key, v integer not null)",
      `insert into ladder_measure.direct select n, 0 from generate_series(0, ${wanted * ROWS - 1}) n`,
      "analyze ladder_measure.direct",
      `create server ladder_measure foreign data wrapper postgres_fdw options (${options(all)})`,
      `create user mapping for current_user server ladder_measure options (${options(user)})`,
      `create foreign table ladder_measure.gateway (k integer not null, v integer not null) server ladder_measure
        options (schema_name 'ladder_measure', table_name 'direct')`,
    ])
      await unseen(admin, statement);
    for (let i = 0; i < wanted; i++) {
      const session = await connect();
      sessions.push(session);
      await session.query("set synchronous_commit = off");
      await session.query("select from ladder_measure.gateway limit 1");
    }
    const zero = () => ({ done: 0, others: 0, ms: 0 });
    const direct = zero();
    const gateway = zero();
    for (let n = 0; n < TURNS; n++)
      for (const [way, sums] of [
        ["direct", direct],
        ["gateway", gateway],
      ] as const) {
        const before = await progress();
        const began = performance.now();
        const counts = await Promise.all(sessions.map((session, i) => turn(session, way, i * ROWS, began + TURN)));
        sums.ms += performance.now() - began;
        sums.done += counts.reduce((sum, each) => sum + each, 0);
        sums.others += (await progress()) - before;
      }
    return { ...capacities(direct, gateway), sessions: wanted };
  } finally {
    await Promise.all(sessions.map((session) => session.end().catch(() => undefined)));
    await admin.query(CLEAN);
    if (!had) await admin.query("drop extension if exists postgres_fdw");
    await admin.end();
  }
}

/** What was done in a way's turns: by the measurement, by the application, in how many ms. */
export interface Turns {
  done: number;
  others: number;
  ms: number;
}

/**
 * What the whole server can do in either way. The application's share of its time is taken out of the gateway's turns: it costs what it costs directly.
 * Never less than a tenth of the server is taken to be the measurement's.
 */
export function capacities(direct: Turns, gateway: Turns): { direct: number; gateway: number } {
  const rate = (count: number, { ms }: Turns) => (1_000 * count) / ms;
  const all = rate(direct.done + direct.others, direct);
  const share = Math.max(0.1, 1 - rate(gateway.others, gateway) / all);
  return { direct: all, gateway: Math.min(all, rate(gateway.done, gateway) / share) };
}

/** @returns statements that one session has done until then. */
async function turn(session: pg.Client, way: "direct" | "gateway", from: number, until: number): Promise<number> {
  let done = 0;
  for (; performance.now() < until; done += 2) {
    const key = [from + ((done / 2) % ROWS)];
    await session.query(`select v from ladder_measure.${way} where k = $1`, key);
    await session.query(`update ladder_measure.${way} set v = v + 1 where k = $1`, key);
  }
  return done;
}
