/** What the operator declares about tables, and the declarations of the example application in sql/app. */
import type { Problem } from "../types.ts";
import type { WrittenTable } from "./schema.ts";

export type Period = "day" | "week" | "month" | "quarter" | "year";

/** How a declared table is partitioned from stage 3 on. */
export type Partition =
  | {
      readonly kind: "range";
      /** Column of type date or timestamp. */
      readonly by: string;
      readonly every: Period;
      /** Periods made ahead of time. */
      readonly ahead: number;
      /** Age at which a partition is dropped, such as "12 months"; null keeps all. */
      readonly keep: string | null;
    }
  | { readonly kind: "list"; readonly by: string; readonly partitions: Readonly<Record<string, readonly string[]>> }
  | { readonly kind: "hash"; readonly by: string; readonly modulus: number };

export interface TableConfig {
  readonly partition: Partition | null;
  /** Column whose hash chooses the shard. */
  readonly shardBy: string | null;
  /** A copy on every shard. */
  readonly global: boolean;
  readonly autovacuum: "hot" | "warm" | null;
  /** Column that names the tenant: rows of other tenants are out of reach. */
  readonly tenant: string | null;
  /** A table that was partitioned from a declaration becomes whole again. */
  readonly plain: boolean;
}

/** The folder of the example application, and what it declares. Tables that are not named stay whole, beside the shards. */
export const EXAMPLE_SCHEMA = "sql/app";
export const EXAMPLE_TABLES: Readonly<Record<string, WrittenTable>> = {
  tenants: { global: true },
  users: { shardBy: "id", autovacuum: "warm" },
  profiles: { shardBy: "user_id", autovacuum: "warm" },
  conversations: { shardBy: "id" },
  conversation_members: { shardBy: "user_id", autovacuum: "warm" },
  messages: { partition: { by: "inserted_at" }, shardBy: "user_id", autovacuum: "hot" },
  reactions: { shardBy: "user_id", autovacuum: "hot" },
  bots: { global: true },
  user_sessions: { shardBy: "user_id", autovacuum: "hot" },
  message_history: { partition: { by: "created_at" }, shardBy: "user_id", autovacuum: "hot" },
  auto_tasks: { shardBy: "user_id", autovacuum: "hot" },
  task_approvals: { shardBy: "user_id", autovacuum: "warm" },
  settings: { global: true },
  feature_flags: { global: true },
  announcements: { global: true },
  status_updates: { partition: { by: "created_at" }, shardBy: "user_id" },
  forum_threads: { partition: { by: "region", list: { us: ["US"], eu: ["EU"], asia: ["ASIA"] } }, shardBy: "user_id" },
  posts: { partition: { by: "created_at" }, shardBy: "user_id" },
  analytics_events: { partition: { by: "created_at" }, shardBy: "user_id" },
  protocols: { global: true },
  tvl_data: { partition: { by: "timestamp" }, shardBy: "protocol_id" },
  transactions: { shardBy: "protocol_id" },
  agent_memories: { shardBy: "user_id", autovacuum: "warm" },
  embeddings: { shardBy: "user_id" },
};

/** Fills the defaults of one table's declaration. */
export function tableConfig({ partition, shardBy, global, autovacuum, tenant, plain }: WrittenTable): TableConfig {
  return {
    partition: partition ? partitionConfig(partition) : null,
    shardBy: shardBy ?? null,
    global: global ?? false,
    autovacuum: autovacuum ?? null,
    tenant: tenant ?? null,
    plain: plain ?? false,
  };
}

function partitionConfig({ by, every, ahead, keep, list, hash }: NonNullable<WrittenTable["partition"]>): Partition {
  if (list) return { kind: "list", by, partitions: list };
  if (hash) return { kind: "hash", by, modulus: hash };
  return { kind: "range", by, every: every ?? "month", ahead: ahead ?? 3, keep: keep ?? null };
}

const DAYS: Record<Period, number> = { day: 1, week: 7, month: 30, quarter: 91, year: 365 };

function keptDays(keep: string): number {
  const [, count, period] = /^(\d+) (day|week|month|quarter|year)s?$/.exec(keep)!;
  return Number(count) * DAYS[period as Period];
}

/** What cannot go together in one table's declaration; paths are relative to the table, got is filled by the caller. */
export function tableProblems({
  partition,
  shardBy,
  global,
  plain,
}: WrittenTable): readonly (Omit<Problem, "got" | "path"> & { path: string[] })[] {
  const problems = [];
  if (global && shardBy !== undefined)
    problems.push({ path: ["global"], want: "either global: true (a copy on every shard) or shardBy, not both" });
  if (plain && partition) problems.push({ path: ["plain"], want: "either plain: true (one whole table) or partition, not both" });
  if (!partition) return problems;
  const { list, hash, every, ahead, keep } = partition;
  if (list && hash !== undefined) problems.push({ path: ["partition", "hash"], want: "either list or hash, not both" });
  if (list && Object.keys(list).length === 0) problems.push({ path: ["partition", "list"], want: "at least one partition" });
  const range = { every, ahead, keep };
  if (list || hash !== undefined)
    for (const [key, given] of Object.entries(range))
      if (given !== undefined) problems.push({ path: ["partition", key], want: "every, ahead and keep only for partitions by time" });
  if (keep !== undefined && keptDays(keep) < DAYS[every ?? "month"])
    problems.push({ path: ["partition", "keep"], want: `at least one whole ${every ?? "month"}` });
  return problems;
}
