import { createHash } from "node:crypto";
import type { Naming, Tagging } from "./contract.ts";

/** Digits of the hash at the end of a name: 24 bits, so that names of one kind in an account do not meet. */
const DIGITS = 6;
/** The smallest limit that any resource of this target has (cache clusters allow 40, load balancers 32). */
const LEAST = 20;

/**
 * Names of everything at AWS: `<project>-<stack>-<part>-<hash>`, cut before the hash where a limit asks for it. The hash tells apart
 * what the readable part cannot: cut names, and `a-b` + `c` from `a` + `b-c`.
 */
export function namingOf(project: string, stack: string): Naming {
  return (part, max = 63) => {
    if (max < LEAST) throw new Error(`name of ${part}: got a limit of ${max}, want at least ${LEAST}`);
    const hash = createHash("sha256")
      .update(JSON.stringify([project, stack, part]))
      .digest("hex")
      .slice(0, DIGITS);
    const readable = clean(`${project}-${stack}-${part}`);
    const room = max - DIGITS - 1;
    // The part tells a reader more than the project does.
    const cut =
      readable.length <= room ? readable : clean(`${clean(project).slice(0, Math.max(1, room - 2 - part.length))}-${clean(part)}`);
    return `${cut.slice(0, room).replace(/-$/, "")}-${hash}`;
  };
}

/** RDS refuses two hyphens in a row, capitals, and names that begin with a digit. */
const clean = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+|-$/g, "");

/** Tags of everything that can be tagged. */
export function taggingOf(project: string, stack: string): Tagging {
  return (part) => ({ project, stack, part, "managed-by": "pgladder" });
}
