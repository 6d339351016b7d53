/** Something the user can understand from its message alone: shown without a stack trace, exit code 1. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** A command line that makes no sense: shown without a stack trace, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
