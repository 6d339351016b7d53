/** What an error means for a write: is it certain that nothing was committed, and can the connection be used again? Pure. */
import pg from "pg";

export interface Classified {
  outcome: "failed" | "unknown";
  /** The connection must be replaced. */
  broken: boolean;
  /** One line: SQLSTATE, where there is one, and message. */
  error: string;
}

/**
 * @param error what node-postgres threw: a DatabaseError is the server's (or pooler's) answer, anything else means the connection is gone.
 * @param committing whether the statement that commits had been sent: `commit` itself, or a single statement.
 *
 * After that, a lost connection leaves the outcome unknown, and so do answers that do not come from the transaction itself: FATAL (the
 * backend was ended, the pooler lost its server), class 08 (a gateway lost its shard), 57P0x (shutdown, crash) and 40003.
 */
export function classify(error: unknown, committing: boolean): Classified {
  const text = error instanceof Error ? error.message || error.name : String(error);
  if (!(error instanceof pg.DatabaseError)) return { outcome: committing ? "unknown" : "failed", broken: true, error: text };
  const code = error.code ?? "";
  const broken = error.severity === "FATAL" || error.severity === "PANIC" || code.startsWith("57P0");
  const doubtful = broken || code.startsWith("08") || code === "40003";
  return { outcome: committing && doubtful ? "unknown" : "failed", broken, error: `${code} ${text}`.trim() };
}
