/** What readers may expect to see: the acknowledged state of recently written rows. In memory only. */

export interface KnownRow {
  readonly key: string;
  readonly user: number;
  /** The acknowledged counter; undefined after an acknowledged delete. */
  readonly counter: number | undefined;
  /** When that was acknowledged, ms since 1970. */
  readonly since: number;
  /** An operation on the row has no answer yet, or its outcome is unknown: what a reader sees then proves nothing. */
  unsettled: boolean;
}

export class KnownRows {
  readonly #newest = new Map<string, KnownRow>();
  readonly #ring: KnownRow[] = [];
  readonly #limit: number;
  #next = 0;

  /** @param limit how many acknowledged states are kept; the oldest are forgotten first. */
  constructor(limit = 2000) {
    this.#limit = limit;
  }

  begin(key: string): void {
    const row = this.#newest.get(key);
    if (row) row.unsettled = true;
  }

  /** An operation that certainly changed nothing. */
  cancel(key: string): void {
    const row = this.#newest.get(key);
    if (row) row.unsettled = false;
  }

  acknowledge({ key, user }: { key: string; user: number }, counter: number | undefined, since: number): void {
    const row: KnownRow = { key, user, counter, since, unsettled: false };
    const forgotten = this.#ring[this.#next];
    if (forgotten && this.#newest.get(forgotten.key) === forgotten) this.#newest.delete(forgotten.key);
    this.#ring[this.#next] = row;
    this.#newest.set(key, row);
    this.#next = (this.#next + 1) % this.#limit;
  }

  /** A row whose state is certain, or undefined when chance met one that is being changed. */
  pick(random: () => number): KnownRow | undefined {
    const row = this.#ring[Math.floor(random() * this.#ring.length)];
    return row && this.unchanged(row) ? row : undefined;
  }

  /** Whether the row is still as it was picked. */
  unchanged(row: KnownRow): boolean {
    return this.#newest.get(row.key) === row && !row.unsettled;
  }
}
