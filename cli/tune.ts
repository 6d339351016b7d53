import { renderConf, renderPostgresql } from "../plan/render/postgresql.ts";
import { renderRds } from "../plan/render/rds.ts";
import { type Comparison, compare } from "../plan/tuning/compare.ts";
import { tune } from "../plan/tuning/index.ts";
import type { TuningInput } from "../plan/tuning/types.ts";
import { DISKS, gib, InputError, type KiB, kib, ms, type Problem, WORKLOADS } from "../plan/types.ts";

const FORMATS = ["table", "conf", "rds", "json"] as const;

/** The options of `ladder tune` as a command line gives them. */
export interface TuneArgs {
  cores: string | number;
  /** With a unit: '32GB', '4096MB'. */
  memory: string;
  /** With a unit, or a bare number of GB. */
  storage: string | number;
  disk: string;
  /** Server connections that the poolers may open to the node. */
  connections: string | number;
  workload: string;
  replicas: string | number;
  format: string;
}

/** PostgreSQL major version that the RDS output is for. */
const RDS_VERSION = 17;

const SIZES: Readonly<Record<string, number>> = { mb: 1024, gb: 1024 * 1024, tb: 1024 * 1024 * 1024 };

/** Reads '32GB', '1.5 TB', '512MB' (binary units, as PostgreSQL's); undefined for anything else. */
export function parseSize(text: string): KiB | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(mb|gb|tb)$/i.exec(text.trim());
  return match ? kib(Number(match[1]) * SIZES[match[2]!.toLowerCase()]!) : undefined;
}

const isNumber = (text: string): boolean => /^\d+(\.\d+)?$/.test(text.trim());

/** Collects a problem for each option that is not right, so that all are shown at once. */
function readArgs(args: TuneArgs): { input: TuningInput; format: (typeof FORMATS)[number] } {
  const problems: Problem[] = [];
  const refuse = (name: keyof TuneArgs, want: string) => problems.push({ path: `--${name}`, got: args[name], want });
  const whole = (name: "cores" | "connections" | "replicas", least: number): number => {
    const value = String(args[name]).trim();
    if (!/^\d+$/.test(value) || Number(value) < least) refuse(name, `a whole number of at least ${least}`);
    return Number(value);
  };
  const choice = <T extends string>(name: "disk" | "workload" | "format", choices: readonly T[]): T => {
    const found = choices.find((each) => each === args[name]);
    if (found === undefined) refuse(name, `one of ${choices.join(", ")}`);
    return found ?? choices[0]!;
  };
  const size = (name: "memory" | "storage", text: string): KiB => {
    const value = parseSize(text);
    if (!value) refuse(name, 'a size with its unit, such as "32GB" or "4096MB"');
    return value ?? kib(0);
  };
  const storage = String(args.storage);
  const input: TuningInput = {
    machine: {
      cores: whole("cores", 1),
      memory: size("memory", args.memory),
      storage: size("storage", isNumber(storage) ? `${storage}GB` : storage) / gib(1),
      disk: choice("disk", DISKS),
    },
    workload: choice("workload", WORKLOADS),
    serverConnections: whole("connections", 1),
    replicas: whole("replicas", 0),
    logMinDuration: ms(1_000),
    citus: false,
    platform: args.format === "rds" ? "rds" : "patroni",
    overrides: {},
  };
  const format = choice("format", FORMATS);
  if (problems.length > 0) throw new InputError("ladder tune", problems);
  return { input, format };
}

/** Columns as wide as their widest cell; the last one is left as it is. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => row.map((text, column) => (column === row.length - 1 ? text : text.padEnd(widths[column]!))).join("  "))
    .join("\n");
}

const or = (value: string | undefined): string => (value === undefined || value === "" ? "-" : value.trim());

const tableOf = (rows: readonly Comparison[]): string =>
  aligned([
    ["parameter", "value", "PGTune", "RDS", "PostgreSQL", "restart", "reason"],
    ...rows.map(({ name, value, pgtune, rds, stock, restart, reason }) => [
      name,
      value.trim(),
      or(pgtune),
      or(rds),
      or(stock),
      restart ? "yes" : "-",
      reason,
    ]),
  ]);

/**
 * `ladder tune`: every PostgreSQL parameter for a machine. `table` shows it beside PGTune's value, RDS' default and
 * PostgreSQL's own, with the reason; `conf` is a postgresql.conf, `rds` the entries of a parameter group as JSON, `json` all there is.
 * @throws InputError with every wrong option at once, or with the arithmetic where the memory cannot hold
 */
export function tuneCommand(args: TuneArgs): string {
  const { input, format } = readArgs(args);
  switch (format) {
    case "table":
      return tableOf(compare(input));
    case "conf":
      return renderConf(tune(input));
    case "rds":
      return JSON.stringify(renderRds(tune(input), RDS_VERSION), null, 2);
    case "json":
      return JSON.stringify({ parameters: renderPostgresql(tune(input)), comparison: compare(input) }, null, 2);
  }
}
