/** How a value is found: in the process, in the cache, in the database; one load for all who ask. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Codec, fromBytes, toBytes } from "./codec.ts";
import type { Flight, Landed, Local } from "./local.ts";
import type { Shared, SpaceSettings } from "./settings.ts";
import { type Life, newToken, type Store } from "./store.ts";

/** What a single call may change. */
export interface LoadOptions {
  /** ms. @default the space's */
  ttl?: number;
}

interface Call extends LoadOptions {
  /** The loader keeps to the limit of loads itself. */
  batched?: boolean;
}

/** Waiting for another process's load: short at first. */
const POLL_MS = [5, 10, 20, 40, 80, 160] as const;
/** How much of its time to live an entry may lose at random. */
const JITTER = 0.1;

export class Reader<V> {
  readonly #shared: Shared;
  readonly #settings: SpaceSettings;
  readonly #codec: Codec<V>;
  readonly #store: Store;
  readonly #local: Local;
  readonly #queued: (key: string) => Buffer | undefined;
  readonly #refreshing = new Set<string>();

  /** @param queued the value that this process has queued for a key */
  constructor(
    shared: Shared,
    settings: SpaceSettings,
    codec: Codec<V>,
    store: Store,
    local: Local,
    queued: (key: string) => Buffer | undefined,
  ) {
    this.#shared = shared;
    this.#settings = settings;
    this.#codec = codec;
    this.#store = store;
    this.#local = local;
    this.#queued = queued;
  }

  /** What `getOrLoad` promises. */
  async value(key: string, loader: () => Promise<V>, options: Call): Promise<V> {
    const data = await this.#get(key, loader, options);
    try {
      return fromBytes(this.#codec, data);
    } catch {
      this.#shared.counters.add("undecodable");
      this.#local.drop(key);
      await this.#store.invalidate([key]);
      return fromBytes(this.#codec, await this.#get(key, loader, options));
    }
  }

  /** Loads and stores a key that neither the cache nor anybody's load has. False: it was there, or was not stored. */
  async fillAbsent(key: string, loader: () => Promise<V>): Promise<boolean> {
    const lease = newToken();
    const version = await this.#store.version();
    const entry = version === undefined ? undefined : await this.#store.read(key, version, lease, this.#settings.lease);
    if (entry?.kind !== "lead" || version === undefined) return false;
    return (await this.#lead(key, loader, version, lease, { batched: true })).stored;
  }

  async #get(key: string, loader: () => Promise<V>, options: Call): Promise<Buffer> {
    const queued = this.#queued(key);
    if (queued) return queued;
    const { counters } = this.#shared;
    if (this.#local.keeps && this.#shared.coherent()) {
      const data = this.#local.get(key);
      if (data) {
        counters.add("localHits");
        return data;
      }
    }
    const arrived = this.#local.arrive();
    for (;;) {
      const flight = this.#local.flight(key);
      if (!flight) return (await this.#local.start(key, (own) => this.#fetch(key, loader, options, own)).result).data;
      counters.add("joined");
      const { data, sure } = await flight.result;
      // A load that started before this call may have read what was changed between the two.
      if (flight.started > arrived || (sure && !flight.dirty)) return data;
    }
  }

  async #fetch(key: string, loader: () => Promise<V>, options: Call, flight: Pick<Flight, "dirty">): Promise<Landed> {
    const { counters } = this.#shared;
    const keep = this.#local.keeps && this.#shared.coherent();
    const kept = (data: Buffer, remaining: number): Landed => {
      if (keep && !flight.dirty && this.#shared.coherent()) this.#local.set(key, data, remaining);
      return { data, sure: this.#settings.local };
    };
    for (let tries = 0; ; tries++) {
      const lease = newToken();
      const version = await this.#store.version();
      const entry = version === undefined ? undefined : await this.#store.read(key, version, lease, this.#settings.lease);
      if (entry === undefined || version === undefined) {
        counters.add("misses");
        const data = await this.#load(key, loader, options);
        if (!this.#shared.alone) return { data, sure: false };
        return { ...kept(data, this.life(data, options).fresh), sure: true };
      }
      if (entry.kind === "wait") {
        if (tries === 0) counters.add("waited");
        await sleep(Math.min(entry.ms + 1, POLL_MS[Math.min(tries, POLL_MS.length - 1)] as number));
        continue;
      }
      if (entry.kind === "hit") {
        counters.add("remoteHits");
        // XFetch (Vattani et al., 2015): the nearer its end and the dearer its load, the likelier a refresh before anybody has to wait.
        if (entry.cost > 0 && entry.cost * -Math.log(Math.random()) >= entry.remaining) this.#refresh(key, loader, options, version);
        return kept(entry.data, entry.remaining);
      }
      if (entry.kind === "stale") {
        counters.add("staleHits");
        if (entry.granted) this.#refresh(key, loader, options, version, lease);
        return { data: entry.data, sure: false };
      }
      counters.add("misses");
      if (entry.kind === "bypass") {
        counters.add("bypassed");
        return { data: await this.#load(key, loader, options), sure: false };
      }
      const { data, stored, fresh } = await this.#lead(key, loader, version, lease, options);
      return stored ? kept(data, fresh) : { data, sure: false };
    }
  }

  async #load(key: string, loader: () => Promise<V>, { batched = false }: Call): Promise<Buffer> {
    const { counters, limit } = this.#shared;
    const load = () => counters.timed("load", loader);
    counters.add("loads");
    try {
      return toBytes(this.#codec, await (batched ? load() : limit.run(load)), key);
    } catch (error) {
      counters.add("loadErrors");
      throw error;
    }
  }

  /** Loads under a lease, and stores the value if the lease still stands: whatever changes the key ends it. */
  async #lead(
    key: string,
    loader: () => Promise<V>,
    version: string,
    lease: string,
    options: Call,
  ): Promise<{ data: Buffer; stored: boolean; fresh: number }> {
    const start = performance.now();
    const data = await this.#load(key, loader, options).catch(async (error: unknown) => {
      await this.#store.release(key, lease);
      throw error;
    });
    const life = this.life(data, options);
    if (life.fresh < 1) {
      await this.#store.release(key, lease);
      return { data, stored: false, fresh: 0 };
    }
    const stored = await this.#store.fill(key, lease, data, version, life, performance.now() - start);
    if (!stored) this.#shared.counters.add("refused");
    return { data, stored, fresh: life.fresh };
  }

  /** In the background; errors are counted. */
  #refresh(key: string, loader: () => Promise<V>, options: Call, version: string, granted?: string): void {
    if (this.#refreshing.has(key)) return;
    this.#refreshing.add(key);
    const run = async () => {
      const lease = granted ?? newToken();
      if (!granted && !(await this.#store.lease(key, lease, this.#settings.lease))) return;
      this.#shared.counters.add("refreshes");
      await this.#lead(key, loader, version, lease, options);
      this.#local.drop(key);
    };
    this.#shared.background(
      run()
        .catch(() => undefined)
        .finally(() => this.#refreshing.delete(key)),
    );
  }

  /** Earlier by chance than asked for, never later. */
  life(data: Buffer, options: LoadOptions): Life {
    const ttl = data.length === 0 ? this.#settings.negativeTtl : (options.ttl ?? this.#settings.ttl);
    const fresh = Math.ceil(ttl * (1 - JITTER * Math.random()));
    return { fresh, hard: fresh + (data.length === 0 ? 0 : this.#settings.stale) };
  }
}
