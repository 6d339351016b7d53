/** The errors that an application tells apart. Everything else is the driver's own: `pg.DatabaseError` with its SQLSTATE in `code`. */
import pg from "pg";

/** No connection became free within the checkout time-out. Nothing was sent. */
export class PoolTimeout extends Error {
  override readonly name = "PoolTimeout";
}

/**
 * The connection went away after a statement that commits had been sent and before its answer came: it may have been committed or not.
 * Never repeated by this library. Give rows keys that the client makes, look them up, then decide.
 */
export class UnknownOutcome extends Error {
  override readonly name = "UnknownOutcome";
  constructor(what: string, cause: unknown) {
    super(`${what}: the connection was lost before the answer came; it may have been committed or not`, { cause });
  }
}

/** `commit` was answered with ROLLBACK: a statement had failed, and the callback went on as if it had not. Nothing was written. */
export class TransactionRolledBack extends Error {
  override readonly name = "TransactionRolledBack";
  constructor(cause: unknown) {
    super("transaction: rolled back, because one of its statements had failed", { cause });
  }
}

/** SQLSTATE of a server's (or pooler's) answer; undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? (error.code ?? "") : undefined;
}

/** Serialization failure or deadlock: certain that nothing was written, and the same work may succeed when it is repeated. */
export function isSerializationFailure(error: unknown): boolean {
  const code = sqlState(error);
  return code === "40001" || code === "40P01";
}

/** An answer that says that the server, or the pooler's way to it, is gone: FATAL, class 08, 57P0x, 40003. */
export function isLossAnswer(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false;
  const code = error.code ?? "";
  return error.severity === "FATAL" || error.severity === "PANIC" || /^(08|57P0|40003)/.test(code);
}
