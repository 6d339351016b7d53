/** Loads of many keys gathered into few queries. */
import DataLoader from "dataloader";

/** Keys of one query at most. */
export const BATCH = 500;
/** Keys that wait for another process's load do not hold up the others for longer. */
const PATIENCE_MS = 50;

export type LoadMany<V> = (keys: string[]) => Promise<ReadonlyMap<string, V>>;

/** Waits until every key has its value or was asked for, then loads what was asked for. */
export class Batch<V> {
  readonly #loader: DataLoader<string, V>;
  readonly #ready: (() => void)[] = [];
  #open: number;

  /** @param count of the keys; `one` is called for each */
  constructor(count: number, loadMany: LoadMany<V>) {
    const load = async (keys: readonly string[]) => {
      const found = await loadMany([...keys]);
      return keys.map((key) => found.get(key) ?? (null as V));
    };
    this.#open = count;
    const batchScheduleFn = (run: () => void) => {
      this.#ready.push(run);
      setTimeout(() => this.#dispatch(run), PATIENCE_MS);
    };
    this.#loader = new DataLoader<string, V>(load, { maxBatchSize: BATCH, batchScheduleFn });
  }

  #dispatch(run: () => void): void {
    const place = this.#ready.indexOf(run);
    if (place >= 0) this.#ready.splice(place, 1);
    if (place >= 0) run();
  }

  /** Reads one key; `load` asks for it in the next query. */
  async one<T>(key: string, read: (load: () => Promise<V>) => Promise<T>): Promise<T> {
    let decided = false;
    const decide = () => {
      if (decided) return;
      decided = true;
      if (--this.#open === 0) for (const run of [...this.#ready]) this.#dispatch(run);
    };
    const load = () => {
      const value = this.#loader.load(key);
      decide();
      return value;
    };
    try {
      return await read(load);
    } finally {
      decide();
    }
  }
}
