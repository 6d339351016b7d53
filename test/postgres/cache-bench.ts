/** What tests of the cache share: a database with a table of forty items, programs beside the test, and the comparison of every key. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type Client, Pool } from "pg";
import { startPostgres, type TestServer } from "../support/postgres.ts";
import { startValkey, type Valkey, type ValkeyOptions } from "../support/valkey.ts";

export const KEYS: readonly string[] = Array.from({ length: 40 }, (_, i) => `k${i}`);

export interface Child {
  process: ChildProcessWithoutNullStreams;
  /** The next line that it says; the test fails when it ends instead. */
  says: () => Promise<string>;
  tell: (line: string) => void;
  /** SIGKILL, and waits until PostgreSQL has ended its sessions too. */
  kill: () => Promise<void>;
}

export interface CacheBench {
  server: TestServer;
  valkey: Valkey;
  db: Client;
  /** A loader that reads the item. */
  load: (key: string) => () => Promise<number>;
  set: (key: string, value: number) => Promise<number>;
  rows: () => Promise<Map<string, number>>;
  child: (what: string, journal?: string) => Child;
  /** Keys of which the cache holds something else than the database, compared with the raw entries of all servers. */
  disagreements: (space?: string) => Promise<string[]>;
  /** Items at their first value 1, an empty cache. */
  reset: () => Promise<void>;
  stop: () => Promise<void>;
}

export async function cacheBench(options: ValkeyOptions): Promise<CacheBench> {
  const [server, valkey] = await Promise.all([startPostgres(), startValkey(options)]);
  const { name, connect } = await server.createDatabase();
  const db = await connect();
  await db.query("create table item (id text primary key, value int not null); create table load (id text)");
  const pool = new Pool({ host: "127.0.0.1", port: server.port, user: "ladder_admin", database: name, max: 5 });
  const children = new Set<ChildProcessWithoutNullStreams>();
  const rows = async () =>
    new Map((await db.query<{ id: string; value: number }>("select id, value from item")).rows.map((r) => [r.id, r.value]));

  const gone = async () => {
    const sql = "select count(*)::int as n from pg_stat_activity where application_name = 'cache-child'";
    while (((await db.query<{ n: number }>(sql)).rows[0]?.n ?? 0) > 0) await db.query("select pg_sleep(0.02)");
  };

  return {
    server,
    valkey,
    db,
    rows,
    load: (key) => async () =>
      (await pool.query<{ value: number }>("select value from item where id = $1", [key])).rows[0]?.value as number,
    set: async (key, value) => {
      await pool.query("update item set value = $2 where id = $1", [key, value]);
      return value;
    },
    child: (what, journal = "") => {
      const child = spawn(process.execPath, ["test/postgres/cache-child.ts", what, valkey.url, name, String(server.port), journal]);
      children.add(child);
      let errors = "";
      child.stderr.on("data", (chunk: Buffer) => {
        errors += chunk.toString();
      });
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      return {
        process: child,
        says: async () => {
          const { value, done } = await lines.next();
          if (done) throw new Error(`child ${what} ended: ${errors}`);
          return value;
        },
        tell: (line) => child.stdin.write(`${line}\n`),
        kill: async () => {
          child.kill("SIGKILL");
          await ended;
          await gone();
        },
      };
    },
    disagreements: async (space = "profile") => {
      const [entries, wanted] = await Promise.all([valkey.entries("t"), rows()]);
      return [...entries].flatMap(([name, { d }]) => {
        const key = name.slice(`t:${space}:`.length);
        return d === undefined || d === JSON.stringify(wanted.get(key)) ? [] : [`${key}: cache ${d}, database ${wanted.get(key)}`];
      });
    },
    reset: async () => {
      await Promise.all(valkey.primaries.map(({ client }) => client.flushall()));
      await db.query("truncate item, load; insert into item select 'k' || n, 1 from generate_series(0, 39) n");
    },
    stop: async () => {
      for (const child of children) child.kill("SIGKILL");
      await pool.end();
      await Promise.all([server.stop(), valkey.stop()]);
    },
  };
}

/** Waits for something that will hold; fails with what is there instead. */
export async function eventually<T>(read: () => T | Promise<T>, holds: (value: T) => boolean): Promise<T> {
  for (let tries = 0; ; tries++) {
    const value = await read();
    if (holds(value)) return value;
    if (tries >= 400) throw new Error(`never came true: still ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
