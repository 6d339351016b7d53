/** The shards straight, one by one: every row on its own shard, and all of them together what the gateway shows. */
import pg from "pg";
import { bucketOf } from "../client/index.ts";
import { addDamage, compare, DAMAGE_KINDS, type DamageReport } from "./compare.ts";
import { History } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import type { ServerRow } from "./model.ts";
import { tableRows } from "./table.ts";
import { clientConfig } from "./target.ts";
import { DAMAGE_WORDS, type Limits, type Verdict, verdict } from "./verdict.ts";

/** Where the rows of which bucket are. */
export interface Shards {
  /** The shards' databases at the pooler, and the URL of each. */
  shards: readonly { name: string; url: string }[];
  /** The shard of each bucket, by its place in `shards`. */
  buckets: readonly number[];
}

/** The rows of a table, and the sum of their hashes: equal where the rows are, in any order. */
export interface Checksum {
  rows: number;
  sum: string;
}

export interface ShardFigures {
  /** Through the write URL. */
  gateway: Checksum;
  shards: ({ name: string } & Checksum)[];
  /** Rows that lie on another shard than their user's. */
  misplaced: { count: number; examples: string[] };
  /** The ledger against the rows of all shards together. */
  damage: DamageReport;
}

const EXAMPLES = 10;

/** One client without time-outs, in a read-only transaction. */
async function reading<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...clientConfig(url), query_timeout: 0 });
  await client.connect();
  try {
    await client.query("begin read only; set local statement_timeout = 0");
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The map as the gateway has it now; undefined while there is one server only. */
export function readShards(writeUrl: string): Promise<Shards | undefined> {
  return reading(writeUrl, async (client) => {
    const { rows: there } = await client.query<{ map: string | null }>("select to_regclass('ladder.shard_map')::text as map");
    if (!there[0]?.map) return undefined;
    const { rows } = await client.query<{ databases: string[]; shards: number[] }>("select databases, shards from ladder.shard_map");
    const own = new URL(writeUrl).pathname.slice(1);
    const [map] = rows;
    if (!map || map.shards.every((at) => map.databases[at] === own)) return undefined;
    const shards = map.databases.map((name) => {
      const url = new URL(writeUrl);
      url.pathname = `/${name}`;
      return { name, url: url.href };
    });
    return { shards, buckets: map.shards };
  });
}

/** @param table as SQL has it. Types of its columns must be written the same on every server, as those of equal settings are. */
export function checksum(url: string, table: string): Promise<Checksum> {
  const sql = `select count(*)::int as rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text as sum from ${table} t`;
  return reading(url, async (client) => (await client.query<Checksum>(sql)).rows[0]!);
}

/** That of several servers together. */
export const total = (parts: readonly Checksum[]): Checksum => ({
  rows: parts.reduce((sum, { rows }) => sum + rows, 0),
  sum: parts.reduce((all, { sum }) => all + BigInt(sum), 0n).toString(),
});

interface Placed extends ServerRow {
  /** Its place in `shards`. */
  shard: number;
}

/** Rows of several servers, each sorted by key, as one stream sorted by key. */
async function* merged(streams: readonly AsyncIterable<ServerRow>[]): AsyncGenerator<Placed> {
  const open = streams.map((stream) => stream[Symbol.asyncIterator]());
  const heads = await Promise.all(open.map((one) => one.next()));
  for (;;) {
    let least = -1;
    for (const [i, head] of heads.entries())
      if (!head.done && (least < 0 || head.value.key < (heads[least] as IteratorYieldResult<ServerRow>).value.key)) least = i;
    if (least < 0) return;
    yield { ...(heads[least] as IteratorYieldResult<ServerRow>).value, shard: least };
    heads[least] = await open[least]!.next();
  }
}

/** What the shards hold. @param rows of each, sorted by key */
export async function compareShards(
  ledger: Ledger,
  { shards, buckets }: Shards,
  rows: readonly AsyncIterable<ServerRow>[],
): Promise<Pick<ShardFigures, "misplaced" | "damage">> {
  const misplaced: ShardFigures["misplaced"] = { count: 0, examples: [] };
  async function* watched(): AsyncGenerator<ServerRow> {
    for await (const row of merged(rows)) {
      const own = buckets[bucketOf(row.user, "bigint", buckets.length)]!;
      if (own !== row.shard && ++misplaced.count <= EXAMPLES)
        misplaced.examples.push(`${row.key}: on ${shards[row.shard]!.name}, its user ${row.user} is on ${shards[own]!.name}`);
      yield row;
    }
  }
  const history = new History(ledger);
  const { damage } = await compare(history.keys(), watched(), (id, key) => history.idTaken(id, key));
  for (const { id, times } of history.duplicateIds()) addDamage(damage, "duplicateId", `id ${id}: given to ${times} rows`, times - 1);
  return { misplaced, damage };
}

/** The reasons against a verdict that the shards give. Pure. */
export function shardReasons({ gateway, shards, misplaced, damage }: ShardFigures): string[] {
  const all = total(shards);
  return [
    ...(all.rows === gateway.rows ? [] : [`rows on the shards: got ${all.rows}, want the gateway's ${gateway.rows}`]),
    ...(all.sum === gateway.sum ? [] : [`checksum of the shards: got ${all.sum}, want the gateway's ${gateway.sum}`]),
    ...(misplaced.count === 0 ? [] : [`rows on a wrong shard: got ${misplaced.count}, want 0`]),
    ...DAMAGE_KINDS.filter((kind) => damage[kind].count > 0).map(
      (kind) => `on the shards, ${DAMAGE_WORDS[kind]}: got ${damage[kind].count}, want 0`,
    ),
  ];
}

/**
 * The verdict on a load that has ended: its ledger against the table as the write URL shows it and, where there are shards, as each of them holds it.
 * @throws the driver's error when a server cannot be reached.
 */
export async function wholeVerdict(ledger: Ledger, writeUrl: string, limits: Limits = {}): Promise<Verdict> {
  const { table } = new History(ledger).plan;
  const result = await verdict(ledger, tableRows(writeUrl, table), limits);
  const map = await readShards(writeUrl);
  if (!map) return result;
  const { shards: all } = map;
  const rows = all.map(({ url }) => tableRows(url, table));
  const { misplaced, damage } = await compareShards(ledger, map, rows);
  const gateway = await checksum(writeUrl, table);
  const sums = await Promise.all(all.map(async ({ name, url }) => ({ name, ...(await checksum(url, table)) })));
  const shards: ShardFigures = { gateway, shards: sums, misplaced, damage };
  const reasons = [...result.reasons, ...shardReasons(shards)];
  return { ...result, shards, reasons, passed: reasons.length === 0 };
}
