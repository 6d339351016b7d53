/** The example application under a climb: its messages in large numbers, and a user who writes and reads while the tables move. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { bucketOf } from "../../client/index.ts";
import { type Checksum, checksum, readShards, total } from "../shards.ts";
import { clientConfig } from "../target.ts";

const CHUNK = 100_000;
/** Users of the messages that are there at first: everybody wrote as many. */
const USERS = 50_000;
/** Conversation of what is written during a climb: what was there before must not change. */
const LIVE = -1;
const BEFORE = `(select * from messages where conversation_id <> ${LIVE})`;

const FILL = [
  `insert into users (id, username, email, created_at) select n, 'user' || n, 'user' || n || '@example.org', now() - n * interval '1 minute'
     from generate_series(1, $1::int / 100) n`,
  "insert into tenants (name) select 'tenant ' || n from generate_series(1, 20) n",
  "insert into bots (tenant_id, name) select n, 'bot' from generate_series(1, 20) n",
  `insert into posts (user_id, thread_id, content) select n % ${USERS}, n % 900, 'post ' || n from generate_series(1, $1::int / 100) n`,
];
const MESSAGES = `insert into messages (user_id, conversation_id, inserted_at, message_type, content)
  select n % ${USERS}, n % 7000, now() - (n % 1000000) * interval '1 second', n % 9, 'word' || n % 2000 || ' of message ' || n
  from generate_series($1::int, $2::int) n`;
/** Tables that the fill writes; the numbers of all are compared after each step. */
const FILLED = ["users", "tenants", "bots", "posts"];

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...clientConfig(url), query_timeout: 0 });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Fills the application's tables through its URL, 100,000 messages a statement. */
export async function fillApplication(writeUrl: string, messages: number, say: (line: string) => void): Promise<void> {
  await connected(writeUrl, async (client) => {
    for (const sql of FILL) await client.query(sql, sql.includes("$1") ? [messages] : []);
    for (let from = 1; from <= messages; from += CHUNK) {
      await client.query(MESSAGES, [from, Math.min(messages, from + CHUNK - 1)]);
      if (from % (10 * CHUNK) === 1) say(`messages: ${from - 1} of ${messages}`);
    }
  });
}

/** What the application's tables hold, as the write URL shows it. */
export async function readApplication(writeUrl: string): Promise<Record<string, Checksum>> {
  const held: Record<string, Checksum> = { messages: await checksum(writeUrl, BEFORE) };
  for (const table of FILLED) held[table] = await checksum(writeUrl, table);
  return held;
}

const shown = ({ rows, sum }: Checksum) => `${rows} rows with sum ${sum}`;

/**
 * Compares the application's tables with what they held before, through the write URL and, where there are shards, straight on each: the sums of
 * the shards together, and every user's messages on the user's own shard.
 * @returns what is wrong, a line each
 */
export async function compareApplication(writeUrl: string, before: Readonly<Record<string, Checksum>>): Promise<string[]> {
  const now = await readApplication(writeUrl);
  const wrong = Object.entries(before).flatMap(([table, was]) =>
    now[table]!.rows === was.rows && now[table]!.sum === was.sum ? [] : [`${table}: got ${shown(now[table]!)}, want ${shown(was)}`],
  );
  const map = await readShards(writeUrl);
  if (!map) return wrong;
  const parts = await Promise.all(map.shards.map(({ url }) => checksum(url, BEFORE)));
  const all = total(parts);
  if (all.rows !== before.messages!.rows || all.sum !== before.messages!.sum)
    wrong.push(`messages on the shards: got ${shown(all)}, want ${shown(before.messages!)}`);
  for (const [i, { name, url }] of map.shards.entries()) {
    const { rows } = await connected(url, (client) => client.query<{ user_id: string }>("select distinct user_id from messages"));
    const foreign = rows.filter(({ user_id }) => map.buckets[bucketOf(user_id, "bigint", map.buckets.length)] !== i);
    if (foreign.length > 0) wrong.push(`messages: got ${foreign.length} users of other shards on ${name}, want none`);
  }
  return wrong;
}

/** What a user of the application saw. */
export interface Seen {
  written: number;
  read: number;
  /** Errors, a line each. */
  failed: string[];
  /** The longest statement, ms. */
  longest: number;
  /** Ids of what was written, with the user. */
  ids: { id: string; user: number }[];
}

/** Writes messages and reads a user's latest, one after the other through the URLs, until it is stopped. */
export class Visitor {
  readonly #seen: Seen = { written: 0, read: 0, failed: [], longest: 0, ids: [] };
  readonly #pools: { write: pg.Pool; read: pg.Pool };
  readonly #ended: Promise<void>;
  #stopped = false;

  constructor({ writeUrl, readUrl }: { writeUrl: string; readUrl: string }) {
    const pool = (url: string) => new pg.Pool({ ...clientConfig(url), max: 1 }).on("error", () => undefined);
    this.#pools = { write: pool(writeUrl), read: pool(readUrl) };
    this.#ended = this.#visit();
  }

  async stop(): Promise<Seen> {
    this.#stopped = true;
    await this.#ended;
    return this.#seen;
  }

  async #visit(): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const user = (turn * 7919) % USERS;
      const began = performance.now();
      try {
        if (turn % 2 === 0) await this.#write(user);
        else await this.#read(user);
      } catch (error) {
        this.#seen.failed.push(error instanceof Error ? error.message : String(error));
      }
      this.#seen.longest = Math.max(this.#seen.longest, performance.now() - began);
      await sleep(20);
    }
    await Promise.all(Object.values(this.#pools).map((pool) => pool.end()));
  }

  async #write(user: number): Promise<void> {
    const sql = "insert into messages (user_id, conversation_id, content) values ($1, $2, 'written during a climb') returning id";
    const { rows } = await this.#pools.write.query<{ id: string }>(sql, [user, LIVE]);
    this.#seen.ids.push({ id: rows[0]!.id, user });
    this.#seen.written++;
  }

  async #read(user: number): Promise<void> {
    await this.#pools.read.query("select id, content from messages where user_id = $1 order by inserted_at desc limit 20", [user]);
    this.#seen.read++;
  }
}

/** @returns what is wrong with what a visitor wrote, a line each: every message there once, under its own id. */
export async function checkVisitor(writeUrl: string, ids: Seen["ids"]): Promise<string[]> {
  const sql = `select id, user_id::int as user from messages where conversation_id = ${LIVE} and user_id = any ($1)`;
  const { rows } = await connected(writeUrl, (client) => client.query<{ id: string; user: number }>(sql, [ids.map(({ user }) => user)]));
  const times = new Map<string, number>();
  for (const { id, user } of rows) times.set(`${id} of ${user}`, (times.get(`${id} of ${user}`) ?? 0) + 1);
  const missing = ids.filter(({ id, user }) => times.get(`${id} of ${user}`) !== 1);
  const doubled = ids.length - new Set(ids.map(({ id }) => id)).size;
  return [
    ...(missing.length > 0 ? [`messages written meanwhile: got ${missing.length} missing or doubled, want 0`] : []),
    ...(doubled > 0 ? [`ids of messages written meanwhile: got ${doubled} given twice, want 0`] : []),
  ];
}
