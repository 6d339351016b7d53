/**
 * The words of a rehearsal. A *write* is what an application waits for as one: a single statement, or a transaction of two. It holds one
 * or two *operations*, each on one row, which only this client ever touches. Times are milliseconds since 1970, with fractions.
 */

export type Kind = "insert" | "update" | "delete";

/**
 * What the client knows of a write. `pending`: sent or about to be, no answer recorded. `acknowledged`: the server confirmed the commit.
 * `failed`: an error before the commit was sent, or an error as the server's own answer, so it cannot have been committed. `refused`: no
 * connection to be had, nothing was sent. `unknown`: the connection broke after the commit was sent; only the table can tell.
 */
export type Outcome = "pending" | "acknowledged" | "failed" | "refused" | "unknown";

/** `unseen`: a session of the client library did not see what it had written itself. */
export type ReadOutcome = "fresh" | "stale" | "unseen" | "error" | "probe-refused" | "probe-accepted" | "probe-error";

export interface Operation {
  kind: Kind;
  /** The row's key, a lower-case UUID chosen by the client. */
  key: string;
}

/** An operation with the row's user, by which rows are spread over shards. */
export interface Change extends Operation {
  user: number;
}

export interface Attempt {
  write: number;
  client: number;
  /** When the schedule wanted it started; latency counts from here, however late the client was. */
  intended: number;
  operations: readonly Operation[];
}

/** The server's answer to one operation. */
export interface Answer {
  /** Rows that the statement touched: 1 when all is well. */
  rows: number;
  /** The id that the server gave, for an insert. */
  id?: string;
}

export interface Result {
  write: number;
  outcome: Exclude<Outcome, "pending">;
  done: number;
  error?: string;
  /** In the order of the attempt's operations; only for acknowledged writes. */
  answers?: readonly Answer[];
}

export interface ReadResult {
  intended: number;
  done: number;
  outcome: ReadOutcome;
  /** For a stale read: how long ago the write that it did not show had been acknowledged, ms. */
  behind?: number;
  error?: string;
}

export interface Mark {
  at: number;
  text: string;
}

/** What a run was asked to do. */
export interface RunPlan {
  table: string;
  clients: number;
  /** Of them, counted from client 0: those that write through the client library's shard router. @default 0 */
  routed?: number;
  /** Writes a second, all clients together. */
  rate: number;
  readers: number;
  /** Reads a second, all readers together. */
  readRate: number;
  started: number;
}

/** How a run ended; absent when the load process died. */
export interface RunEnd {
  /** From here on nothing was due any more. */
  stopped: number;
  /** When the last answer was in. */
  ended: number;
  /** Writes that were due and never started, because the server did not keep up or the drain time ran out. */
  overdue: number;
  /** When the first of them was due. */
  overdueSince?: number;
}

/** One row of the rehearsal's table. */
export interface ServerRow {
  /** By which the row's shard is chosen. */
  user: string;
  key: string;
  id: string;
  counter: number;
}

/** Milliseconds since 1970 with microsecond fractions, from the monotonic clock. */
export const now = (): number => performance.timeOrigin + performance.now();
