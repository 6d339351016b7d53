/** Baselines: pgbench's TPC-B and select-only, and EXPLAIN (ANALYZE, BUFFERS) of the example application's main queries. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "pg";
import { compareNames } from "../agent/migrate/order.ts";
import { type PgbenchReport, type PgbenchTarget, pgbench, readReport } from "./pgbench.ts";

const ROOT = join(import.meta.dirname, "..");

export interface Baseline extends PgbenchReport {
  what: "TPC-B" | "select only";
  scale: number;
  clients: number;
  seconds: number;
}

export interface BenchTarget extends PgbenchTarget {
  scale: number;
  clients: number;
  seconds: number;
}

/**
 * Runs pgbench through a URL. It makes its four tables in the database's default schema and removes them at the end.
 * @throws Error where tables of these names are there already
 */
export async function baselines(target: BenchTarget, client: Client): Promise<Baseline[]> {
  const { rows } = await client.query<{ name: string }>(
    "select name from unnest(array['accounts', 'branches', 'history', 'tellers']) t, concat('pgbench_', t) name where to_regclass(name) is not null",
  );
  if (rows.length > 0) throw new Error(`pgbench: got tables ${rows.map(({ name }) => name).join(", ")}, want none: it would replace them`);
  const { scale, clients, seconds } = target;
  const load = ["-c", String(clients), "-j", "2", "-T", String(seconds), "-n"];
  try {
    await pgbench(target, ["-i", "-q", "-s", String(scale)]);
    const tpcB = readReport(await pgbench(target, load));
    const selectOnly = readReport(await pgbench(target, [...load, "-S"]));
    return [
      { what: "TPC-B", scale, clients, seconds, ...tpcB },
      { what: "select only", scale, clients, seconds, ...selectOnly },
    ];
  } finally {
    await pgbench(target, ["-i", "-I", "d"]);
  }
}

/** The requirement documents' main queries, and those of the example application's pages. */
export const MAIN_QUERIES: Readonly<Record<string, string>> = {
  "messages of a session": "select * from message_history where session_id = 7 order by message_index limit 50",
  "sessions of a user with their latest message": `select s.*, m.content from user_sessions s left join lateral
    (select content from message_history where session_id = s.id order by message_index desc limit 1) m on true
    where s.user_id = 7 order by s.created_at desc limit 20`,
  "latest messages of a conversation": "select * from messages where conversation_id = 7 order by inserted_at desc limit 50",
  "unread messages of a conversation": "select count(*) from messages where conversation_id = 50 and read_at is null",
  "full-text search": "select * from messages where to_tsvector('english', content) @@ to_tsquery('english', 'word7') limit 20",
  "active tasks": "select * from auto_tasks where status < 5 order by status, priority limit 20",
  "forum ranking": "select * from forum_threads where region = 'EU' order by votes desc limit 20",
  "value of a protocol": "select * from tvl_data where protocol_id = 7 order by timestamp desc limit 30",
  "users nearby": "select * from profiles order by point(location_lng, location_lat) <-> point(2, 48) limit 10",
  "nearest passages": "select id, content from embeddings order by embedding <-> (select embedding from embeddings limit 1) limit 5",
};

/** Plan of each main query as it ran, in a transaction that can only read. A query whose tables are not there says so. */
export async function explained(client: Client): Promise<{ query: string; plan: string[] }[]> {
  const plans: { query: string; plan: string[] }[] = [];
  for (const [query, sql] of Object.entries(MAIN_QUERIES)) {
    await client.query("begin read only");
    try {
      const { rows } = await client.query<[string]>({ text: `explain (analyze, buffers) ${sql}`, rowMode: "array" });
      plans.push({ query, plan: rows.map(([line]) => line) });
    } catch (error) {
      plans.push({ query, plan: [`not run: ${error instanceof Error ? error.message : String(error)}`] });
    } finally {
      await client.query("rollback");
    }
  }
  return plans;
}

/** Makes the example application's tables, as its migrations do, without the platform around them. */
export async function makeExample(client: Client): Promise<void> {
  await client.query("create extension if not exists vector");
  const folder = join(ROOT, "sql/app");
  for (const name of (await readdir(folder)).filter((file) => file.endsWith(".sql")).sort(compareNames))
    await client.query(await readFile(join(folder, name), "utf8"));
}
