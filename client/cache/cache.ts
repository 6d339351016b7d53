/** A cache: its connections and its name spaces. */
import { Changes } from "./changes.ts";
import { type Codec, json } from "./codec.ts";
import { Counters, type Figures } from "./figures.ts";
import { Limit } from "./limit.ts";
import { Link } from "./link.ts";
import { Owed } from "./owed.ts";
import { listQueues, type QueueReport } from "./queues.ts";
import type { LoadOptions } from "./reader.ts";
import { type CacheOptions, type CacheSettings, readOptions, readSpace, type Shared } from "./settings.ts";
import { Space } from "./space.ts";
import { defaultsOf } from "./ttl.ts";

/** Durations in ms. */
export interface SpaceOptions<V> {
  /** The longest that a value is served. @default the row of TTL by this name, else 5 min */
  ttl?: number;
  /** How long after that a value is still served while one caller loads the next. @default 0 */
  stale?: number;
  /** How long null is kept, so that what does not exist is not asked for again and again. @default 0: not at all */
  negativeTtl?: number;
  /** Whether processes keep values themselves. @default by name: not for `unread` */
  local?: boolean;
  /** @default the cache's */
  lease?: number;
  /** @default json() */
  codec?: Codec<V>;
}

const LOCAL = { bytes: 64 * 2 ** 20, ttl: 30_000 };
/** The space of `cache.getOrLoad`. */
const COMMON = "common";

/**
 * Opens a cache. Resolves when it is connected, or after two seconds when it does not answer: everything works then too, from the database,
 * and it connects later.
 * @throws InputError with every problem of the options
 */
export async function openCache(options: CacheOptions): Promise<Cache> {
  const cache = new Cache(readOptions(options));
  await cache.open();
  return cache;
}

export class Cache {
  readonly #shared: Shared;
  readonly #changes: Changes;
  readonly #spaces = new Map<string, Space<unknown>>();
  readonly #background = new Set<Promise<void>>();

  /** Use openCache. */
  constructor({ namespace, local, url, caCertificate, connections, timeout, confirm, nat, ...settings }: CacheSettings) {
    const alone = url === "";
    const keeps = local !== false && (!alone || local.alone === true);
    const counters = new Counters();
    const link = new Link({ url, caCertificate, connections, timeout, confirm, nat }, counters);
    const level = local === false ? {} : local;
    this.#changes = new Changes(link, namespace, settings.beat, {
      changed: (space, key) => this.#spaces.get(space)?.forget(key),
      lost: () => {
        counters.add("flushes");
        for (const space of this.#spaces.values()) space.forget(null);
      },
    });
    this.#shared = {
      namespace,
      link,
      counters,
      limit: new Limit(settings.maxLoads),
      owed: new Owed(),
      alone,
      intent: settings.intent,
      patience: settings.patience,
      lease: settings.lease,
      local: { bytes: keeps ? (level.bytes ?? LOCAL.bytes) : 0, ttl: level.ttl ?? LOCAL.ttl },
      coherent: () => alone || this.#changes.coherent,
      background: (work) => {
        this.#background.add(work);
        void work.finally(() => this.#background.delete(work));
      },
    };
  }

  /** Connects; openCache does. */
  async open(): Promise<void> {
    if (this.#shared.alone) return;
    await this.#shared.link.open();
    await this.#changes.open();
  }

  /**
   * A name space: its keys, version, durations and type of values are its own. The second call with a name returns the same space.
   * @throws InputError for a wrong option; Error when options come with a name that has a space already
   */
  space<V>(name: string, options?: SpaceOptions<V>): Space<V> {
    const known = this.#spaces.get(name);
    if (known && options) throw new Error(`space ${name}: got options a second time, want them with its first use only`);
    if (known) return known as Space<V>;
    const { codec = json<V>(), ...rest } = options ?? {};
    const settings = readSpace(name, rest, { ...defaultsOf(name), lease: this.#shared.lease });
    const space = new Space<V>(name, this.#shared, settings, codec);
    this.#spaces.set(name, space as Space<unknown>);
    return space;
  }

  /** `getOrLoad` of the space "common", for values without a space of their own. */
  getOrLoad<V>(key: string, loader: () => Promise<V>, options: LoadOptions = {}): Promise<V> {
    return this.space<V>(COMMON).getOrLoad(key, loader, options);
  }

  /** Of the space "common". */
  invalidate(keys: string | readonly string[]): Promise<void> {
    return this.space(COMMON).invalidate(keys);
  }

  figures(): Figures {
    const { counters, owed, link } = this.#shared;
    return { ...counters.read(), owed: owed.size, up: link.up, coherent: this.#shared.coherent() };
  }

  /** Write-behind queues of all processes, the dead ones too: what a crash has left undone. Empty without a cache. */
  queues(): Promise<QueueReport[]> {
    return this.#shared.alone ? Promise.resolve([]) : listQueues(this.#shared.link, this.#shared.namespace);
  }

  /** Writes what is queued, finishes what is under way, disconnects. @throws when queued writes are left; it is closed all the same */
  async close(): Promise<void> {
    try {
      const closed = await Promise.allSettled([...this.#spaces.values()].map((space) => space.close()));
      const failed = closed.find((one) => one.status === "rejected");
      await Promise.all(this.#background);
      if (!this.#shared.alone) await this.#shared.owed.close();
      if (failed) throw failed.reason;
    } finally {
      this.#changes.close();
      this.#shared.link.close();
    }
  }
}
