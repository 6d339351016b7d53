/** How fast the application's commonest turn is at a stage, through the router and through the write URL. */
import pg from "pg";
import { connect } from "../../client/index.ts";
import { clientConfig } from "../target.ts";
import { CpuCounter } from "./cpu.ts";

/** Users whose messages are written; each turn's own conversation number keeps them apart from the rest. */
const USERS = 50_000;
const INSERT = "insert into messages (user_id, conversation_id, content) values ($1, -1, 'measured') returning id";
const SELECT = "select content from messages where user_id = $1 and id = $2";
/** Each way is driven so often, in turns; the median counts. */
const ROUNDS = 3;

export interface Speed {
  /** Turns a second: a message written, and read by its key. */
  perSecond: number;
  /** ms of a turn. */
  p99: number;
  /** CPU time of a turn on all of the stack and here, ms: what a core carries, whatever else the machine does. */
  cpu: number;
}

export interface Speeds {
  router: Speed;
  url: Speed;
}

interface Place {
  /** Whose CPU time is counted. */
  containers: readonly string[];
  writeUrl: string;
  readUrl: string;
  clients: number;
  /** Of all of it. */
  seconds: number;
}

type Query = (sql: string, values: unknown[]) => Promise<{ rows: pg.QueryResultRow[] }>;

async function turns(clients: readonly ((user: number) => Query)[], ms: number, took: number[]): Promise<void> {
  const start = performance.now();
  await Promise.all(
    clients.map(async (door) => {
      for (let began = start; began - start < ms; ) {
        const user = Math.floor(Math.random() * USERS);
        const query = door(user);
        const { rows } = await query(INSERT, [user]);
        await query(SELECT, [user, rows[0]!.id]);
        const ended = performance.now();
        took.push(ended - began);
        began = ended;
      }
    }),
  );
}

async function drive(clients: readonly ((user: number) => Query)[], ms: number, counter: CpuCounter): Promise<Speed> {
  const took: number[] = [];
  const start = performance.now();
  let wall = 0;
  const cpu = await counter.during(async () => {
    await turns(clients, ms, took);
    wall = performance.now() - start;
  });
  const p99 = took.sort((a, b) => a - b)[Math.ceil(took.length * 0.99) - 1]!;
  return { perSecond: (1000 * took.length) / wall, p99, cpu: cpu / took.length };
}

function median(speeds: readonly Speed[]): Speed {
  const of = (key: keyof Speed) => speeds.map((speed) => speed[key]).sort((a, b) => a - b)[Math.floor(speeds.length / 2)]!;
  return { perSecond: of("perSecond"), p99: of("p99"), cpu: of("cpu") };
}

/** Drives both ways in turns, as fast as they go. */
export async function measureSpeeds({ containers, writeUrl, readUrl, clients, seconds }: Place): Promise<Speeds> {
  const router = connect({ writeUrl, readUrl, writeSize: clients, readSize: clients, overflow: clients, min: 0, env: {} });
  const pool = new pg.Pool({ ...clientConfig(writeUrl), max: clients });
  const each = <T>(door: T) => Array.from({ length: clients }, () => door);
  const byRouter = each(
    (user: number): Query =>
      (sql, values) =>
        router.shard(user).write(sql, values),
  );
  const byUrl = each((): Query => (sql, values) => pool.query(sql, values));
  const ms = (seconds * 1000) / (2 * ROUNDS);
  const counter = await CpuCounter.of(containers);
  const [first, second]: [Speed[], Speed[]] = [[], []];
  try {
    await turns(byRouter, ms / 4, []);
    await turns(byUrl, ms / 4, []);
    for (let round = 0; round < ROUNDS; round++) {
      first.push(await drive(byRouter, ms, counter));
      second.push(await drive(byUrl, ms, counter));
    }
  } finally {
    await Promise.all([router.close(), pool.end()]);
  }
  return { router: median(first), url: median(second) };
}
