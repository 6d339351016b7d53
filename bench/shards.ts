/** Three doors to the shards beside each other: the gateway, the client library's router, and a connection straight to the right shard. */
import pg from "pg";
import { bucketOf, connect, type Database } from "../client/index.ts";
import { shardOfBuckets } from "../plan/shards.ts";
import { type FleetTable, type Sharded, startSharded } from "./fleet.ts";
import { type Comparison, compare, type Ratio, ratiosOf, type Variant } from "./measure.ts";
import type { Found } from "./report.ts";
import { counted } from "./scenario.ts";

const SHARDS = 2;
/** How long one way is driven in a round, ms. */
const DRIVEN = 3_000;
const USERS = 10_000;

const TABLE: FleetTable = {
  schema: "public",
  table: "note",
  key: "user_id",
  keyType: "bigint",
  sequence: "note_id",
  sql: `create sequence note_id; create table note (id bigint not null default nextval('note_id'), user_id bigint not null,
    at timestamptz not null default now(), body text not null, primary key (user_id, id)); create index on note (body)`,
};
const INSERT = "insert into note (user_id, body) values ($1, $2) returning id";
const SELECT = "select body from note where user_id = $1 and id = $2";
const FILL = `insert into note (user_id, body) select n % ${USERS}, 'note ' || n from generate_series($1::int, $2::int) n`;

/** Inserts a row and reads it by its key: two statements, each committed by itself. */
type Turn = (user: number) => Promise<void>;

interface Way {
  /** One for each client. */
  turns: readonly Turn[];
  close: () => Promise<void>;
}

async function turn(query: (sql: string, values: unknown[]) => Promise<{ rows: { id?: string; body?: string }[] }>, user: number) {
  const { rows } = await query(INSERT, [user, "a note of the bench"]);
  const read = await query(SELECT, [user, rows[0]!.id]);
  if (read.rows[0]?.body !== "a note of the bench") throw new Error("bench: got another row than was written, want the same");
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  return client;
}

/** A connection a client through one URL. */
async function byUrl(url: string, clients: number): Promise<Way> {
  const connections = await Promise.all(Array.from({ length: clients }, () => connected(url)));
  return {
    turns: connections.map((client) => (user) => turn((sql, values) => client.query(sql, values), user)),
    close: async () => void (await Promise.all(connections.map((client) => client.end()))),
  };
}

/** The place of a user's shard. */
function shardOf({ fleet }: Sharded): (user: number) => number {
  const buckets = shardOfBuckets(
    fleet.shards.map((shard) => shard.class),
    fleet.buckets,
  );
  return (user) => buckets[bucketOf(user, "bigint", fleet.buckets)]!;
}

/** A connection a client and shard; the right one is chosen by hand. */
async function straight(world: Sharded, clients: number): Promise<Way> {
  const place = shardOf(world);
  const ways = await Promise.all(world.fleet.shards.map(({ database }) => byUrl(world.url(database), clients)));
  return {
    turns: Array.from({ length: clients }, (_, client) => (user: number) => {
      return ways[place(user)]!.turns[client]!(user);
    }),
    close: async () => void (await Promise.all(ways.map((way) => way.close()))),
  };
}

const openRouter = (world: Sharded, database: string, clients: number): Database =>
  connect({
    writeUrl: world.url(database),
    readUrl: world.url(`${database}_read`),
    writeSize: clients,
    readSize: clients,
    overflow: clients,
    min: 0,
    env: {},
  });

function byRouter(db: Database, clients: number): Way {
  return {
    turns: Array.from({ length: clients }, () => (user: number) => turn((sql, values) => db.shard(user).write(sql, values), user)),
    close: () => db.close(),
  };
}

/** Of one run: what a turn takes, in ms. */
interface Driven {
  /** Wall time ÷ turns of all clients together. */
  throughput: number;
  /** CPU time of servers, pooler and clients ÷ turns: how many turns a core carries, whatever else the machine does. */
  "CPU time": number;
  p99: number;
}
const FIGURES = ["throughput", "CPU time", "p99"] as const;

/** Every client takes its next turn when the one before has ended. */
async function drive(world: Sharded, { turns }: Way): Promise<Driven> {
  const took: number[] = [];
  const [servers, own] = [await world.cpu(), process.cpuUsage()];
  const start = performance.now();
  await Promise.all(
    turns.map(async (next) => {
      for (let began = start; began - start < DRIVEN; ) {
        await next(Math.floor(Math.random() * USERS));
        const ended = performance.now();
        took.push(ended - began);
        began = ended;
      }
    }),
  );
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(own);
  const cpu = (await world.cpu()) - servers + (user + system) / 1000;
  const p99 = took.sort((a, b) => a - b)[Math.ceil(took.length * 0.99) - 1]!;
  return { throughput: wall / took.length, "CPU time": cpu / took.length, p99 };
}

/**
 * One client takes a turn of one way, then one of the next: whatever the machine does meets all of them alike, and each has all cores while it is asked.
 *
 * @returns what each way's turns take in ms, by figure
 */
async function turnAbout(ways: readonly Way[], users: readonly number[]): Promise<Record<(typeof ALONE)[number], number>[]> {
  const took = ways.map((): number[] => []);
  const end = performance.now() + ways.length * DRIVEN;
  for (let at = 0; performance.now() < end; at++) {
    const began = performance.now();
    await ways[at % ways.length]!.turns[0]!(users[Math.floor(Math.random() * users.length)]!);
    took[at % ways.length]!.push(performance.now() - began);
  }
  return took.map((times) => ({
    "time of a turn": times.reduce((sum, time) => sum + time, 0) / times.length,
    p99: times.sort((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1]!,
  }));
}
const ALONE = ["time of a turn", "p99"] as const;

/** Ratios of ways that take turns. A first round does not count. */
async function alone(
  what: string,
  ways: readonly (readonly [name: string, way: Way])[],
  users: readonly number[],
  rounds: number,
): Promise<Ratio[]> {
  const found: Awaited<ReturnType<typeof turnAbout>>[] = [];
  for (let round = -1; round < rounds; round++) {
    const measured = await turnAbout(
      ways.map(([, way]) => way),
      users,
    );
    if (round >= 0) found.push(measured);
  }
  return ALONE.flatMap((figure) => {
    const variants = ways.map(([name], i): Variant => ({ name, measure: async () => found[0]![i]![figure] }));
    const samples = new Map(variants.map((variant, i) => [variant, found.map((measured) => measured[i]![figure])]));
    return ratiosOf({ what: `${what}: ${figure}`, unit: "ms", variants: variants as [Variant, Variant, ...Variant[]] }, samples);
  });
}

/** A comparison for each figure, all of the same runs. */
function comparisonsOf(world: Sharded, what: string, ways: readonly (readonly [name: string, way: Way])[]): Comparison[] {
  const runs = ways.map((): Driven[] => []);
  return FIGURES.map((figure, at) => {
    const variants = ways.map(([name, way], i): Variant => {
      let next = 0;
      const measure = async () => {
        if (at === 0) runs[i]!.push(await drive(world, way));
        return runs[i]![next++]![figure];
      };
      return { name, measure };
    });
    return { what: `${what}: ${figure}`, unit: "ms", variants: variants as [Variant, Variant, ...Variant[]] };
  });
}

async function fill(world: Sharded, rows: number): Promise<void> {
  for (const database of ["whole", "app"]) {
    const client = await connected(world.url(database));
    for (let from = 1; from <= rows; from += 100_000) await client.query(FILL, [from, Math.min(rows, from + 99_999)]);
    await client.end();
  }
  for (const { db } of world.shards) {
    const admin = await db.connect();
    await admin.query("vacuum analyze note");
    await admin.end();
  }
}

/** @returns ratios of the doors, on servers of their own */
export async function shards(
  { rows, clients }: { rows: number; clients: number },
  rounds: number,
  progress: (line: string) => void,
): Promise<Found> {
  const world = await startSharded(SHARDS, [TABLE]);
  const closing: (() => Promise<void>)[] = [];
  try {
    await fill(world, rows);
    progress(`shards: ${counted(rows)} rows on ${SHARDS} shards, ${clients} clients`);
    const db = openRouter(world, "app", clients);
    const before = openRouter(world, "whole", clients);
    const [direct, gateway, url] = await Promise.all([
      straight(world, clients),
      byUrl(world.url("app"), clients),
      byUrl(world.url("whole"), clients),
    ]);
    const [router, routerBefore] = [byRouter(db, clients), byRouter(before, clients)];
    closing.push(...[direct, gateway, url, router, routerBefore].map((way) => way.close));
    const count = "select count(*)::int as n from note";
    const counts: Variant[] = [
      { name: "gateway", measure: () => timedCount(async () => (await gatewayClient.query<{ n: number }>(count)).rows[0]!.n, rows) },
      {
        name: "onAllShards",
        measure: () =>
          timedCount(async () => Number((await db.onAllShards("select from note", [], { aggregates: { n: "count" } })).rows[0]!.n), rows),
      },
    ];
    const gatewayClient = await connected(world.url("app"));
    closing.push(() => gatewayClient.end());
    const what = `insert + select by key, ${clients} clients`;
    const comparisons: Comparison[] = [
      ...comparisonsOf(world, what, [
        ["straight to the shard", direct],
        ["router", router],
        ["gateway", gateway],
      ]),
      ...comparisonsOf(world, "the same through the router, same cores", [
        ["one server, before", routerBefore],
        [`${SHARDS} shards, after`, router],
      ]),
      ...comparisonsOf(world, "the same through the write URL, same cores", [
        ["one server, before", url],
        ["gateway, after", gateway],
      ]),
      { what: "count of all rows", unit: "ms", variants: counts as [Variant, Variant] },
    ];
    const doors: Parameters<typeof alone>[1] = [
      ["one server, before", routerBefore],
      ["their shard, after", router],
    ];
    const place = shardOf(world);
    const users = Array.from({ length: USERS }, (_, user) => user).filter((user) => place(user) === 0);
    const ratios = await alone("insert + select by key through the router, one client, users of one shard", doors, users, rounds);
    for (const { what, variant, ratio } of ratios) progress(`shards: ${what}: ${variant} ${ratio.median.toFixed(2)}`);
    for (const comparison of comparisons) {
      ratios.push(...(await compare(comparison, rounds)));
      progress(`shards: ${comparison.what}: ${ratios.at(-1)!.variant} ${ratios.at(-1)!.ratio.median.toFixed(2)}`);
    }
    return {
      scenario: "shards",
      ratios,
      facts: [
        `${counted(rows)} rows at first; data in memory, nothing waits for a disk; all servers, the pooler and the clients share the cores`,
      ],
    };
  } finally {
    for (const close of closing) await close();
    await world.stop();
  }
}

/** Milliseconds; every answer must have at least the rows that were there at first. */
async function timedCount(count: () => Promise<number>, least: number): Promise<number> {
  const start = performance.now();
  const n = await count();
  if (n < least) throw new Error(`bench: got a count of ${n}, want at least ${least}`);
  return performance.now() - start;
}
