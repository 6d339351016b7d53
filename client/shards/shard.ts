/** The shard of a key, as a database. */
import type DataLoader from "dataloader";
import { InputError } from "../../plan/types.ts";
import { type LoaderKey, type LoaderOptions, makeLoader, type TopOptions } from "../batch.ts";
import type { BulkOptions, BulkResult, Rows } from "../bulk.ts";
import { describeTable, type Query, type Table } from "../catalog.ts";
import { sqlState, UnknownOutcome } from "../errors.ts";
import type { TableName } from "../ids.ts";
import type { DeleteOptions, Operations } from "../operations.ts";
import type { Page, PageOptions } from "../page.ts";
import type { Answer, Row, Transaction, TransactionOptions } from "../transaction.ts";
import type { KeyType } from "./bucket.ts";
import { Late, SpansShards } from "./errors.ts";
import { placeOf, type ShardKey, type ShardMap, type View } from "./map.ts";
import type { Memories, Need, Router, Target } from "./router.ts";

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
    return this.#writes(async ({ operations, late }, view) => {
      const answer = await operations.write<R>(sql, values);
      if (late()) await this.#stillHere(view);
      return answer;
    });
  }

  /**
   * As `Database.transaction`. Everything in it happens on this shard.
   * @throws SpansShards for a row of another shard, and when the callback writes through the router on another shard.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return this.#writes((target) => this.#transaction(target, work, options));
  }

  /** As `Database.bulkInsert`. @throws SpansShards when one of the rows belongs to another shard; none is written then. */
  bulkInsert(table: TableName, rows: Rows, options: BulkOptions = {}): Promise<BulkResult> {
    const again = Array.isArray(rows);
    const insert = (tx: Transaction) => tx.bulkInsert(table, rows, options);
    return this.#writes((target) => this.#transaction(target, insert, again ? {} : { retries: 0 }), !again);
  }

  /** As `Database.bulkDelete`. After an error, the batches before stay deleted. */
  bulkDelete(table: TableName, where: string, values: readonly unknown[] = [], options: DeleteOptions = {}): Promise<number> {
    return this.#writes(({ operations }) => operations.bulkDelete(table, where, values, options), true);
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
    return this.#router.routed((view) =>
      this.#on(this.#target(view), async ({ operations, late }) => {
        const answer = await work(operations);
        if (late()) throw new Late();
        return answer;
      }),
    );
  }

  /** @param fenced for what cannot be done again */
  #writes<T>(work: (target: Target, view: View) => Promise<T>, fenced = false): Promise<T> {
    return this.#router.routed((view) => {
      const target = this.#target(fenced ? uncertain(view) : view);
      this.#router.mayWrite(target.shard);
      return this.#on(target, (target) => work(target, view));
    });
  }

  #transaction<T>(target: Target, work: (tx: Transaction) => Promise<T>, options: TransactionOptions): Promise<T> {
    const { operations, shard, fence, late } = target;
    return operations.transaction(async (tx) => {
      const result = await this.#router.within(shard, () => work(tx));
      // What is here now was here all the time. Other isolations would see the map as it was.
      if (late() && (options.isolation ?? "read committed") === "read committed") await tx.query(fence);
      else if (late()) throw new Late();
      return result;
    }, options);
  }

  async #on<T>(target: Target, work: (target: Target) => Promise<T>): Promise<T> {
    const { shard } = target;
    try {
      return await work(target);
    } catch (error) {
      const constraint = sqlState(error) === "23514" && (error as { constraint?: string }).constraint;
      if (!constraint || !BUCKET_CHECK.test(constraint)) throw this.#router.named(error, shard);
      // Without a fence it may also be the bucket that has left.
      if (!target.surely) throw new Late();
      const keys = this.#keys.map(String).join(", ");
      throw new SpansShards(`shard ${shard} of key ${keys}: got a row of another shard, want rows with this key`, { cause: error });
    }
  }

  /** A write was committed after the map had stopped being certain. @throws UnknownOutcome unless the bucket is where it was. */
  async #stillHere(view: View): Promise<void> {
    const { operations } = this.#target(uncertain(view));
    await operations
      .transaction(() => Promise.resolve(), { readOnly: true })
      .catch((error: unknown) => {
        throw new UnknownOutcome("write on a shard", error);
      });
  }

  #target(view: View): Target {
    return this.#router.target(view, this.#memories, this.#place(view.map));
  }

  #place(map: ShardMap): Need {
    const places = this.#keys.map((key) => ({ key, ...placeOf(map, key, this.#type) }));
    const shards = [...new Set(places.map(({ shard }) => shard))];
    if (shards.length > 1)
      throw new SpansShards(
        `keys: got ${places.map(({ key, shard }) => `${key} on ${shard}`).join(", ")}, want keys of one shard: a transaction does not span shards`,
      );
    const buckets = [...new Set(places.map(({ bucket }) => bucket))];
    return { shard: shards[0]!, buckets, fence: `select ladder.require_buckets('{${buckets.join(",")}}')` };
  }
}

const uncertain = ({ map }: View): View => ({ map, until: Number.NEGATIVE_INFINITY });

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
