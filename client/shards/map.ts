/** The shard map, and how a process follows it. */
import { sqlState } from "../errors.ts";
import type { Operations } from "../operations.ts";
import { bucketOf, type KeyType } from "./bucket.ts";

/** Which shard has which bucket. */
export interface ShardMap {
  /** Grows with every change; 0 where there are no shards. */
  readonly version: number;
  /** The shards' databases at the pooler. The write URL's own where there are no shards. */
  readonly shards: readonly string[];
  /** The shard of each bucket, by its place in `shards`. */
  readonly buckets: readonly number[];
  /** Buckets that are about to move. */
  readonly moving: readonly number[];
}

/** A version of the map, and how long it is certain. */
export interface View {
  map: ShardMap;
  /** Until when nothing moves that the map does not announce, by `performance.now`. */
  until: number;
}

export type ShardKey = bigint | number | string;

/** Before there is a map, so that keys of a wrong type are found before the climb. */
const BUCKETS = 64;
/** A map that is older is read again when it is used; meanwhile the old one is used. */
export const FOLLOW_MS = 5_000;
/** So long after the map was read no bucket moves that it does not announce: ladder.set_shard_map waits 20 s. */
export const LEASE_MS = 15_000;
/** No such table, schema or right: an older stack, or a foreign server. The write URL carries everything there. */
const NO_MAP = ["42P01", "3F000", "42501"];

export const wholeMap = (database: string): ShardMap => ({
  version: 0,
  shards: [database],
  buckets: Array<number>(BUCKETS).fill(0),
  moving: [],
});

/** The bucket of a key and its shard. @throws RangeError for a key that is none of its type. */
export function placeOf(map: ShardMap, key: ShardKey, type: KeyType): { bucket: number; shard: string } {
  const bucket = bucketOf(key, type, map.buckets.length);
  return { bucket, shard: map.shards[map.buckets[bucket]!]! };
}

export class MapFollower {
  readonly #main: Operations;
  readonly #database: string;
  readonly #changed: (map: ShardMap) => void;
  readonly #lease: number;
  readonly #follow: number;
  #view: View | undefined;
  #asked = 0;
  #asking: Promise<View> | undefined;

  /**
   * @param main where the map is read
   * @param database of the write URL
   * @param lease ms for which a map is certain
   * @param changed called with every map that differs from the one before
   */
  constructor(main: Operations, database: string, lease: number, changed: (map: ShardMap) => void) {
    this.#main = main;
    this.#database = database;
    this.#lease = lease;
    this.#follow = lease > 0 ? Math.min(FOLLOW_MS, lease / 3) : FOLLOW_MS;
    this.#changed = changed;
  }

  /** At once, but for the first time. @throws what the driver throws, the first time. */
  async current(): Promise<View> {
    if (this.#view === undefined) return this.refresh();
    if (performance.now() - this.#asked > this.#follow) this.refresh().catch(() => undefined);
    return this.#view;
  }

  /** As the gateway has it now. @throws what the driver throws. */
  refresh(): Promise<View> {
    this.#asking ??= this.#read().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #read(): Promise<View> {
    const asked = performance.now();
    this.#asked = asked;
    const sql = "select version, databases as shards, shards as buckets, moving from ladder.shard_map";
    const { rows } = await this.#main.write<ShardMap>(sql).catch((error: unknown) => {
      if (NO_MAP.includes(sqlState(error) ?? "")) return { rows: [] };
      throw error;
    });
    const map = rows[0] ?? wholeMap(this.#database);
    if (map.version !== this.#view?.map.version) this.#changed(map);
    this.#view = { map, until: asked + this.#lease };
    return this.#view;
  }
}
