/** The shard of a key, as a database. */
import type DataLoader from "dataloader";
import { InputError } from "../../plan/types.ts";
import { type LoaderKey, type LoaderOptions, makeLoader, type TopOptions } from "../batch.ts";
import type { BulkOptions, BulkResult, Rows } from "../bulk.ts";
import { describeTable, type Query, type Table } from "../catalog.ts";
import { sqlState } from "../errors.ts";
import type { TableName } from "../ids.ts";
import type { DeleteOptions, Operations } from "../operations.ts";
import type { Page, PageOptions } from "../page.ts";
import type { Answer, Row, Transaction, TransactionOptions } from "../transaction.ts";
import type { KeyType } from "./bucket.ts";
import { SpansShards } from "./errors.ts";
import { placeOf, type ShardKey, type ShardMap } from "./map.ts";
import type { Memories, Router, Target } from "./router.ts";

export interface ShardOptions {
  /** Type of the key's column. @default that of `connect`, else `bigint` for numbers; texts have none */
  type?: KeyType;
}

/** What the mover calls the CHECK that keeps a row of another bucket off a shard: `ladder_bucket`, whatever stands around it. */
const BUCKET_CHECK = /ladder_bucket/;

/**
 * Does what a `Database` does, on the one shard that holds the rows of a key. Holds nothing open: make it wherever it is needed. It does
 * not look into statements: give each the condition on the shard key.
 */
export class Shard {
  readonly #router: Router;
  readonly #keys: readonly ShardKey[];
  readonly #type: KeyType;
  readonly #memories: Memories;

  constructor(router: Router, keys: readonly ShardKey[], type: KeyType, memories: Memories) {
    this.#router = router;
    this.#keys = keys;
    this.#type = type;
    this.#memories = memories;
  }

  /** The shard's database at the pooler, now. @throws SpansShards when the keys lie on several. */
  async name(): Promise<string> {
    return this.#place(await this.#router.map()).shard;
  }

  /** As `Database.read`. */
  read<R extends Row = Row>(sql: string, values: readonly unknown[] = []): Promise<R[]> {
    return this.#reads((on) => on.read<R>(sql, values));
  }

  /** As `Database.write`. @throws SpansShards for a row of another shard. */
  write<R extends Row = Row>(sql: string, values: readonly unknown[] = []): Promise<Answer<R>> {
    return this.#writes((on) => on.write<R>(sql, values));
  }

  /**
   * As `Database.transaction`. Everything in it happens on this shard.
   * @throws SpansShards for a row of another shard, and when the callback writes through the router on another shard.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return this.#writes((on, shard) => on.transaction((tx) => this.#router.within(shard, () => work(tx)), options));
  }

  /** As `Database.bulkInsert`. @throws SpansShards when one of the rows belongs to another shard; none is written then. */
  bulkInsert(table: TableName, rows: Rows, options: BulkOptions = {}): Promise<BulkResult> {
    return this.#writes((on) => on.bulkInsert(table, rows, options));
  }

  /** As `Database.bulkDelete`. After an error, the batches before stay deleted. */
  bulkDelete(table: TableName, where: string, values: readonly unknown[] = [], options: DeleteOptions = {}): Promise<number> {
    return this.#writes((on) => on.bulkDelete(table, where, values, options));
  }

  /** As `Database.count`. */
  count(table: TableName, where = "true", values: readonly unknown[] = []): Promise<number> {
    return this.#reads((on) => on.count(table, where, values));
  }

  /** As `Database.estimate`. */
  estimate(table: TableName, where = "true", values: readonly unknown[] = []): Promise<number> {
    return this.#reads((on) => on.estimate(table, where, values));
  }

  /** As `Database.page`. The cursor is good on every shard. */
  page<R extends Row = Row>(options: PageOptions): Promise<Page<R>> {
    return this.#reads((on) => on.page<R>(options));
  }

  /** As `Database.topPerGroup`. */
  topPerGroup<R extends Row = Row, K = string>(options: TopOptions<K>): Promise<Map<K, R[]>> {
    return this.#reads((on) => on.topPerGroup<R, K>(options));
  }

  /** As `Database.loader`. */
  loader<R extends Row = Row, K extends LoaderKey = string>(
    table: TableName,
    key: string | readonly string[],
    options: LoaderOptions = {},
  ): DataLoader<K, R[], string> {
    const query: Query = (sql, values) => this.read(sql, values);
    let described: Promise<Table> | undefined;
    const describe = () => {
      described ??= describeTable(query, table).catch((error: unknown) => {
        described = undefined;
        throw error;
      });
      return described;
    };
    return makeLoader<R, K>(query, describe, key, options);
  }

  #reads<T>(work: (on: Operations) => Promise<T>): Promise<T> {
    return this.#router.routed((map) => this.#on(this.#target(map), work));
  }

  #writes<T>(work: (on: Operations, shard: string) => Promise<T>): Promise<T> {
    return this.#router.routed((map) => {
      const target = this.#target(map);
      this.#router.mayWrite(target.shard);
      return this.#on(target, work);
    });
  }

  async #on<T>({ shard, operations }: Target, work: (on: Operations, shard: string) => Promise<T>): Promise<T> {
    try {
      return await work(operations, shard);
    } catch (error) {
      const constraint = sqlState(error) === "23514" && (error as { constraint?: string }).constraint;
      if (!constraint || !BUCKET_CHECK.test(constraint)) throw this.#router.named(error, shard);
      const keys = this.#keys.map(String).join(", ");
      throw new SpansShards(`shard ${shard} of key ${keys}: got a row of another shard, want rows with this key`, { cause: error });
    }
  }

  #target(map: ShardMap): Target {
    const { shard, buckets } = this.#place(map);
    return this.#router.target(shard, this.#memories, `select ladder.require_buckets('{${buckets.join(",")}}')`);
  }

  #place(map: ShardMap): { shard: string; buckets: number[] } {
    const places = this.#keys.map((key) => ({ key, ...placeOf(map, key, this.#type) }));
    const shards = [...new Set(places.map(({ shard }) => shard))];
    if (shards.length > 1)
      throw new SpansShards(
        `keys: got ${places.map(({ key, shard }) => `${key} on ${shard}`).join(", ")}, want keys of one shard: a transaction does not span shards`,
      );
    return { shard: shards[0]!, buckets: [...new Set(places.map(({ bucket }) => bucket))] };
  }
}

/** @throws InputError for no key, and for a text of no given type: `"42"` may be a number, a text and half of a uuid. */
export function keyType(keys: readonly ShardKey[], given: KeyType | undefined): KeyType {
  if (keys.length === 0) throw new InputError("shard", [{ path: "key", got: keys, want: "a key, or several of one shard" }]);
  if (given !== undefined) return given;
  if (keys.every((key) => typeof key !== "string")) return "bigint";
  throw new InputError("shard", [
    {
      path: "type",
      got: undefined,
      want: "bigint, integer, uuid or text, here or as shardKey of connect: a key that is a text does not say it",
    },
  ]);
}
