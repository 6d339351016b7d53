/** Invalidations that the cache, or a replica of it, has not confirmed: repeated until it does. Without this an old value could outlive a fail-over. */

export interface Invalidates {
  invalidate(keys: readonly string[]): Promise<boolean>;
  bump(): Promise<boolean>;
}

const EVERY_MS = 500;
/** Keys of one space that are remembered one by one; beyond it the whole space is invalidated. */
const KEYS = 1000;

interface Debt {
  all: boolean;
  /** Key → how often it was added; an addition while the repetition is under way must not be taken for paid. */
  keys: Map<string, number>;
  added: number;
}

export class Owed {
  readonly #debts = new Map<Invalidates, Debt>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  get size(): number {
    return [...this.#debts.values()].reduce((sum, debt) => sum + (debt.all ? 1 : debt.keys.size), 0);
  }

  /** @param key null: all keys of the space */
  add(space: Invalidates, key: string | null): void {
    const debt = this.#debts.get(space) ?? { all: false, keys: new Map(), added: 0 };
    this.#debts.set(space, debt);
    debt.added++;
    if (key === null || debt.keys.size >= KEYS) debt.all = true;
    else debt.keys.set(key, debt.added);
    this.#later();
  }

  #later(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.repeat().then(() => {
        if (this.#debts.size > 0) this.#later();
      });
    }, EVERY_MS).unref();
  }

  /** One round. It ends at the first that is not confirmed: the others would not be either. */
  repeat(): Promise<void> {
    this.#round ??= this.#repeat().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  async #repeat(): Promise<void> {
    for (const [space, debt] of this.#debts) {
      const before = debt.added;
      if (debt.all) {
        if (!(await space.bump())) return;
        if (debt.added === before) this.#debts.delete(space);
        continue;
      }
      for (const [key, added] of debt.keys) {
        if (!(await space.invalidate([key]))) return;
        if (debt.keys.get(key) === added) debt.keys.delete(key);
      }
      if (debt.keys.size === 0 && !debt.all) this.#debts.delete(space);
    }
  }

  /** A last round. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#debts.size > 0) await this.repeat();
  }
}
