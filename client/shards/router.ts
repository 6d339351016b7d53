/**
 * Leads each piece of work to the shard of its key, straight through the pooler. While there are no shards that is the write URL's server,
 * so nothing changes in an application when it climbs but the map.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import type { ClientConfig } from "../config.ts";
import type { Memory, Operations } from "../operations.ts";
import { isAgain, isAway, ShardAway, SpansShards } from "./errors.ts";
import { MapFollower, type ShardMap, type View } from "./map.ts";
import { Bound, databaseOf, Server, type ServerFigures, shardConfig } from "./open.ts";

/** What a reader or writer remembers of each shard. */
export type Memories = (shard: string) => Memory;

/** What a piece of work needs of a shard. */
export interface Need {
  shard: string;
  buckets: readonly number[];
  /** SQL that the shard answers with LB001 when the rows are elsewhere. */
  fence: string;
  timeout?: number | undefined;
}

/** One piece of work under one version of the map. */
export interface Target {
  shard: string;
  operations: Operations;
  fence: string;
  /** Whether the rows are there for sure: each transaction has the fence, or there are no shards. */
  surely: boolean;
  /** Whether an answer that comes now came in time: without a fence only while the map is certain. */
  late: () => boolean;
}

/** Longest wait for a bucket that is on its way from one shard to another. */
const MOVE_WAIT_MS = 30_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 200;
/** What leads to a shard that is no longer in the map ends by then. */
const CLOSE_AFTER_MS = 60_000;

export class Router {
  /** Types of statements' columns, for what changes so rarely. */
  readonly types = new LRUCache<string, string[]>({ max: 1000, ttl: 60_000 });
  readonly #main: Server;
  readonly #config: ClientConfig;
  readonly #database: string;
  readonly #map: MapFollower;
  readonly #servers = new Map<string, Server>();
  /** Servers of shards that have left the map, until what leads to them has ended. */
  readonly #left = new Map<Server, NodeJS.Timeout>();
  readonly #inside = new AsyncLocalStorage<string>();
  #count = 1;

  /** @param lease ms for which a map is certain; 0: never, and every transaction has a fence */
  constructor(main: Server, config: ClientConfig, lease: number) {
    this.#main = main;
    this.#config = config;
    this.#database = databaseOf(config.writeUrl);
    this.#map = new MapFollower(new Bound(main.core, {}), this.#database, lease, (map) => this.#follow(map));
  }

  /** The map that is in use. @throws what the driver throws, the first time. */
  async map(): Promise<ShardMap> {
    return (await this.#map.current()).map;
  }

  /** The pools that lead straight to shards; none while the write URL's server is the only one. */
  figures(): Readonly<Record<string, ServerFigures>> {
    return Object.fromEntries([...this.#servers].map(([name, server]) => [name, server.figures()]));
  }

  /** Opens the connections that the shards' pools keep. */
  async ready(): Promise<void> {
    const { shards } = await this.map();
    const direct = shards.filter((shard) => shard !== this.#database);
    await Promise.all(direct.map((shard) => this.#server(shard).ready()));
  }

  async close(): Promise<void> {
    for (const timer of this.#left.values()) clearTimeout(timer);
    await Promise.all([...this.#servers.values(), ...this.#left.keys()].map((server) => server.close()));
  }

  /**
   * Runs `work` under the map, and again under a newer one as long as a shard says that the rows are elsewhere: it has done nothing then.
   * @throws the shard's refusal after 30 s; what `work` throws.
   */
  async routed<T>(work: (view: View) => Promise<T>): Promise<T> {
    const giveUp = performance.now() + MOVE_WAIT_MS;
    let certain = true;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        const { map, until } = await this.#map.current();
        return await work({ map, until: certain ? until : Number.NEGATIVE_INFINITY });
      } catch (error) {
        if (!isAgain(error) || performance.now() > giveUp) throw error;
        certain = false;
        // Without the gateway the shards still know what is theirs.
        await this.#map.refresh().catch(() => undefined);
      }
      await sleep(Math.random() * pause);
    }
  }

  /** What leads to a shard of the map. The fence is left out where it is certain that nothing moves, and where there are no shards. */
  target({ map, until }: View, memories: Memories, { shard, buckets, fence, timeout }: Need): Target {
    const memory = memories(shard);
    const server = this.#server(shard);
    const { tenant, wrote } = memory;
    const certain = performance.now() < until && !buckets.some((bucket) => map.moving.includes(bucket));
    const alone = server === this.#main;
    const conditions: Memory = {
      tenant,
      wrote,
      timeout,
      fence: certain || alone ? undefined : fence,
      get after() {
        return memory.after;
      },
    };
    const late = () => certain && !alone && performance.now() > until;
    return { shard, operations: new Bound(server.core, conditions), fence, surely: alone || !certain, late };
  }

  /**
   * Runs `work` as part of a transaction on a shard: what it writes through this router must go there.
   */
  within<T>(shard: string, work: () => Promise<T>): Promise<T> {
    return this.#inside.run(shard, work);
  }

  /** @throws SpansShards where a transaction of another shard is open around the caller. */
  mayWrite(shard: string): void {
    const open = this.#inside.getStore();
    if (open === undefined || open === shard) return;
    throw new SpansShards(
      `transaction on ${open}: got a write on ${shard}, want writes on one shard: end the transaction first, or give both rows the same key`,
    );
  }

  /** The error as it is thrown to the caller: the one of a way that is gone names the shard. */
  named(error: unknown, shard: string): unknown {
    return isAway(error) ? new ShardAway(shard, error) : error;
  }

  #server(shard: string): Server {
    if (shard === this.#database) return this.#main;
    const known = this.#servers.get(shard);
    if (known) return known;
    const server = new Server(shardConfig(this.#config, shard, this.#count), `shard ${shard}, `);
    this.#servers.set(shard, server);
    return server;
  }

  #follow({ shards, buckets }: ShardMap): void {
    const direct = shards.filter((shard) => shard !== this.#database);
    this.#count = Math.max(1, direct.length);
    this.#prepare(direct.filter((shard) => !buckets.some((at) => shards[at] === shard)));
    for (const [name, server] of this.#servers)
      if (!shards.includes(name)) {
        this.#servers.delete(name);
        const close = () => {
          this.#left.delete(server);
          server.close().catch(() => undefined);
        };
        this.#left.set(server, setTimeout(close, CLOSE_AFTER_MS).unref());
      }
  }

  /** Opens to shards that get their first buckets soon what they will need: together as many connections as there are now. */
  #prepare(coming: readonly string[]): void {
    const open = [this.#main, ...this.#servers.values()].map((server) => server.figures());
    const each = (pool: "write" | "read") => Math.ceil(open.reduce((sum, figures) => sum + figures[pool].open, 0) / coming.length);
    // One that cannot be reached yet is opened by whoever needs it.
    for (const shard of coming)
      this.#server(shard)
        .ready({ write: each("write"), read: each("read") })
        .catch(() => undefined);
  }
}
