import type { Change } from "./progress.ts";

/** How long writes wait, from nothing to the longest. The figures are AWS' own (RDS User Guide), never measured by this project. */
const STALLS = {
  none: "none",
  seconds: "seconds",
  failover: "60 to 120 s, RDS' own figure for a fail-over",
  minutes: "minutes, for which AWS names no figure",
  unbounded: "as long as the upgrade takes: minutes to hours, by the number of tables",
} as const;

type Stall = keyof typeof STALLS;

interface Effect {
  line: string;
  stall: Stall;
}

export interface Announced {
  /** What is interrupted, one line each; empty when nothing is. */
  restarts: readonly string[];
  /** How long writes wait at the worst point. */
  stall: string;
}

const INSTANCE = "aws:rds/instance:Instance";
const PARAMETERS = "aws:rds/parameterGroup:ParameterGroup";
const CACHE = "aws:elasticache/replicationGroup:ReplicationGroup";
const HOSTS = "aws:ec2/launchTemplate:LaunchTemplate";

const typeOf = ({ urn }: Change): string => (urn.split("::").at(-2) ?? "").split("$").at(-1) ?? "";
const isReplica = ({ inputs, before }: Change): boolean => (inputs ?? before)?.replicateSourceDb !== undefined;

/**
 * What the next `up` on AWS interrupts, read from Pulumi's preview. Cannot know what waits inside AWS: a restart that was put off, or a
 * minor upgrade in the maintenance window.
 */
export function announceAws(changes: readonly Change[]): Announced {
  const restarting = new Set(changes.filter((change) => typeOf(change) === INSTANCE && restarts(change)).map(({ name }) => name));
  const effects = changes
    .filter(({ op }) => op === "update" || op === "replace")
    .flatMap((change): readonly Effect[] => {
      switch (typeOf(change)) {
        case INSTANCE:
          return onInstance(change);
        case PARAMETERS:
          return onParameters(change, restarting);
        case CACHE:
          return onCache(change);
        case HOSTS:
          return [{ line: "pooler hosts are replaced one after the other: each client connection is closed once", stall: "seconds" }];
        default:
          return [];
      }
    });
  const order = Object.keys(STALLS) as Stall[];
  const worst = effects.map(({ stall }) => order.indexOf(stall)).reduce((a, b) => Math.max(a, b), 0);
  return { restarts: [...new Set(effects.map(({ line }) => line))], stall: STALLS[order[worst]!] };
}

const restarts = ({ op, differs }: Change): boolean =>
  op === "update" && (differs.includes("instanceClass") || differs.includes("engineVersion"));

function onInstance(change: Change): readonly Effect[] {
  const { op, name, differs, before, inputs } = change;
  const changed = (key: string) => `${before?.[key]} -> ${inputs?.[key]}`;
  if (op === "replace")
    return [{ line: `instance ${name} is made anew (${differs.join(", ")} changed): its data is lost`, stall: "unbounded" }];
  if (differs.includes("engineVersion"))
    return [{ line: `instance ${name} is upgraded (${changed("engineVersion")}), which cannot be undone`, stall: "unbounded" }];
  if (!differs.includes("instanceClass"))
    return differs.includes("multiAz") && inputs?.multiAz === true
      ? [{ line: `instance ${name} gets its second zone; writes slow down while it is copied, none is refused`, stall: "none" }]
      : [];
  const what = `instance ${name} changes its class (${changed("instanceClass")})`;
  if (isReplica(change)) return [{ line: `${what}: it restarts, reads go to the other nodes meanwhile`, stall: "none" }];
  return before?.multiAz === true
    ? [{ line: `${what}: its second zone takes over, and connections to it break`, stall: "failover" }]
    : [{ line: `${what}: it is down while RDS starts it on the other machine`, stall: "minutes" }];
}

interface Parameter {
  name: string;
  value: string;
  applyMethod: string;
}

/** Static parameters that differ: RDS takes them at the next restart, whoever asks for it. */
function onParameters({ name: group, before, inputs }: Change, restarting: ReadonlySet<string>): readonly Effect[] {
  const node = group.replace(/-pg\d+$/, "");
  const values = (side: Change["inputs"]) =>
    new Map(((side?.parameters ?? []) as readonly Parameter[]).map(({ name, value, applyMethod }) => [name, { value, applyMethod }]));
  const [were, are] = [values(before), values(inputs)];
  const late = [...new Set([...were.keys(), ...are.keys()])]
    .filter((name) => (are.get(name) ?? were.get(name))?.applyMethod === "pending-reboot" && were.get(name)?.value !== are.get(name)?.value)
    .map((name) => `${name} ${were.get(name)?.value ?? "unset"} -> ${are.get(name)?.value ?? "unset"}`);
  if (late.length === 0) return [];
  const when = restarting.has(node) ? "with its restart" : `at its next restart (aws rds reboot-db-instance), which is yours to choose`;
  return [{ line: `PostgreSQL on ${node} takes ${late.join(", ")} ${when}`, stall: "none" }];
}

function onCache({ op, name, differs }: Change): readonly Effect[] {
  if (op === "replace") return [{ line: `cache ${name} is made anew (${differs.join(", ")} changed): it starts empty`, stall: "none" }];
  return differs.some((key) => key === "nodeType" || key === "engineVersion")
    ? [{ line: `cache ${name} changes its nodes one after the other: its primary moves, and connections to it break once`, stall: "none" }]
    : [];
}

const SIGN = { create: "+ new", update: "~ changed in place", replace: "± replaced", delete: "- deleted" } as const;
/** Names of one kind that are listed; a network alone is a hundred resources. */
const LISTED = 6;

/** A command of the agent: made anew, it runs. */
const COMMAND = "aws:lambda/invocation:Invocation";

const becomes = (change: Change): string => {
  if (typeOf(change) !== COMMAND) return `${SIGN[change.op]}: ${change.kind}`;
  return change.op === "delete" ? "- no longer run:" : "> runs:";
};

/** Every change in words, one line for each kind of thing and what becomes of it, in the order of the alphabet: the engine has none. */
export function describeAws(changes: readonly Change[]): readonly string[] {
  const named = Map.groupBy(
    changes.filter(({ kind }) => kind !== "secret"),
    becomes,
  );
  const secrets = changes.filter(({ kind }) => kind === "secret").length;
  const lines = [...named].map(([what, its]) => {
    const names = its.map(({ name }) => name).sort();
    const more = names.length - LISTED;
    return `${what} ${names.slice(0, LISTED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  });
  return [...lines.sort(), ...(secrets > 0 ? [`${secrets} passwords, keys and certificates`] : [])];
}
