/** Bounds how many loads run at once, so that a dead cache does not send every reader to the database together. */
import { AsyncLocalStorage } from "node:async_hooks";

export class Limit {
  readonly #max: number;
  readonly #inside = new AsyncLocalStorage<true>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Waits for a place, in order. A load that is called by another load has its place already: waiting would block both for ever. */
  async run<T>(load: () => Promise<T>): Promise<T> {
    if (this.#inside.getStore()) return load();
    if (this.#running >= this.#max) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await this.#inside.run(true, load);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}
