/** How values become bytes and come back. */
import type { ZodType } from "zod";

/**
 * Turns a value into bytes and back. `encode` must not return zero bytes: those stand for null.
 * A `decode` that throws makes the entry count as absent: it is loaded again and overwritten.
 */
export interface Codec<V> {
  encode(value: NonNullable<V>): Uint8Array | string;
  decode(bytes: Buffer): V;
}

/**
 * JSON. Values come back as JSON has them, on the first load too: a Date as a string, no undefined fields.
 * @param schema checks what is read, e.g. `z.object({ id: z.string(), seen: z.coerce.date() })`; what does not fit is loaded again
 */
export function json<V>(schema?: ZodType<V>): Codec<V> {
  return {
    encode: (value) => JSON.stringify(value),
    decode: (bytes) => {
      const value: unknown = JSON.parse(bytes.toString("utf8"));
      return schema ? schema.parse(value) : (value as V);
    },
  };
}

/** Null as bytes. */
export const NOTHING = Buffer.alloc(0);

/** @throws TypeError for undefined, and for a codec that makes zero bytes of a value */
export function toBytes<V>(codec: Codec<V>, value: V, key: string): Buffer {
  if (value === undefined) throw new TypeError(`${key}: got undefined, want a value or null`);
  if (value === null) return NOTHING;
  const encoded = codec.encode(value as NonNullable<V>);
  if (encoded === undefined || encoded.length === 0) throw new TypeError(`${key}: got zero bytes from the codec, want at least one`);
  return Buffer.from(encoded as string);
}

export function fromBytes<V>(codec: Codec<V>, bytes: Buffer): V {
  return bytes.length === 0 ? (null as V) : codec.decode(bytes);
}
