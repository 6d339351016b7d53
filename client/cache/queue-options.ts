/** What a write-behind queue is told, and what it tells. */

export interface QueuedWrite<V> {
  key: string;
  value: V;
  /** When it was queued, ms since 1970, by this process's clock. */
  at: number;
}

export interface WriteBehindOptions<V> {
  /**
   * Writes them to the database, in this order, in one transaction. It may get a write again that it has done already, after a crash: make it an
   * upsert.
   */
  flush: (writes: QueuedWrite<V>[]) => Promise<void>;
  /** SQLite file that survives this process; what it holds is written at the next start. @default none: what is queued when the process dies is lost */
  journal?: string;
  /** Writes of one flush at most. @default 500 */
  batch?: number;
  /** Longest wait before a flush, ms. @default 100 */
  every?: number;
  /** Writes that may be queued at most: the most that a crash can cost. @default 10000 */
  maxPending?: number;
  /** Whether an error will come again however often the write is repeated. @default SQLSTATE classes 22, 23 and 42: data, constraints, syntax */
  permanent?: (error: unknown) => boolean;
  /** Told of each write that the database will never take. */
  onDead?: (write: QueuedWrite<V>, error: Error) => void;
  /** How long readers see a value that its process does not write any more, because it is gone, ms. @default 5 min */
  pin?: number;
  /** How long close() goes on trying, ms. @default 30 s */
  drainTimeout?: number;
}

export interface QueueFigures {
  /** Not in the database yet. */
  pending: number;
  written: number;
  flushes: number;
  retries: number;
  /** Given up, since the journal was made. */
  dead: number;
  /** Found in the journal at the start. */
  recovered: number;
}
