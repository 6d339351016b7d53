/** Changes of the database with the cache told before and after, so that nobody stores what they read in between. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Owed } from "./owed.ts";
import { type Life, newToken, type Store } from "./store.ts";

export interface Guarded {
  store: Store;
  owed: Owed;
  /** No cache at all. */
  alone: boolean;
  /** How long an unfinished write counts after its process's last sign of life, ms. */
  intent: number;
  /** How long to wait for queued writes that must go first, ms. */
  patience: number;
  /** Forgets what this process keeps of a key. */
  drop: (key: string) => void;
  /** Whether this process has a queued write of the key. */
  queued: (key: string) => boolean;
}

/** A write came while an earlier one of the same key was still queued, in this process or another. */
export class PendingError extends Error {
  constructor(key: string, first: string, waited: number) {
    super(`${key}: got ${first} still under way after ${waited} ms, want it done before the next write`);
    this.name = "PendingError";
  }
}

interface Begun {
  key: string;
  confirmed: boolean;
}

const POLL_MS = 20;

/** What to do with the value of a change: what to return, and what to store (of the only key), if anything. */
export interface Outcome<R> {
  value: R;
  store: { data: Buffer; life: Life } | undefined;
}

const NO_LIFE: Life = { fresh: 0, hard: 0 };

/** Runs a change between the beginning and the end of a write to each key. */
export async function guard<T, R>(
  guarded: Guarded,
  keys: readonly string[],
  change: () => Promise<T>,
  done: (value: T) => Outcome<R>,
): Promise<R> {
  const { store, alone, intent } = guarded;
  const token = newToken();
  const begun: Begun[] = [];
  const renewal = setInterval(() => {
    for (const { key } of begun) void store.renew(key, token, intent);
  }, intent / 3).unref();
  const version = alone ? undefined : await store.version();
  let stored: Outcome<R>["store"];
  try {
    for (const key of new Set(keys)) begun.push(await begin(guarded, key, token));
    const outcome = done(await change());
    stored = version === undefined ? undefined : outcome.store;
    return outcome.value;
  } finally {
    clearInterval(renewal);
    await Promise.all(begun.map((one) => end(guarded, one, token, stored, version ?? "")));
  }
}

async function begin({ store, alone, intent, patience, drop, queued }: Guarded, key: string, token: string): Promise<Begun> {
  for (const start = performance.now(); ; await sleep(POLL_MS)) {
    drop(key);
    const answer = queued(key)
      ? { queued: "a queued write" }
      : alone
        ? { begun: false, confirmed: true }
        : await store.begin(key, token, intent);
    if (!("queued" in answer) || answer.queued === undefined) return { key, confirmed: "confirmed" in answer && answer.confirmed };
    if (performance.now() - start >= patience) throw new PendingError(key, answer.queued, patience);
  }
}

async function end(
  { store, owed, alone, drop }: Guarded,
  { key, confirmed }: Begun,
  token: string,
  stored: Outcome<unknown>["store"],
  version: string,
) {
  drop(key);
  if (alone) return;
  const certain = (await store.finish(key, token, stored?.data, version, stored?.life ?? NO_LIFE)) || (await store.invalidate([key]));
  if (!certain || !confirmed) owed.add(store, key);
  drop(key);
}
