/** Open-loop pacing: what is due is fixed beforehand and does not wait for the server, so a slow answer makes later starts late, not rarer. */
import { setTimeout as sleep } from "node:timers/promises";
import { now } from "./model.ts";

export class Schedule {
  readonly #first: number;
  readonly #interval: number;
  readonly #stop: AbortController = new AbortController();
  #turn = 0;
  #endsAt: number;

  /** @param first when the first turn is due, @param interval ms between turns, @param endsAt when no further turn is due. */
  constructor(first: number, interval: number, endsAt: number) {
    this.#first = first;
    this.#interval = interval;
    this.#endsAt = endsAt;
  }

  /** When the next turn is or was due. */
  get due(): number {
    return this.#first + this.#turn * this.#interval;
  }

  /** Turns that are due and not taken. */
  overdue(at: number): number {
    return Math.max(0, Math.ceil((Math.min(at, this.#endsAt) - this.due) / this.#interval));
  }

  /** From now on nothing new becomes due; what already is stays so. */
  stop(at: number): void {
    this.#endsAt = Math.min(this.#endsAt, at);
    this.#stop.abort();
  }

  /** Waits until the next turn is due and takes it: its intended start, or undefined when there is none. */
  async turn(): Promise<number | undefined> {
    for (let left = this.due - now(); left > 0 && this.due < this.#endsAt; left = this.due - now()) {
      if (this.#stop.signal.aborted) return undefined;
      await sleep(Math.ceil(left), undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
    const { due } = this;
    if (due >= this.#endsAt) return undefined;
    this.#turn++;
    return due;
  }
}
