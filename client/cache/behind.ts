/**
 * Write-behind: readers see a value at once, the database gets it a moment later, together with others. Values of one key reach the database in
 * the order in which they were queued, whoever queued them: a process waits while another has a write of the same key in its queue.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Codec, fromBytes, toBytes } from "./codec.ts";
import { type Guarded, PendingError } from "./guard.ts";
import { Journal, type JournalItem } from "./journal.ts";
import type { Link } from "./link.ts";
import type { QueuedWrite, QueueFigures, WriteBehindOptions } from "./queue-options.ts";
import { type Announced, announce } from "./queues.ts";
import type { Life } from "./store.ts";

export interface Behind<V> extends Guarded {
  namespace: string;
  link: Link;
  codec: Codec<V>;
  life: (data: Buffer) => Life;
}

export class QueueFullError extends Error {
  constructor(space: string, pending: number) {
    super(`write-behind of ${space}: got ${pending} queued writes, want fewer: the database does not keep up`);
    this.name = "QueueFullError";
  }
}

const POLL_MS = 20;
const SLOWEST_MS = 5000;

function isPermanent(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^(22|23|42)/.test(String(error.code));
}

export class WriteBehind<V> {
  readonly #space: string;
  readonly #options: Required<Omit<WriteBehindOptions<V>, "journal" | "onDead">> & Pick<WriteBehindOptions<V>, "onDead">;
  readonly #path: string;
  readonly #behind: Behind<V>;
  readonly #journal: Journal;
  /** In the order of flushing. */
  readonly #ready = new Map<number, JournalItem>();
  readonly #latest = new Map<string, JournalItem>();
  /** Key → the end of its last write that is being queued. */
  readonly #lines = new Map<string, Promise<unknown>>();
  readonly #figures = { written: 0, flushes: 0, retries: 0, dead: 0, recovered: 0 };
  #entering = 0;
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #pause = 0;
  #closed = false;
  #stopped = false;
  #announced: Announced | undefined;
  #pins: NodeJS.Timeout | undefined;

  /** Made by `space.writeBehind`. */
  constructor(space: string, { journal, ...options }: WriteBehindOptions<V>, behind: Behind<V>) {
    this.#space = space;
    this.#options = { batch: 500, every: 100, maxPending: 10_000, permanent: isPermanent, pin: 300_000, drainTimeout: 30_000, ...options };
    this.#path = journal ?? ":memory:";
    this.#behind = behind;
    this.#journal = new Journal(this.#path, space);
  }

  /** Takes up what an earlier process left in the journal. */
  async open(): Promise<void> {
    await this.#settle(this.#journal.read("written"), true);
    for (const item of this.#journal.read("queued")) this.#enter(item);
    this.#figures.recovered = this.#ready.size;
    this.#figures.dead = this.#journal.read("dead").length;
    const { alone, link, namespace } = this.#behind;
    if (alone) return;
    this.#announced = announce(link, namespace, this.#journal.owner, () => ({ space: this.#space, pending: this.figures().pending }));
    this.#pins = setInterval(() => void this.#pin(), this.#options.pin / 3).unref();
  }

  /** While the database is down, what is queued stays in readers' sight. */
  async #pin(): Promise<void> {
    const { store } = this.#behind;
    const version = await store.version();
    if (version === undefined) return;
    for (const item of this.#latest.values()) await store.stage(item.key, this.#token(item), item.data, version, this.#options.pin);
  }

  /**
   * Queues a value; null is a value too, e.g. for a deleted row. Resolves when it is in the journal and readers see it.
   * @throws QueueFullError; PendingError when another process's write of this key did not get to the database in time
   */
  async write(key: string, value: V): Promise<void> {
    const pending = this.figures().pending;
    if (this.#closed) throw new Error(`write-behind of ${this.#space}: got a write after close`);
    if (pending >= this.#options.maxPending) throw new QueueFullError(this.#space, pending);
    const data = toBytes(this.#behind.codec, value, key);
    this.#entering++;
    const turn = (this.#lines.get(key) ?? Promise.resolve()).then(() => this.#queue(key, data));
    const line = turn.catch(() => undefined);
    this.#lines.set(key, line);
    try {
      await turn;
    } finally {
      this.#entering--;
      if (this.#lines.get(key) === line) this.#lines.delete(key);
    }
  }

  async #queue(key: string, data: Buffer): Promise<void> {
    const { store, alone, patience, drop } = this.#behind;
    const at = Date.now();
    const item = { sequence: this.#journal.add(key, data, at), key, data, at };
    const version = alone ? undefined : await store.version();
    for (const start = performance.now(); version !== undefined; await sleep(POLL_MS)) {
      const answer = await store.stage(key, this.#token(item), data, version, this.#options.pin);
      if (typeof answer === "string") break;
      if (performance.now() - start < patience) continue;
      this.#journal.remove([item.sequence]);
      throw new PendingError(key, answer.first, patience);
    }
    this.#enter(item);
    drop(key);
  }

  #token({ sequence }: JournalItem): string {
    return `${this.#journal.owner}#${sequence}`;
  }

  #enter(item: JournalItem): void {
    this.#ready.set(item.sequence, item);
    this.#latest.set(item.key, item);
    if (this.#ready.size >= this.#options.batch && this.#pause === 0) this.#soon(0);
    else this.#soon(Math.max(this.#options.every, this.#pause));
  }

  #soon(ms: number): void {
    if (this.#stopped) return;
    if (ms === 0) clearTimeout(this.#timer);
    else if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#flush();
    }, ms);
  }

  /** The value that this process has queued for a key. */
  queued(key: string): Buffer | undefined {
    return this.#latest.get(key)?.data;
  }

  /** Resolves when everything that was queued before has reached the database, or was given up. @throws after the time, naming what is left */
  async drain(ms = this.#options.drainTimeout): Promise<void> {
    const end = performance.now() + ms;
    while (this.#ready.size + this.#entering > 0) {
      if (performance.now() > end) {
        const where = this.#path === ":memory:" ? "nowhere else" : `in ${this.#path}`;
        throw new Error(
          `write-behind of ${this.#space}: got ${this.figures().pending} writes left after ${ms} ms, want none; they are ${where}`,
        );
      }
      if (this.#ready.size > 0 && this.#pause === 0) await this.#flush();
      else await sleep(POLL_MS);
    }
    await this.#flushing;
  }

  #flush(): Promise<void> {
    this.#flushing ??= this.#flushAll().finally(() => {
      this.#flushing = undefined;
      if (this.#ready.size > 0) this.#soon(this.#pause || 1);
    });
    return this.#flushing;
  }

  async #flushAll(): Promise<void> {
    while (this.#ready.size > 0 && !this.#stopped) {
      const items = [...this.#ready.values()].slice(0, this.#options.batch);
      const error = await this.#send(items);
      if (error && this.#options.permanent(error)) {
        for (const item of items) if (!(await this.#alone(item))) return;
      } else if (error) return this.#again();
    }
  }

  /** One write by itself, after its batch was refused. False: later. */
  async #alone(item: JournalItem): Promise<boolean> {
    const error = await this.#send([item]);
    if (!error) return true;
    if (!this.#options.permanent(error)) {
      this.#again();
      return false;
    }
    const reason = error instanceof Error ? error : new Error(String(error));
    this.#journal.dead(item.sequence, reason.message);
    this.#figures.dead++;
    this.#ready.delete(item.sequence);
    await this.#settle([item], false);
    this.#options.onDead?.(this.#decoded(item), reason);
    return true;
  }

  #again(): void {
    this.#figures.retries++;
    this.#pause = Math.min(this.#pause * 2 || 50, SLOWEST_MS);
  }

  #decoded({ key, data, at }: JournalItem): QueuedWrite<V> {
    return { key, value: fromBytes(this.#behind.codec, data), at };
  }

  async #send(items: JournalItem[]): Promise<unknown> {
    try {
      await this.#options.flush(items.map((item) => this.#decoded(item)));
    } catch (error) {
      return error ?? new Error("flush failed without an error");
    }
    this.#pause = 0;
    this.#figures.flushes++;
    this.#figures.written += items.length;
    this.#journal.written(items.map((item) => item.sequence));
    for (const { sequence } of items) this.#ready.delete(sequence);
    await this.#settle(items, true);
    return undefined;
  }

  /** Tells the cache that the database has these, or will never have them. */
  async #settle(items: JournalItem[], written: boolean): Promise<void> {
    const { alone, store, owed, life, drop } = this.#behind;
    const last = new Map(items.map((item) => [item.key, item]));
    const version = alone || items.length === 0 ? "" : await store.version();
    // Before anything is sent: a renewed pin must not follow.
    for (const item of last.values()) if (this.#latest.get(item.key) === item) this.#latest.delete(item.key);
    const one = async (item: JournalItem) => {
      const done =
        alone || (await store.settle(item.key, this.#token(item), written && version !== undefined, version ?? "", life(item.data)));
      if (!done) owed.add(store, item.key);
      drop(item.key);
    };
    await Promise.all([...last.values()].map(one));
    if (written) this.#journal.remove(items.map((item) => item.sequence));
  }

  figures(): QueueFigures {
    return { ...this.#figures, pending: this.#ready.size + this.#entering };
  }

  /** What was given up, oldest first. */
  dead(): (QueuedWrite<V> & { error: string })[] {
    return this.#journal.read("dead").map((item) => ({ ...this.#decoded(item), error: item.error ?? "" }));
  }

  /** Takes no more, and writes what is queued. @throws as drain; a journal keeps what is left */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.drain();
    } finally {
      this.#stopped = true;
      clearTimeout(this.#timer);
      clearInterval(this.#pins);
      await this.#flushing;
      await this.#announced?.stop(this.#ready.size === 0);
      this.#journal.close();
    }
  }
}
