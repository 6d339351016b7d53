/**
 * What other processes changed, as messages; and whether these messages arrive. Every server that takes writes sends each process a beat of its
 * own down the same way. While the last beat of each of them is recent, no invalidation older than that is missing; when one is not,
 * nothing in this process's memory may be used.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "iovalkey";
import type { Link } from "./link.ts";
import { channelOf, newToken } from "./store.ts";

/** Beats that may be missing. */
const MISSED = 3;
const RETRY_MS = 200;

export interface ChangeEvents {
  /** key null: all of the space. */
  changed: (space: string, key: string | null) => void;
  /** Messages may have been lost. */
  lost: () => void;
}

export class Changes {
  readonly #link: Link;
  readonly #every: number;
  readonly #channel: string;
  readonly #own: string;
  readonly #events: ChangeEvents;
  /** Server → when the last beat that arrived from it was sent. */
  readonly #beats = new Map<string, number>();
  #client: Redis | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #wasCoherent = false;

  constructor(link: Link, namespace: string, every: number, events: ChangeEvents) {
    this.#link = link;
    this.#every = every;
    this.#channel = channelOf(namespace);
    this.#own = `${namespace}:@beat:${newToken()}`;
    this.#events = events;
  }

  /** Whether every invalidation is known here that is older than three beats. */
  get coherent(): boolean {
    const now = performance.now();
    const primaries = this.#link.primaries();
    const coherent =
      primaries.length > 0 &&
      primaries.every((server) => now - (this.#beats.get(nameOf(server)) ?? Number.NEGATIVE_INFINITY) < MISSED * this.#every);
    if (this.#wasCoherent && !coherent) this.#events.lost();
    this.#wasCoherent = coherent;
    return coherent;
  }

  /** Resolves after the first connection or the first failure; goes on for ever. */
  async open(): Promise<void> {
    await new Promise<void>((tried) => void this.#run(tried));
    await this.#beat();
    this.#timer = setInterval(() => void this.#beat(), this.#every).unref();
  }

  async #run(tried: () => void): Promise<void> {
    while (!this.#closed) {
      const client = this.#link.lone();
      this.#client = client;
      const ended = new Promise<void>((resolve) => client.once("end", () => resolve()));
      client.on("message", (channel: string, text: string) => this.#receive(channel, text));
      try {
        await client.connect();
        await client.subscribe(this.#channel, this.#own);
        tried();
        await ended;
      } catch {
        client.disconnect();
      }
      tried();
      this.#forget();
      await sleep(RETRY_MS, undefined, { ref: false });
    }
  }

  #receive(channel: string, text: string): void {
    const [first, second] = JSON.parse(text) as [string, string | number | null];
    if (channel === this.#channel) this.#events.changed(first, second as string | null);
    else this.#beats.set(first, Number(second));
  }

  async #beat(): Promise<void> {
    if (!this.coherent && this.#client?.status === "ready" && this.#stalled()) this.#client.disconnect();
    const sent = performance.now();
    const beats = this.#link.primaries().map((server) => server.publish(this.#own, JSON.stringify([nameOf(server), sent])));
    await Promise.allSettled(beats);
  }

  /** Beats used to come over this connection, and none does any more: it is dead although it looks open. */
  #stalled(): boolean {
    const latest = Math.max(...this.#beats.values());
    return this.#beats.size > 0 && performance.now() - latest > 2 * MISSED * this.#every;
  }

  #forget(): void {
    this.#beats.clear();
    this.#wasCoherent = false;
    this.#events.lost();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#client?.disconnect();
  }
}

const nameOf = ({ options }: Redis): string => `${options.host}:${options.port}`;
