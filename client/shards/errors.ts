/** What can go wrong between an application and its shards. */
import { isLossAnswer, sqlState } from "../errors.ts";

/** SQLSTATE of ladder.require_buckets and ladder.require_shard_map: the statement was meant for another shard. Nothing was done. */
const ELSEWHERE = "LB001";

export const isElsewhere = (error: unknown): boolean => sqlState(error) === ELSEWHERE;

/** The answer came when the map was no longer certain. What was asked has no effect, and is asked again with a fence. */
export class Late extends Error {}

/** Nothing was done that counts: the same again, under a newer map. */
export const isAgain = (error: unknown): boolean => isElsewhere(error) || error instanceof Late;

/** A shard that cannot be reached. The others go on. */
export class ShardAway extends Error {
  override readonly name = "ShardAway";
  /** Its database at the pooler. */
  readonly shard: string;
  constructor(shard: string, cause: unknown) {
    super(`shard ${shard}: cannot be reached: ${messageOf(cause)}`, { cause });
    this.shard = shard;
  }
}

/** A shard that gave no answer in the time that one was given for. */
export class ShardTimeout extends Error {
  override readonly name = "ShardTimeout";
  readonly shard: string;
  constructor(shard: string, ms: number) {
    super(`shard ${shard}: no answer within ${ms} ms`);
    this.shard = shard;
  }
}

/** A shard that gave no answer, and why. */
export interface FailedShard {
  shard: string;
  error: unknown;
}

/** Not every shard answered, so there is no whole answer. */
export class ShardsFailed extends Error {
  override readonly name = "ShardsFailed";
  readonly failed: readonly FailedShard[];
  constructor(failed: readonly FailedShard[], of: number) {
    const each = failed.map(({ shard, error }) => `${shard}: ${messageOf(error).replace(`shard ${shard}: `, "")}`);
    super(`${failed.length} of ${of} shards gave no answer\n${each.map((line) => `  ${line}`).join("\n")}`, { cause: failed[0]?.error });
    this.failed = failed;
  }
}

/** One transaction was asked to write on two shards. Nothing of what was asked last is written. */
export class SpansShards extends Error {
  override readonly name = "SpansShards";
}

const messageOf = (error: unknown): string => (error instanceof Error && error.message !== "" ? error.message : codeOf(error));

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

/** Whether the way to the server is gone: the network's answer, or the pooler's. */
export function isAway(error: unknown): boolean {
  if (isLossAnswer(error)) return true;
  if (!(error instanceof Error) || sqlState(error) !== undefined) return false;
  return (
    /^E[A-Z_]+$/.test(codeOf(error)) ||
    /^(Connection terminated|timeout expired|Client has encountered a connection error)/.test(error.message)
  );
}
