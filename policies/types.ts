/** A resource as the engine or the mocks recorded it, and the words of rules about it. */

/** What was asked for. */
export interface Recorded {
  /** Token, e.g. `aws:rds/instance:Instance`. */
  readonly type: string;
  /** Logical name. */
  readonly name: string;
  /** Inputs, secrets in clear or in the engine's wrapping; what is not known yet is missing. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** What others refer to it by. */
  readonly id?: string;
  /** Pulumi refuses to delete it. */
  readonly protect?: boolean;
}

/** Short name of a type, e.g. `rds.Instance`. */
export type Kind = `${string}.${string}`;

/** The token of a short name: `rds.Instance` is `aws:rds/instance:Instance`. */
export function token(kind: Kind): string {
  const [module = "", type = ""] = kind.split(".");
  return `aws:${module}/${type.charAt(0).toLowerCase()}${type.slice(1)}:${type}`;
}

/** Something about one resource that a rule does not allow. */
export interface Finding {
  /** Argument, e.g. `metadataOptions.httpTokens`. */
  readonly path: string;
  readonly got: unknown;
}

export interface Rule {
  /** Unique, e.g. `rds-encrypted`. */
  readonly id: string;
  /** Where the rule comes from: Security Hub controls, Checkov checks, CIS benchmarks, AWS' own limits. */
  readonly from: readonly string[];
  readonly on: readonly Kind[];
  /** The argument that it is about, where it is about one. */
  readonly path?: string;
  readonly want: string;
  /** What is wrong; nothing when all is well or the rule says nothing about this resource. */
  readonly check: (resource: Recorded, all: readonly Recorded[]) => readonly Finding[];
}

/** Resources that a rule does not hold for, and why that is right. */
export interface Exception {
  readonly rule: string;
  readonly covers: (resource: Recorded, all: readonly Recorded[]) => boolean;
  readonly reason: string;
}

export interface Violation extends Finding {
  readonly rule: string;
  readonly type: string;
  readonly name: string;
  readonly want: string;
}

/** A violation that an exception covers. */
export interface Excused extends Violation {
  readonly reason: string;
}
