/** One statement on every shard at once, and one answer made of theirs. */
import { PoolTimeout, sqlState } from "../errors.ts";
import type { Row } from "../transaction.ts";
import { type FailedShard, isAgain, Late, ShardAway, ShardsFailed, ShardTimeout } from "./errors.ts";
import type { View } from "./map.ts";
import { checkShape, combineSql, PLACE, partSql, type Shape, typesSql, wholeSql } from "./plan.ts";
import type { Memories, Router, Target } from "./router.ts";

export interface FanOptions extends Shape {
  /** Longest time that a shard is given, ms. @default no limit but the server's */
  timeout?: number;
  /** Shards that gave no answer are left out and named in `failed`. @default false: they are an error */
  partial?: boolean;
}

export interface FanAnswer<R extends Row> {
  rows: R[];
  /** Empty unless `partial` was asked for. */
  failed: readonly FailedShard[];
}

/** Answers of one kind, in the order of the shards. */
interface Answers<T> {
  answered: { target: Target; answer: T }[];
  failed: FailedShard[];
}

type Placed = Row & { [PLACE]: (string | null)[] };

const isMissing = (error: unknown): boolean => error instanceof ShardAway || error instanceof ShardTimeout || error instanceof PoolTimeout;

export class Fan {
  readonly #router: Router;
  readonly #memories: Memories;

  constructor(router: Router, memories: Memories) {
    this.#router = router;
    this.#memories = memories;
  }

  all<R extends Row>(sql: string, values: readonly unknown[], options: FanOptions): Promise<FanAnswer<R>> {
    checkShape(options);
    const { order = [], limit, aggregates, timeout, partial = false } = options;
    const plain = order.length === 0 && limit === undefined && aggregates === undefined;
    return this.#router.routed(async (view) => {
      const targets = this.#targets(view, timeout);
      const [only] = targets;
      if (plain || (targets.length === 1 && only)) {
        const { answered, failed } = await this.#settle<R[]>(targets, partial, (target) =>
          this.#ask(target, plain ? sql : wholeSql(sql, options), values, timeout),
        );
        return { rows: answered.flatMap(({ answer }) => answer), failed };
      }
      const typed = order.length === 0 && !aggregates ? [] : await this.#types(targets, typesSql(sql, options), values, timeout);
      const { answered, failed } = await this.#settle(targets, partial, (target) =>
        this.#ask<Placed>(target, partSql(sql, options, typed), values, timeout),
      );
      return { rows: await this.#combined<R>(answered, options, typed), failed };
    });
  }

  findOne<R extends Row>(sql: string, values: readonly unknown[], timeout: number | undefined): Promise<R | undefined> {
    return this.#router.routed(async (view) => {
      const targets = this.#targets(view, timeout);
      return new Promise<R | undefined>((resolve, reject) => {
        const first = async (target: Target) => {
          const [row] = await this.#ask<R>(target, sql, values, timeout);
          if (row !== undefined) resolve(row);
        };
        this.#settle(targets, false, first).then(() => resolve(undefined), reject);
      });
    });
  }

  #targets(view: View, timeout: number | undefined): Target[] {
    const { version, shards, buckets, moving } = view.map;
    const fence = `select ladder.require_shard_map(${version})`;
    const used = [...new Set(buckets)].sort((a, b) => a - b);
    return used.map((i) => this.#router.target(view, this.#memories, { shard: shards[i]!, buckets: moving, fence, timeout }));
  }

  async #ask<R extends Row>({ shard, operations, late }: Target, sql: string, values: readonly unknown[], timeout?: number): Promise<R[]> {
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      if (timeout !== undefined) timer = setTimeout(() => reject(new ShardTimeout(shard, timeout)), timeout);
    });
    try {
      const rows = await Promise.race([operations.read<R>(sql, values), tooLong]);
      if (late()) throw new Late();
      return rows;
    } catch (error) {
      const stopped = timeout !== undefined && sqlState(error) === "57014";
      throw stopped ? new ShardTimeout(shard, timeout) : this.#router.named(error, shard);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @throws a shard's refusal before all; then the statement's own error; then ShardsFailed, unless part of an answer will do. */
  async #settle<T>(targets: readonly Target[], partial: boolean, ask: (target: Target) => Promise<T>): Promise<Answers<T>> {
    const settled = await Promise.allSettled(targets.map(ask));
    const answers: Answers<T> = { answered: [], failed: [] };
    settled.forEach((one, i) => {
      const target = targets[i]!;
      if (one.status === "fulfilled") answers.answered.push({ target, answer: one.value });
      else answers.failed.push({ shard: target.shard, error: one.reason });
    });
    const errors = answers.failed.map(({ error }) => error);
    const own = errors.find(isAgain) ?? errors.find((error) => !isMissing(error));
    if (own !== undefined) throw own;
    if (errors.length > 0 && (!partial || answers.answered.length === 0)) throw new ShardsFailed(answers.failed, targets.length);
    return answers;
  }

  async #types(targets: readonly Target[], sql: string, values: readonly unknown[], timeout?: number): Promise<string[]> {
    const known = this.#router.types.get(sql);
    if (known) return known;
    const { answered } = await this.#settle(targets, true, (target) => this.#ask<{ types: string[] }>(target, sql, values, timeout));
    const found = answered[0]!.answer[0]!.types;
    this.#router.types.set(sql, found);
    return found;
  }

  async #combined<R extends Row>(answered: Answers<Placed[]>["answered"], shape: Shape, typed: readonly string[]): Promise<R[]> {
    const parts = answered.flatMap(({ answer }) => answer);
    const rows = () => parts.map(({ [PLACE]: _, ...row }) => row as unknown as R);
    const { aggregates, limit = parts.length } = shape;
    if (!aggregates && (typed.length === 0 || answered.filter(({ answer }) => answer.length > 0).length < 2)) return rows().slice(0, limit);
    const { target } = answered[0]!;
    const columns = typed.map((_, i) => parts.map((part) => part[PLACE][i] ?? null));
    if (aggregates) return this.#ask<R>(target, combineSql(shape, typed), columns);
    const positions = await this.#ask<{ n: number }>(target, combineSql(shape, typed), columns);
    const all = rows();
    return positions.map(({ n }) => all[n - 1]!);
  }
}
