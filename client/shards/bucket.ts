/** Types of a shard key. An `integer` hashes as the `bigint` of the same value. */
export const KEY_TYPES = ["bigint", "integer", "uuid", "text"] as const;
export type KeyType = (typeof KEY_TYPES)[number];

/** PostgreSQL's HASH_PARTITION_SEED (src/backend/partitioning/partbounds.c): 8816678312871386365. */
const SEED_HIGH = 0x7a5b2236;
const SEED_LOW = 0x7996dcfd;
/** Low bits of what hash_combine64 (src/include/common/hashfn.h) adds to the hash of a key's only column: 5305509591434766563. */
const COMBINE = 0xe5a8e3;
/** The most buckets there can be: only so many low bits of a hash are looked at. */
const MOST = 1_024;

const UUID = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
const utf8 = new TextEncoder();

/**
 * The bucket of a shard key: the remainder of PostgreSQL's own hash partition of it, so that rows lie in the same bucket here, in a
 * publication's row filter and in a hash-partitioned table.
 *
 * @param key a bigint or integer as bigint, safe number or decimal text; a uuid as text, in either case, with or without its dashes; a
 * text as it is. Text counts by its UTF-8 bytes, as in a database of that encoding and a deterministic collation.
 * @param buckets a power of two up to 1,024.
 * @returns 0 to buckets − 1.
 * @throws RangeError for a key that is none of its type, and for a wrong number of buckets.
 */
export function bucketOf(key: bigint | number | string, type: KeyType, buckets: number): number {
  if (!Number.isInteger(buckets) || buckets < 1 || buckets > MOST || (buckets & (buckets - 1)) !== 0)
    throw new RangeError(`buckets: got ${buckets}, want a power of two up to ${MOST}`);
  return (hashOf(key, type) + COMBINE) & (buckets - 1);
}

function hashOf(key: bigint | number | string, type: KeyType): number {
  switch (type) {
    case "bigint":
      return hashInteger(integer(key, type, 64));
    case "integer":
      return hashInteger(integer(key, type, 32));
    case "uuid":
      return hashBytes(uuidBytes(key));
    case "text":
      if (typeof key !== "string") throw new RangeError(`a key of type text: got ${key} (${typeof key}), want a string`);
      return hashBytes(utf8.encode(key));
  }
}

function integer(key: bigint | number | string, type: KeyType, bits: number): bigint {
  const wrong = () => new RangeError(`a key of type ${type}: got ${JSON.stringify(String(key))}, want a whole number of ${bits} bits`);
  if (typeof key === "number" && !Number.isSafeInteger(key)) throw wrong();
  if (typeof key === "string" && !/^-?\d{1,19}$/.test(key)) throw wrong();
  const value = BigInt(key);
  if (BigInt.asIntN(bits, value) !== value) throw wrong();
  return value;
}

function uuidBytes(key: bigint | number | string): Uint8Array {
  if (typeof key !== "string" || !UUID.test(key))
    throw new RangeError(`a key of type uuid: got ${JSON.stringify(String(key))}, want a uuid`);
  return Uint8Array.from(key.replaceAll("-", "").match(/../g)!, (pair) => Number.parseInt(pair, 16));
}

/** hashint8extended (src/backend/access/hash/hashfunc.c): both halves in one, so that equal values of all integer types hash alike. */
function hashInteger(value: bigint): number {
  const low = Number(BigInt.asUintN(32, value));
  const high = Number(BigInt.asUintN(32, value >> 32n));
  return finish(seeded(4), value >= 0n ? low ^ high : low ^ ~high, 0, 0);
}

/** hash_bytes_extended (src/common/hashfn.c), after Bob Jenkins' lookup3. */
function hashBytes(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let state = seeded(bytes.length);
  let at = 0;
  for (; bytes.length - at >= 12; at += 12) {
    const [a, b, c] = state;
    state = mix(a + view.getUint32(at, true), b + view.getUint32(at + 4, true), c + view.getUint32(at + 8, true));
  }
  const word = (from: number, to: number, shift: number) => {
    let sum = 0;
    for (let i = from; i < to && at + i < bytes.length; i++) sum += bytes[at + i]! << (8 * (i - from) + shift);
    return sum;
  };
  // The lowest byte of the third word is kept free: it is the length's.
  return finish(state, word(0, 4, 0), word(4, 8, 0), word(8, 11, 8));
}

type State = readonly [a: number, b: number, c: number];

function seeded(length: number): State {
  const start = 0x9e3779b9 + length + 3_923_095;
  return mix(start + SEED_HIGH, start + SEED_LOW, start);
}

const rotate = (x: number, by: number) => (x << by) | (x >>> (32 - by));

function mix(a0: number, b0: number, c0: number): State {
  let [a, b, c] = [a0 | 0, b0 | 0, c0 | 0];
  a = (a - c) ^ rotate(c, 4);
  c = (c + b) | 0;
  b = (b - a) ^ rotate(a, 6);
  a = (a + c) | 0;
  c = (c - b) ^ rotate(b, 8);
  b = (b + a) | 0;
  a = (a - c) ^ rotate(c, 16);
  c = (c + b) | 0;
  b = (b - a) ^ rotate(a, 19);
  a = (a + c) | 0;
  c = (c - b) ^ rotate(b, 4);
  b = (b + a) | 0;
  return [a, b, c];
}

/** The final mixing; of the hash's 64 bits only the low 32. */
function finish([a0, b0, c0]: State, x: number, y: number, z: number): number {
  let [a, b, c] = [(a0 + x) | 0, (b0 + y) | 0, (c0 + z) | 0];
  c = (c ^ b) - rotate(b, 14);
  a = (a ^ c) - rotate(c, 11);
  b = (b ^ a) - rotate(a, 25);
  c = (c ^ b) - rotate(b, 16);
  a = (a ^ c) - rotate(c, 4);
  b = (b ^ a) - rotate(a, 14);
  c = (c ^ b) - rotate(b, 24);
  return c | 0;
}
