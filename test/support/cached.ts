/** An application that keeps a table behind the client's cache, and the comparison of every key of both. */
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Database, openCache, type Space } from "../../client/index.ts";

export const CACHED_KEYS: readonly string[] = Array.from({ length: 200 }, (_, i) => `k${i}`);
const NAMESPACE = "shop";
const SPACE = "profile";
const WRITERS = 4;
const READERS = 4;
const REST = 5;

export interface CachedPlace {
  writeUrl: string;
  /** Empty: no cache, the same calls. */
  cacheUrl: string;
  caCertificate: string;
}

/** What the application saw while it ran. */
export interface CachedCounts {
  writes: number;
  reads: number;
  /** Messages of writes and reads that failed. */
  failed: string[];
  /** Reads of a value older than one that this process had been told was written. */
  outdated: number;
  /** Reads that no load was needed for. */
  hits: number;
  longestWriteMs: number;
}

export interface CachedApplication {
  counts: CachedCounts;
  /** Ends the loops; nothing is under way afterwards. */
  stop: () => Promise<void>;
}

const open = ({ cacheUrl, caCertificate }: CachedPlace, options: { local?: false } = {}) =>
  openCache({ url: cacheUrl, caCertificate, namespace: NAMESPACE, ...options });

const database = ({ writeUrl }: CachedPlace) => connect({ writeUrl, writeSize: 4, readSize: 1, min: 0, overflow: 0, env: {} });

const readRow = async (db: Database, key: string): Promise<number> =>
  Number((await db.write("select value from cached_item where id = $1", [key])).rows[0]!.value);

/** Makes the table with every key at 0. */
export async function prepareCached(place: CachedPlace): Promise<void> {
  const db = database(place);
  try {
    await db.write("create table cached_item (id text primary key, value bigint not null)");
    await db.write("insert into cached_item select key, 0 from unnest($1::text[]) key", [CACHED_KEYS]);
  } finally {
    await db.close();
  }
}

/** Writes and reads through the cache until it is stopped. Values of a key only grow, so that an old one shows. */
export async function runCached(place: CachedPlace, onWrite: (writes: number) => void = () => undefined): Promise<CachedApplication> {
  const [db, cache] = [database(place), await open(place)];
  const space = cache.space<number>(SPACE);
  const counts: CachedCounts = { writes: 0, reads: 0, failed: [], outdated: 0, hits: 0, longestWriteMs: 0 };
  const told = new Map<string, number>();
  let stopped = false;

  const loop = async (first: number, step: number, once: (key: string) => Promise<void>) => {
    for (let n = first; !stopped; n += step) {
      await once(CACHED_KEYS[n % CACHED_KEYS.length]!).catch((error: Error) => counts.failed.push(error.message));
      await sleep(REST);
    }
  };
  const write = async (key: string) => {
    const start = performance.now();
    const value = await space.write(key, async () => {
      const { rows } = await db.write("update cached_item set value = value + 1 where id = $1 returning value", [key]);
      return Number(rows[0]!.value);
    });
    counts.longestWriteMs = Math.max(counts.longestWriteMs, Math.round(performance.now() - start));
    told.set(key, Math.max(value, told.get(key) ?? 0));
    onWrite(++counts.writes);
  };
  const read = async (key: string) => {
    const least = told.get(key) ?? 0;
    if ((await space.getOrLoad(key, () => readRow(db, key))) < least) counts.outdated++;
    counts.reads++;
  };
  const loops = [
    ...Array.from({ length: WRITERS }, (_, i) => loop(i * 50, 7, write)),
    ...Array.from({ length: READERS }, (_, i) => loop(i * 50, 3, read)),
  ];
  return {
    counts,
    stop: async () => {
      stopped = true;
      await Promise.all(loops);
      const { localHits, remoteHits } = cache.figures();
      counts.hits = localHits + remoteHits;
      await settled(() => cache.figures().owed === 0);
      await cache.close();
      await db.close();
    },
  };
}

/** What is owed to a cache that was away is paid within a second of its return. */
async function settled(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds() && tries < 200; tries++) await sleep(50);
}

/**
 * Compares every key as another process sees it.
 * @returns the keys that differ, and of how many the cache held a value
 */
export async function compareCached(place: CachedPlace): Promise<{ differing: string[]; held: number }> {
  const [db, cache] = [database(place), await open(place, { local: false })];
  try {
    const space: Space<number> = cache.space<number>(SPACE);
    const { rows } = await db.write<{ id: string; value: string }>("select id, value from cached_item");
    const wanted = new Map(rows.map(({ id, value }) => [id, Number(value)]));
    const differing: string[] = [];
    let held = 0;
    for (const key of CACHED_KEYS) {
      const kept = await space.peek(key);
      const served = await space.getOrLoad(key, () => readRow(db, key));
      if (kept !== undefined) held++;
      if ((kept !== undefined && kept !== wanted.get(key)) || served !== wanted.get(key))
        differing.push(`${key}: the cache holds ${kept} and serves ${served}, the database has ${wanted.get(key)}`);
    }
    return { differing, held };
  } finally {
    await cache.close();
    await db.close();
  }
}
