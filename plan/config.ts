/** Reads the stack's configuration (DESIGN §1): every problem at once, then one value with all defaults filled. */
import type * as z from "zod";
import { DEFAULT_ALERTS, engineOf, fill, profileOf } from "./config/fill.ts";
import { type Finding, RULES } from "./config/rules.ts";
import { isStructured, KEYS, type Key, SCHEMA, type Written } from "./config/schema.ts";
import { EXAMPLE_SCHEMA, EXAMPLE_TABLES, type TableConfig, tableConfig } from "./config/tables.ts";
import { knownKey } from "./config/values.ts";
import type { Engine, StageProfile } from "./stages.ts";
import type { Platform } from "./tuning/types.ts";
import { InputError, type KiB, type Ms, type Problem, type Stage, type Target, type Workload } from "./types.ts";

export type { Partition, Period, TableConfig } from "./config/tables.ts";

export interface Threshold<T> {
  readonly warning: T;
  readonly critical: T;
}

/** A pool's size that the operator may write. */
export type WrittenPool = "defaultPoolSize" | "minPoolSize" | "reservePoolSize" | "sessionPoolSize" | "shardPoolSize";

/** A stack's configuration, checked, with all defaults filled. */
export interface StackConfig {
  readonly stack: string;
  readonly stage: Stage;
  readonly target: Target;
  /** The stage's numbers with the operator's overrides. */
  readonly profile: StageProfile;
  /** Every stage's numbers under the same overrides, for what is sized for the climb from the start. */
  readonly profiles: Readonly<Record<Stage, StageProfile>>;
  /** The pool sizes that the operator wrote; the others are the profile's, and give way on a small docker host. */
  readonly writtenPools: readonly WrittenPool[];
  /** Folder of the application's migrations. */
  readonly schema: string;
  readonly tables: Readonly<Record<string, TableConfig>>;
  readonly database: string;
  readonly port: number;
  readonly postgresVersion: number;
  /** Operator's PostgreSQL parameters, as postgresql.conf takes them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly workload: Workload;
  readonly synchronous: boolean;
  readonly region: string;
  readonly replicaRegions: readonly string[];
  /** What runs PostgreSQL on AWS; without meaning on docker. */
  readonly engine: Engine;
  /** Who manages the clusters that this configuration asks for. */
  readonly platform: Platform;
  readonly aws: {
    readonly vpcId: string | null;
    readonly subnetIds: readonly string[] | null;
    readonly kmsKeyArn: string | null;
    readonly zoneId: string | null;
    readonly rdsProxy: boolean;
  };
  readonly images: { readonly postgres: string; readonly citus: string };
  readonly alerts: {
    readonly connections: Threshold<number>;
    readonly cacheHit: Threshold<number>;
    readonly replicationLag: Threshold<KiB>;
    readonly disk: Threshold<number>;
    readonly p99: Threshold<Ms>;
    readonly deadTuples: Threshold<number>;
    /** E-mail addresses and https URLs. */
    readonly receivers: readonly string[];
  };
  readonly backup: { readonly retentionDays: number; readonly restoreTest: "day" | "week" | "month" | "never" };
  readonly monitoring: boolean;
  readonly protect: boolean;
  /** Held parts are let go: unprotected in one `up`, deleted in the next. Set by `ladder finish`. */
  readonly release: boolean;
  /** Raising it makes new passwords for the application's roles. */
  readonly rotation: number;
}

const STACK_NAME = /^[a-z][a-z0-9-]{0,30}$/;

/**
 * Reads what `pulumi.runtime.allConfig()` holds of namespace `pgladder`, keys without their prefix.
 * @throws InputError with every problem found, named after the stack's file.
 */
export function parseConfig(raw: Readonly<Record<string, string>>, { stack }: { stack: string }): StackConfig {
  const decoded = Object.fromEntries(Object.entries(raw).map(([key, text]) => [key, decode(key, text)]));
  const problems: Problem[] = [];
  if (!STACK_NAME.test(stack)) problems.push({ path: "stack", got: stack, want: "a name of at most 31 of a-z, 0-9 and -, a letter first" });
  for (const key of Object.keys(raw)) if (!isKey(key)) problems.push({ path: `pgladder:${key}`, got: key, want: knownKey(key, KEYS) });

  const written: Partial<Record<Key, unknown>> = {};
  const broken = new Set<Key>();
  for (const key of KEYS) {
    if (!Object.hasOwn(decoded, key)) continue;
    const result = SCHEMA[key].safeParse(decoded[key]);
    if (result.success) written[key] = result.data;
    else {
      broken.add(key);
      problems.push(...result.error.issues.flatMap((issue) => schemaProblems(key, issue, decoded)));
    }
  }
  const config = fill(written as Written);
  for (const rule of RULES)
    if (!rule.reads.some((key) => broken.has(key))) problems.push(...rule.find(config).map((finding) => problemAt(finding, decoded)));

  if (problems.length > 0) throw new InputError(`Pulumi.${stack}.yaml`, problems);
  return stackConfig(config, stack);
}

const isKey = (key: string): key is Key => Object.hasOwn(SCHEMA, key);

/** Maps and lists arrive as JSON text; text that is none stays as it is, for the schema to refuse. */
function decode(key: string, text: string): unknown {
  if (!isKey(key) || !isStructured(key)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function schemaProblems(key: Key, issue: z.core.$ZodIssue, decoded: unknown): readonly Problem[] {
  const path = [key, ...issue.path] as (string | number)[];
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((given, i) => ({ path: pathText([...path, given]), got: given, want: issue.message.split("\n")[i]! }));
  if (issue.code === "invalid_key") return [{ path: pathText(path), got: path.at(-1), want: issue.issues[0]!.message }];
  return [problemAt({ path, want: issue.message }, decoded)];
}

function problemAt({ path, want }: Finding, decoded: unknown): Problem {
  const got = path.reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], decoded);
  return { path: pathText(path), got, want };
}

const pathText = ([key, ...rest]: readonly (string | number)[]) =>
  `pgladder:${key}${rest.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`)).join("")}`;

function writtenPools({ pooler = {}, shards = {} }: ReturnType<typeof fill>): readonly WrittenPool[] {
  const sizes = ["defaultPoolSize", "minPoolSize", "reservePoolSize", "sessionPoolSize"] as const;
  return [...sizes.filter((key) => pooler[key] !== undefined), ...(shards.poolSize === undefined ? [] : ["shardPoolSize" as const])];
}

function stackConfig(config: ReturnType<typeof fill>, stack: string): StackConfig {
  const at = (stage: Stage) => profileOf({ ...config, stage });
  const profiles = { 1: at(1), 2: at(2), 3: at(3), 4: at(4), 5: at(5) };
  const profile = profiles[config.stage];
  const engine = engineOf(config);
  const schema = config.schema ?? EXAMPLE_SCHEMA;
  const tables = config.tables ?? (schema === EXAMPLE_SCHEMA ? EXAMPLE_TABLES : {});
  const alert = <K extends keyof typeof DEFAULT_ALERTS>(name: K) => ({ ...DEFAULT_ALERTS[name], ...config.alerts?.[name] });
  return {
    stack,
    stage: config.stage,
    target: config.target,
    profile,
    profiles,
    writtenPools: writtenPools(config),
    schema,
    tables: Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, tableConfig(table)])),
    database: config.database ?? "app",
    port: config.port ?? 6432,
    postgresVersion: config.postgresVersion ?? 17,
    settings: config.settings ?? {},
    workload: config.workload ?? "oltp",
    synchronous: config.synchronous ?? profile.synchronous,
    region: config.region,
    replicaRegions: config.replicaRegions ?? [],
    engine,
    platform: config.target === "aws" && engine === "rds" ? "rds" : "patroni",
    aws: { vpcId: null, subnetIds: null, kmsKeyArn: null, zoneId: null, rdsProxy: false, ...config.aws },
    images: { postgres: "debian:trixie-slim", citus: "citusdata/citus:13.0", ...config.images },
    alerts: {
      connections: alert("connections"),
      cacheHit: alert("cacheHit"),
      replicationLag: alert("replicationLag"),
      disk: alert("disk"),
      p99: alert("p99"),
      deadTuples: alert("deadTuples"),
      receivers: config.alerts?.receivers ?? [],
    },
    backup: { retentionDays: 7, restoreTest: "week", ...config.backup },
    monitoring: config.monitoring ?? true,
    protect: config.protect ?? config.target === "aws",
    release: config.release ?? false,
    rotation: config.rotation ?? 0,
  };
}
