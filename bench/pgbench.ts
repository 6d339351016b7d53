/** pgbench through a URL, and what its report says. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface PgbenchTarget {
  /** The image that has pgbench. */
  image: string;
  /** Where to: a PostgreSQL URL as an application has it. */
  url: string;
  /** Files that the arguments name. */
  files?: readonly string[];
}

export interface PgbenchReport {
  transactionsPerSecond: number;
  /** ms */
  latency: number;
  failed: number;
}

/** Reads pgbench's report. @throws Error where it has no figures */
export function readReport(report: string): PgbenchReport {
  const figure = (pattern: RegExp): number => Number(pattern.exec(report)?.[1] ?? Number.NaN);
  const found = {
    transactionsPerSecond: figure(/^tps = ([\d.]+)/m),
    latency: figure(/^latency average = ([\d.]+) ms/m),
    failed: figure(/^number of failed transactions: (\d+)/m),
  };
  if (Object.values(found).some(Number.isNaN))
    throw new Error(`pgbench: got ${JSON.stringify(report.slice(-500))}, want tps, latency, failed`);
  return found;
}

/**
 * Runs pgbench in a container on this machine's network. The password goes through the environment, so that it is not in the list of
 * processes; the authority's file is read by whoever runs this.
 * @returns its report
 * @throws what it said, where it could not go on: an error that is no serialization failure ends its client.
 */
export async function pgbench({ image, url, files = [] }: PgbenchTarget, args: readonly string[]): Promise<string> {
  const target = new URL(url);
  const password = decodeURIComponent(target.password);
  target.password = "";
  const authority = target.searchParams.get("sslrootcert");
  const mounted = authority !== null && existsSync(authority) ? [...files, authority] : files;
  const mount = mounted.flatMap((file) => ["-v", `${file}:${file}:ro`]);
  const { stdout } = await run(
    "docker",
    [
      "run",
      "--rm",
      "--network",
      "host",
      "--user",
      `${process.getuid?.() ?? 0}`,
      "-e",
      "PGPASSWORD",
      ...mount,
      "--entrypoint",
      "pgbench",
      image,
      ...args,
      target.href,
    ],
    { env: { ...process.env, PGPASSWORD: password }, maxBuffer: 16 * 1024 * 1024 },
  );
  return stdout;
}
