/** A name space of the cache: one kind of value, with its own durations, version and in-process level. */
import { BATCH, Batch, type LoadMany } from "./batch.ts";
import { WriteBehind } from "./behind.ts";
import { type Codec, fromBytes, toBytes } from "./codec.ts";
import { type Guarded, guard } from "./guard.ts";
import { Local } from "./local.ts";
import type { WriteBehindOptions } from "./queue-options.ts";
import { type LoadOptions, Reader } from "./reader.ts";
import type { Shared, SpaceSettings } from "./settings.ts";
import { hashTag, Store } from "./store.ts";

export interface Warmed {
  /** Keys that were loaded and stored. */
  filled: number;
  /** Keys that the cache had already, or whose load was not stored because they were changed or the cache is down. */
  left: number;
}

export class Space<V> {
  readonly name: string;
  readonly #shared: Shared;
  readonly #codec: Codec<V>;
  readonly #store: Store;
  readonly #local: Local;
  readonly #reader: Reader<V>;
  #behind: WriteBehind<V> | undefined;

  /** Made by `cache.space`. */
  constructor(name: string, shared: Shared, settings: SpaceSettings, codec: Codec<V>) {
    this.name = name;
    this.#shared = shared;
    this.#codec = codec;
    this.#store = new Store(shared.link, shared.counters, shared.namespace, name);
    this.#local = new Local(settings.local ? shared.local.bytes : 0, shared.local.ttl);
    this.#reader = new Reader(shared, settings, codec, this.#store, this.#local, (key) => this.#behind?.queued(key));
  }

  /**
   * The value of a key: from this process, else from the cache, else from the loader, whose value is stored. However many ask at once, in
   * however many processes, one loads. A value whose key changes while it is being loaded is not stored. With no cache, or a dead one,
   * the loader is asked.
   * @param loader reads the database; null is a value, undefined is not. Its errors go to every caller that shares the load.
   */
  async getOrLoad(key: string, loader: () => Promise<V>, options: LoadOptions = {}): Promise<V> {
    return this.#reader.value(key, loader, options);
  }

  /** Many keys at once: what is missing is loaded together, at most 500 keys a call. Keys that the loader leaves out are null. */
  async getMany(keys: readonly string[], loadMany: LoadMany<V>): Promise<Map<string, V>> {
    const batch = new Batch(keys.length, this.#bounded(loadMany));
    const values = await Promise.all(keys.map((key) => batch.one(key, (load) => this.#reader.value(key, load, { batched: true }))));
    return new Map(keys.map((key, i) => [key, values[i] as V]));
  }

  #bounded(loadMany: LoadMany<V>): LoadMany<V> {
    return (keys) => this.#shared.limit.run(() => loadMany(keys));
  }

  /** Loads what the cache does not have yet, before readers ask for it: at a start, or from a job. */
  async warm(keys: readonly string[], loadMany: LoadMany<V>): Promise<Warmed> {
    let filled = 0;
    for (let start = 0; start < keys.length; start += BATCH) {
      const some = keys.slice(start, start + BATCH);
      const batch = new Batch(some.length, this.#bounded(loadMany));
      const filling = some.map((key) => batch.one(key, (load) => this.#reader.fillAbsent(key, load)));
      filled += (await Promise.all(filling)).filter(Boolean).length;
    }
    return { filled, left: keys.length - filled };
  }

  /** What the cache has, without loading; undefined when it has nothing or does not answer. A queued write counts. */
  async peek(key: string): Promise<V | undefined> {
    const data = this.#behind?.queued(key) ?? (await this.#store.peek(key));
    return data === undefined ? undefined : fromBytes(this.#codec, data);
  }

  /**
   * Write-through. Runs `write`, which changes the database and returns the value as it stands there now, and stores that. From before the change
   * until after it nobody stores what they read, so a process that is killed in between leaves no old value behind.
   * @param write its commit must be done when it resolves. Its error is passed on; the key is invalid then.
   * @throws PendingError when a queued write of another process did not get out of the way in time
   */
  async write(key: string, write: () => Promise<V>, options: LoadOptions = {}): Promise<V> {
    const { value, data } = await guard(this.#guarded(), [key], write, (value) => {
      const data = toBytes(this.#codec, value, key);
      return { value: { value, data }, store: { data, life: this.#reader.life(data, options) } };
    });
    return data.length === 0 ? value : fromBytes(this.#codec, data);
  }

  /** Runs a change of the database that touches these keys; they are invalid from before it until after it. */
  async change<T>(keys: readonly string[], change: () => Promise<T>): Promise<T> {
    return guard(this.#guarded(), keys, change, (value) => ({ value, store: undefined }));
  }

  #guarded(): Guarded {
    const { owed, alone, intent, patience } = this.#shared;
    const drop = (key: string) => this.#local.drop(key);
    return { store: this.#store, owed, alone, intent, patience, drop, queued: (key) => this.#behind?.queued(key) !== undefined };
  }

  /**
   * The keys' values do not count any more, in any process: call it after the database was changed. Resolves when the cache has done it, or
   * knows that it owes it. Keys with the same hash tag are done in one step.
   */
  async invalidate(keys: string | readonly string[]): Promise<void> {
    const all = typeof keys === "string" ? [keys] : keys;
    const groups = Map.groupBy(all, hashTag);
    for (const key of all) this.#local.drop(key);
    this.#shared.counters.add("invalidations", all.length);
    const one = async (group: readonly string[]) => {
      const done = this.#shared.alone || (await this.#store.invalidate(group));
      for (const key of group) {
        this.#local.drop(key);
        if (!done) this.#shared.owed.add(this.#store, key);
      }
    };
    await Promise.all([...groups.values()].map(one));
  }

  /** No value of the space counts any more, however many there are: one step. */
  async invalidateAll(): Promise<void> {
    this.#local.drop(null);
    this.#shared.counters.add("invalidations");
    const done = this.#shared.alone || (await this.#store.bump());
    this.#local.drop(null);
    if (!done) this.#shared.owed.add(this.#store, null);
  }

  /**
   * Opens the queue of this space's write-behind; once a process. The cache closes it.
   * @throws InputError when its journal is in use by another process
   */
  async writeBehind(options: WriteBehindOptions<V>): Promise<WriteBehind<V>> {
    if (this.#behind) throw new Error(`space ${this.name}: got a second write-behind queue, want one a process`);
    this.#behind = new WriteBehind(this.name, options, {
      ...this.#guarded(),
      namespace: this.#shared.namespace,
      link: this.#shared.link,
      codec: this.#codec,
      life: (data) => this.#reader.life(data, {}),
    });
    await this.#behind.open();
    return this.#behind;
  }

  /** A message of another process, or none any more. @param key null: all */
  forget(key: string | null): void {
    this.#local.drop(key);
  }

  async close(): Promise<void> {
    await this.#behind?.close();
  }
}
