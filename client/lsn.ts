/** Places in the write-ahead log, as PostgreSQL writes them (`16/B374D848`), as numbers that compare. */
import { InputError } from "../plan/types.ts";

/** Beyond every place: a reader that needs this is served by the primary. */
export const NEVER_REPLAYED = 0xffff_ffff_ffff_ffffn;

/** @throws InputError when it is none. */
export function parseLsn(text: string): bigint {
  const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text) ?? [];
  if (high === undefined || low === undefined)
    throw new InputError("session", [{ path: "token", got: text, want: "a session's token, such as 16/B374D848" }]);
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

export const showLsn = (lsn: bigint): string => `${(lsn >> 32n).toString(16)}/${(lsn & 0xffff_ffffn).toString(16)}`.toUpperCase();
