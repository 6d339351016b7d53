/** How rules read inputs: nothing here throws, because what is missing is a finding and not an error. */
import { type Finding, type Kind, type Recorded, type Rule, token } from "./types.ts";

/** The value at a path such as `metadataOptions.httpTokens`; undefined where something is missing on the way. */
export function at(inputs: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (value, key) => (typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined),
      inputs,
    );
}

export const list = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];

/** Whether something is there that could be a name, an id or an ARN. */
export const isGiven = (value: unknown): boolean => typeof value === "string" && value !== "";

export const isTrue = (value: unknown): boolean => value === true || value === "true";

export const ofKind = (all: readonly Recorded[], kind: Kind): readonly Recorded[] => all.filter(({ type }) => type === token(kind));

/** A rule about one argument. */
export function argument(
  id: string,
  from: readonly string[],
  on: Kind | readonly Kind[],
  path: string,
  want: string,
  ok: (value: unknown, resource: Recorded, all: readonly Recorded[]) => boolean,
): Rule {
  const check: Rule["check"] = (resource, all) => {
    const got = at(resource.inputs, path);
    return ok(got, resource, all) ? [] : [{ path, got }];
  };
  return { id, from, on: list(on) as readonly Kind[], path, want, check };
}

/** A rule about whether something else exists that belongs to the resource. */
export function companion(
  id: string,
  from: readonly string[],
  on: Kind,
  needs: Kind,
  want: string,
  belongs: (companion: Recorded, resource: Recorded) => boolean,
): Rule {
  const check: Rule["check"] = (resource, all) =>
    ofKind(all, needs).some((other) => belongs(other, resource)) ? [] : [{ path: needs, got: undefined }];
  return { id, from, on: [on], want, check };
}

/** One statement of a policy, its parts as lists. */
export interface Statement {
  readonly effect: unknown;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  /** `AWS:*`, `Service:rds.amazonaws.com`, `*`. */
  readonly principals: readonly string[];
  readonly condition: unknown;
}

/** The statements of a policy document given as JSON text or as an object; none when it is neither. */
export function statements(document: unknown): readonly Statement[] {
  const parsed = typeof document === "string" ? parse(document) : document;
  return list(at(parsed, "Statement")).map((statement) => ({
    effect: at(statement, "Effect"),
    actions: list(at(statement, "Action")).map(String),
    resources: list(at(statement, "Resource")).map(String),
    principals: principals(at(statement, "Principal")),
    condition: at(statement, "Condition"),
  }));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const principals = (value: unknown): readonly string[] =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([kind, names]) => list(names).map((name) => `${kind}:${name}`))
    : list(value).map(String);

export const isPublic = ({ principals: who }: Statement): boolean => who.some((each) => each === "*" || each === "AWS:*");
export const allows = ({ effect }: Statement): boolean => effect === "Allow";

/** A rule about the statements of a policy document. */
export function policy(
  id: string,
  from: readonly string[],
  on: readonly Kind[],
  path: string,
  want: string,
  bad: (statement: Statement) => boolean,
): Rule {
  const check: Rule["check"] = ({ inputs }) =>
    statements(at(inputs, path))
      .filter(bad)
      .map((got): Finding => ({ path, got }));
  return { id, from, on, path, want, check };
}

/** Whether the policy refuses what does not come by TLS. */
export const deniesPlain = (document: unknown): boolean =>
  statements(document).some(
    (each) => each.effect === "Deny" && isPublic(each) && String(at(each.condition, "Bool.aws:SecureTransport")) === "false",
  );

/** Text that looks like a secret: keys of AWS and of TLS, verifiers, passwords with a value beside them. */
export const looksSecret = (text: string): boolean =>
  /\bA(KIA|SIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|SCRAM-SHA-256\$|["']?\b(password|passwd|pwd|secret_?key|auth_?token)["']?\s*[:=]\s*["']?[^\s"'${<[]{6,}/i.test(
    text,
  );

/** Subnets with a route to an internet gateway. */
export function publicSubnets(all: readonly Recorded[]): ReadonlySet<unknown> {
  const open = new Set(
    ofKind(all, "ec2.Route")
      .filter(({ inputs }) => inputs.gatewayId !== undefined)
      .map(({ inputs }) => inputs.routeTableId),
  );
  return new Set(
    ofKind(all, "ec2.RouteTableAssociation")
      .filter(({ inputs }) => open.has(inputs.routeTableId))
      .map(({ inputs }) => inputs.subnetId),
  );
}
