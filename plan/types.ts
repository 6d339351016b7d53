/** The words that every pure module shares: stages, targets, units, machines. */

export const STAGES = [1, 2, 3, 4, 5] as const;
/** Growth stage: the one number an operator raises. */
export type Stage = (typeof STAGES)[number];

export const TARGETS = ["docker", "aws"] as const;
export type Target = (typeof TARGETS)[number];

export const WORKLOADS = ["web", "oltp", "mixed", "analytics"] as const;
export type Workload = (typeof WORKLOADS)[number];

export const DISKS = ["hdd", "ssd", "nvme"] as const;
export type Disk = (typeof DISKS)[number];

/** Memory and file sizes inside the program: binary kilobytes. */
export type KiB = number & { readonly unit: "KiB" };
/** Durations inside the program: milliseconds. */
export type Ms = number & { readonly unit: "ms" };

export const kib = (n: number): KiB => n as KiB;
export const mib = (n: number): KiB => (n * 1024) as KiB;
export const gib = (n: number): KiB => (n * 1024 * 1024) as KiB;
export const ms = (n: number): Ms => n as Ms;

/** What a PostgreSQL process can use on its host or in its container. */
export interface Machine {
  /** Virtual cores. */
  cores: number;
  memory: KiB;
  /** Data volume in GiB. */
  storage: number;
  disk: Disk;
}

/** One thing that is wrong with an input: where, what was given, what is wanted. */
export interface Problem {
  path: string;
  got: unknown;
  want: string;
}

/** Renders a problem as the one line a user sees: `path: got X, want Y`. */
export function describeProblem({ path, got, want }: Problem): string {
  const shown = got === undefined ? "nothing" : JSON.stringify(got);
  return `${path}: got ${shown}, want ${want}`;
}

/** All problems of an input at once; the message has one line each. */
export class InputError extends Error {
  readonly problems: readonly Problem[];
  constructor(what: string, problems: readonly Problem[]) {
    super(
      [`${what}: ${problems.length} problem${problems.length === 1 ? "" : "s"}`, ...problems.map((p) => `  ${describeProblem(p)}`)].join(
        "\n",
      ),
    );
    this.name = "InputError";
    this.problems = problems;
  }
}
