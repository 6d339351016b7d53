/** H1: the bucket of a key is the hash partition that PostgreSQL puts it into. A million keys of each type with `bin/test --full`, 200,000 otherwise. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bucketOf, type KeyType } from "../../client/shards/bucket.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

const KEYS = process.env.PGLADDER_TEST_FULL === "1" ? 1_000_000 : 200_000;
const SEED = 20_261_121;

let server: TestServer;
let client: Client;

beforeAll(async () => {
  server = await startPostgres();
  client = await server.connect();
});
afterAll(() => server?.stop());

/** Steele, Lea and Flood's splitmix64: the same keys in every run. */
function* random64(count: number): Generator<bigint> {
  let state = BigInt(SEED);
  for (let i = 0; i < count; i++) {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    yield z ^ (z >> 31n);
  }
}

const hex = (value: bigint) => value.toString(16).padStart(16, "0");
const uuid = (high: bigint, low: bigint) => `${hex(high)}${hex(low)}`.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
const ALPHABET = [..."abcXYZ019 _-äßπ漢😀'\"%"];
/** Of 0 to 40 characters, so that every rest of a word of the hash is met. */
const text = (value: bigint) =>
  Array.from({ length: Number(value % 41n) }, (_, i) => ALPHABET[Number((value >> BigInt(i % 59)) % BigInt(ALPHABET.length))]).join("");

const EDGES: Record<KeyType, string[]> = {
  bigint: ["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "4294967296", "-4294967296", "2147483648"],
  integer: ["0", "1", "-1", "2147483647", "-2147483648"],
  uuid: ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
  text: ["", "a", "twelve bytes", "thirteen byte", "x".repeat(5_000)],
};
const KEY: Record<KeyType, (value: bigint) => string> = {
  bigint: (value) => String(BigInt.asIntN(64, value >> (value & 63n))),
  integer: (value) => String(BigInt.asIntN(32, value)),
  uuid: (value) => uuid(value, BigInt.asUintN(64, value * 0x2545f4914f6cdd1dn)),
  text,
};

function* keys(type: KeyType): Generator<string> {
  yield* EDGES[type];
  for (const value of random64(KEYS)) yield KEY[type](value);
}

/** Lines of COPY, many at a time: a piece of a stream costs more than a line. */
function* lines(type: KeyType, buckets: number): Generator<string> {
  let piece = "";
  for (const key of keys(type)) {
    piece += `${key}\t${bucketOf(key, type, buckets)}\n`;
    if (piece.length > 65_536) {
      yield piece;
      piece = "";
    }
  }
  yield piece;
}

test.each<[KeyType, number]>([
  ["bigint", 64],
  ["integer", 128],
  ["uuid", 1024],
  ["text", 256],
])("%s keys in %d buckets lie where PostgreSQL's hash partitions have them", async (type, buckets) => {
  await client.query(`create table by_${type} (key ${type}) partition by hash (key)`);
  await client.query(`create unlogged table given_${type} (key ${type}, bucket int)`);
  await pipeline(Readable.from(lines(type, buckets)), client.query(copyFrom(`copy given_${type} from stdin`)));
  const { rows } = await client.query(
    `select count(*)::int as keys, count(distinct bucket)::int as buckets,
            count(*) filter (where not satisfies_hash_partition('by_${type}'::regclass, $1, bucket, key))::int as misplaced
       from given_${type}`,
    [buckets],
  );
  expect(rows).toEqual([{ keys: KEYS + EDGES[type].length, buckets, misplaced: 0 }]);
});
