/** What databases and sessions can do beyond one server. */
import { type Core, type Memory, Operations } from "../operations.ts";
import type { Row } from "../transaction.ts";
import type { KeyType } from "./bucket.ts";
import { Fan, type FanAnswer, type FanOptions } from "./fan.ts";
import type { ShardKey } from "./map.ts";
import type { Memories, Router } from "./router.ts";
import { keyType, Shard, type ShardOptions } from "./shard.ts";

export interface Routing {
  router: Router;
  /** Type of keys where a call does not say it. */
  shardKey: KeyType | undefined;
}

export abstract class Routed extends Operations {
  readonly #routing: Routing;
  readonly #memories: Memories;
  readonly #fan: Fan;

  constructor(core: Core, memory: Memory, routing: Routing, memories: Memories) {
    super(core, memory);
    this.#routing = routing;
    this.#memories = memories;
    this.#fan = new Fan(routing.router, memories);
  }

  /**
   * The shard that holds the rows of a key, as a database. Before stage 4 that is the one server.
   * @param key the shard key's value; or several that must lie on one shard, for a transaction that needs them all
   * @throws InputError when the key's type is not known; what it is used for then throws SpansShards for keys on several shards, RangeError
   * for a key that is none of its type, ShardAway.
   */
  shard(key: ShardKey | readonly ShardKey[], { type }: ShardOptions = {}): Shard {
    const { router, shardKey } = this.#routing;
    const keys: readonly ShardKey[] = typeof key === "object" ? key : [key];
    return new Shard(router, keys, keyType(keys, type ?? shardKey), this.#memories);
  }

  /**
   * Runs a query on all shards at once. Their rows come one shard after the other; or in one order, limited, or aggregated, as the options
   * say: then `sql` is a query without `;` that says neither. All answers are of one version of the shard map, each of its own moment.
   * @throws ShardsFailed that names the shards that gave no answer; the statement's own error; InputError for options.
   */
  onAllShards<R extends Row = Row>(sql: string, values: readonly unknown[] = [], options: FanOptions = {}): Promise<FanAnswer<R>> {
    return this.#fan.all<R>(sql, values, options);
  }

  /**
   * The row that a query finds, where the shard is not known: all are asked, the first that has it answers.
   * @param timeout longest time that a shard is given, ms
   * @returns undefined when every shard answered that it has none
   * @throws ShardsFailed when none has it and not every shard answered.
   */
  findOne<R extends Row = Row>(
    sql: string,
    values: readonly unknown[] = [],
    { timeout }: { timeout?: number } = {},
  ): Promise<R | undefined> {
    return this.#fan.findOne<R>(sql, values, timeout);
  }
}
