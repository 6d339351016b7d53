/** What the command line may hold; loads nothing, so that a mistake is answered at once. */
import { STAGES, type Stage } from "../plan/types.ts";
import { UsageError } from "./failure.ts";

const STACK_NAME = /^[a-z][a-z0-9-]{0,30}$/;

/** The URLs of a stack, by their name on the command line. */
export const URL_KINDS = ["write", "read", "session", "cache"] as const;
export type UrlKind = (typeof URL_KINDS)[number];

/** @throws UsageError for a name that no stack can have. */
export function readStackName(name: string): string {
  if (STACK_NAME.test(name)) return name;
  throw new UsageError(`--stack: got ${JSON.stringify(name)}, want a name of at most 31 of a-z, 0-9 and -, a letter first`);
}

/** @throws UsageError for anything but a stage. */
export function readStage(text: string): Stage {
  const stage = STAGES.find((each) => String(each) === text);
  if (stage === undefined) throw new UsageError(`stage: got ${JSON.stringify(text)}, want one of ${STAGES.join(", ")}`);
  return stage;
}

/** @throws UsageError for anything but a shard's number. */
export function readShard(text = ""): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new UsageError(`url shard: got ${JSON.stringify(text)}, want a shard's number from 0`);
}

/** @throws UsageError for anything but one of `kinds`. */
export function readUrlKind(text: string, kinds: readonly UrlKind[] = URL_KINDS): UrlKind {
  const kind = kinds.find((each) => each === text);
  if (kind === undefined) throw new UsageError(`url: got ${JSON.stringify(text)}, want one of ${kinds.join(", ")}`);
  return kind;
}

/** @throws UsageError for anything but a share of 1. */
export function readShare(text: string): number {
  const share = Number(text);
  if (text.trim() !== "" && share >= 0 && share <= 1) return share;
  throw new UsageError(`--routed: got ${JSON.stringify(text)}, want a share from 0 to 1`);
}
