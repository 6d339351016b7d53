/** `ladder <view>`: the views of schema ladder as commands. Loads nothing large: every command line reads this table. */
import { UsageError } from "../failure.ts";
import type { Report } from "../report.ts";

export interface ViewCommand {
  /** One line, the same as the view's comment in the database. */
  what: string;
  /** Asked on every node unless the command line says otherwise. */
  everywhere?: true;
  /** Columns for programs only. */
  hidden?: readonly string[];
  /** Where there is no view of that name: the pooler's console, or the Docker engine. */
  from?: "pooler" | "engine";
}

/** Every view of schema ladder that is meant for people, by its command, and what databases do not know. */
export const VIEWS: Readonly<Record<string, ViewCommand>> = {
  health: { what: "One line for each check: ok, warning or critical, and what to do" },
  "database-size": { what: "Size of each database" },
  "table-sizes": { what: "Tables by size, partitioned ones as a whole: rows (estimated), table, indexes, large values" },
  partitions: {
    what: "Partitions: bounds, rows, size, rows held by the default one (counted up to 10,001), how far ahead the table reaches, when age detaches it",
  },
  conversions: { what: "Tables that become partitioned or whole again: how far, what stands in the way, what can be done" },
  "index-usage": { what: "Scans of each index on this node; last_scan is that of any node", hidden: ["index_oid", "table_oid"] },
  "index-advice": { what: "Indexes that are invalid, duplicate, redundant, unused, bloated or missing, each with the SQL that helps" },
  "sequential-scans": { what: "Sequential scans by table: how many, and how many rows they read" },
  "dead-tuples": { what: "Dead rows by table, and when autovacuum last cleaned up" },
  bloat: {
    what: "Space that a rebuild would give back, as the job ladder-bloat measured it; unmeasured tables by their dead rows",
    hidden: ["relation_oid"],
  },
  "slow-statements": {
    what: "Statements by total time, with estimated percentiles (pg_stat_statements keeps mean, deviation and maximum)",
  },
  running: { what: "Statements that run now, longest first" },
  "long-transactions": { what: "Transactions older than a minute, open or prepared" },
  locks: { what: "Locks not granted, and held ones that block writers" },
  blocked: { what: "Sessions that wait for a lock, who blocks them, and the root of the queue" },
  connections: { what: "Connections to this server by role and database, and their share of max_connections" },
  pools: { what: "The pooler's pools: clients, those that wait, server connections in use", from: "pooler" },
  machines: { what: "CPU, memory, disk traffic and I/O wait of each part of the stack", from: "engine" },
  "cache-hit": { what: "Cache hit ratio of the database and of each table with its indexes" },
  throughput: { what: "Transactions and statements since the statistics were reset, in all and per second" },
  replication: { what: "Each replica: state, lag in bytes and seconds; asked on a replica, also by the heartbeat", everywhere: true },
  "replication-slots": { what: "Replication slots and the WAL that they keep" },
  "settings-pending": { what: "Changed parameters that wait for a restart", everywhere: true },
  progress: { what: "How far vacuums, index builds, analyzes, rewrites, copies and base backups are" },
  jobs: { what: "Jobs of pg_cron: schedule, last run, since when they fail" },
  "job-runs": { what: "Runs of jobs and maintenance tasks, newest first; of routine jobs the failures only" },
};

/** A view's name in schema ladder. */
export const viewName = (command: string): string => command.replaceAll("-", "_");

/** @throws UsageError for anything but a whole number from 1 on. */
export function readCount(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new UsageError(`got ${JSON.stringify(text)}, want a whole number from 1 to 999999`);
}

/** `ladder views`: what there is. */
export function views({ result }: Report): void {
  const width = Math.max(...Object.keys(VIEWS).map((name) => name.length));
  result(
    Object.entries(VIEWS).map(([name, { what }]) => `${name.padEnd(width)}  ${what}`),
    Object.entries(VIEWS).map(([name, { what, from }]) => ({
      command: name,
      view: from === undefined ? `ladder.${viewName(name)}` : null,
      what,
    })),
  );
}
