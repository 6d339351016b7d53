/** What can be done to entries of one space, in the words of the rest of the library. Nothing here throws: undefined means the cache did not answer. */
import { randomBytes } from "node:crypto";
import type { Counters } from "./figures.ts";
import type { Link } from "./link.ts";
import { BEGIN, BUMP, FILL, FINISH, INVALIDATE, LEASE, READ, RELEASE, RENEW, SETTLE, STAGE } from "./scripts.ts";

export type Entry =
  | { kind: "hit"; data: Buffer; remaining: number; cost: number }
  | { kind: "stale"; data: Buffer; granted: boolean }
  | { kind: "lead" | "bypass" }
  | { kind: "wait"; ms: number };

/** How long an entry is fresh, and how long it is kept, ms. */
export interface Life {
  fresh: number;
  hard: number;
}

export const newToken = (): string => randomBytes(12).toString("base64url");

/** The channel of a name space's invalidations; messages are `[space, key]`, key null for all of them. */
export const channelOf = (namespace: string): string => `${namespace}:@changes`;
export const message = (space: string, key: string | null): string => JSON.stringify([space, key]);

/** The part of a key that decides where a cluster keeps it: what is between the first braces, else the whole key. */
export function hashTag(key: string): string {
  const start = key.indexOf("{");
  const end = key.indexOf("}", start + 1);
  return start >= 0 && end > start + 1 ? key.slice(start + 1, end) : key;
}

/** A key that a cluster keeps where all keys of this tag are: `{user:7}:profile`. */
export const tagged = (tag: string, key: string): string => `{${tag}}:${key}`;

export class Store {
  readonly #link: Link;
  readonly #counters: Counters;
  readonly #namespace: string;
  readonly #space: string;
  readonly #channel: string;

  constructor(link: Link, counters: Counters, namespace: string, space: string) {
    this.#link = link;
    this.#counters = counters;
    this.#namespace = namespace;
    this.#space = space;
    this.#channel = channelOf(namespace);
  }

  #name(key: string): string {
    return `${this.#namespace}:${this.#space}:${key}`;
  }

  get #versionKey(): string {
    return `${this.#namespace}:${this.#space}@version`;
  }

  /** The space's version; made where there is none. */
  async version(): Promise<string | undefined> {
    const known = await this.#link.command("get", this.#versionKey);
    if (known === undefined || known !== null) return known === undefined ? undefined : String(known);
    const made = newToken();
    const before = await this.#link.command("set", this.#versionKey, made, "nx", "get");
    return before === undefined ? undefined : before === null ? made : String(before);
  }

  /** Gives the space another version: no entry of it counts any more. False when that is not certain. */
  async bump(): Promise<boolean> {
    return this.#certain(await this.#link.confirmed(BUMP, [this.#versionKey], [newToken(), this.#channel, message(this.#space, null)]));
  }

  async read(key: string, version: string, lease: string, leaseMs: number): Promise<Entry | undefined> {
    const reply = await this.#counters.timed("read", () => this.#link.script(READ, [this.#name(key)], [version, lease, leaseMs]));
    if (!Array.isArray(reply)) return undefined;
    const [kind, first, second, third] = reply as [Buffer, Buffer | number, number, number];
    const what = kind.toString() as Entry["kind"];
    if (what === "hit") return { kind: what, data: first as Buffer, remaining: second, cost: third };
    if (what === "stale") return { kind: what, data: first as Buffer, granted: second === 1 };
    return what === "wait" ? { kind: what, ms: Number(first) } : { kind: what };
  }

  /** What is stored, without loading. Undefined: nothing that counts, or no answer. */
  async peek(key: string): Promise<Buffer | undefined> {
    const version = await this.version();
    const reply = version === undefined ? undefined : await this.#link.script(READ, [this.#name(key)], [version, newToken(), 1]);
    const [kind, data] = Array.isArray(reply) ? (reply as [Buffer, Buffer]) : [];
    return kind && ["hit", "stale"].includes(kind.toString()) ? data : undefined;
  }

  async lease(key: string, lease: string, leaseMs: number): Promise<boolean> {
    return (await this.#link.script(LEASE, [this.#name(key)], [lease, leaseMs])) === 1;
  }

  async fill(key: string, lease: string, data: Buffer, version: string, { fresh, hard }: Life, cost: number): Promise<boolean> {
    return (await this.#link.script(FILL, [this.#name(key)], [lease, data, version, fresh, hard, Math.round(cost)])) === 1;
  }

  async release(key: string, lease: string): Promise<void> {
    await this.#link.script(RELEASE, [this.#name(key)], [lease]);
  }

  /** Keys of one hash tag. False when that is not certain. */
  async invalidate(keys: readonly string[]): Promise<boolean> {
    const names = keys.map((key) => this.#name(key));
    const messages = keys.map((key) => message(this.#space, key));
    return this.#certain(await this.#link.confirmed(INVALIDATE, names, [this.#channel, ...messages]));
  }

  /** Announces a write. `queued`: the queued write that must go first. */
  async begin(key: string, token: string, ms: number): Promise<{ begun: boolean; confirmed: boolean; queued?: string }> {
    const answer = await this.#link.confirmed(BEGIN, [this.#name(key)], [token, ms, this.#channel, message(this.#space, key)]);
    if (answer === undefined) return { begun: false, confirmed: false };
    if (answer.reply !== 1) return { begun: false, confirmed: true, queued: String(answer.reply) };
    if (!answer.confirmed) this.#counters.add("unconfirmed");
    return { begun: true, confirmed: answer.confirmed };
  }

  async renew(key: string, token: string, ms: number): Promise<void> {
    await this.#link.script(RENEW, [this.#name(key)], [token, ms]);
  }

  /** Ends a write that had begun. False when it is not certain that no older value is left. */
  async finish(key: string, token: string, data: Buffer | undefined, version: string, { fresh, hard }: Life): Promise<boolean> {
    const stored = data === undefined ? "" : Buffer.concat([Buffer.from("="), data]);
    const rest = [stored, version, fresh, hard, this.#channel, message(this.#space, key)];
    return (await this.#link.script(FINISH, [this.#name(key)], [token, ...rest], "write")) === 1;
  }

  /** Shows a queued write to all readers. A text: what must go first. */
  async stage(key: string, token: string, data: Buffer, version: string, pin: number): Promise<"staged" | "unknown" | { first: string }> {
    const rest = [token, data, version, pin, this.#channel, message(this.#space, key)];
    const reply = await this.#link.script(STAGE, [this.#name(key)], rest, "write");
    if (reply === undefined) return "unknown";
    return reply === 1 ? "staged" : { first: String(reply) };
  }

  /** Ends a queued write. False when it is not certain that no older value is left. */
  async settle(key: string, token: string, written: boolean, version: string, { fresh, hard }: Life): Promise<boolean> {
    const rest = [token, written ? 1 : 0, version, fresh, hard, this.#channel, message(this.#space, key)];
    return this.#certain(await this.#link.confirmed(SETTLE, [this.#name(key)], rest));
  }

  #certain(answer: { confirmed: boolean } | undefined): boolean {
    if (answer && !answer.confirmed) this.#counters.add("unconfirmed");
    return answer?.confirmed ?? false;
  }
}
