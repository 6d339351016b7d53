/** Every index of the example application serves a query, chosen by the planner itself, also when its table is split by month. Cannot prove: speed. */
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyMigrations } from "../../agent/migrate/index.ts";
import { BY_MONTH, fill, fillParts } from "../../bench/example.ts";
import { ms } from "../../plan/types.ts";
import { platformTemplate } from "../support/migrations.ts";
import { startPostgres, type TestServer } from "../support/postgres.ts";

let server: TestServer;
let client: Client;

beforeAll(async () => {
  server = await startPostgres();
  const db = await server.createDatabase({ template: await platformTemplate(server) });
  const connect = () => db.connect();
  await applyMigrations({ connect, folder: "sql/app", set: "app", role: "app", lockTimeout: ms(2000), log: () => undefined });
  client = await db.connect();
  await client.query("set timezone = 'UTC'; set jit = off; set random_page_cost = 1.1; set max_parallel_workers_per_gather = 0");
  await fill(client);
  await fillParts(client);
});
afterAll(() => server?.stop());

/** The nodes that may read the index: whether row by row or through a bitmap is a matter of how many rows there are. */
const SCAN = ["Index Scan", "Bitmap Index Scan"] as const;
const BITMAP = ["Bitmap Index Scan"] as const;
const ONLY = ["Index Only Scan"] as const;

const SERVED: readonly (readonly [index: string, nodes: readonly string[], query: string])[] = [
  // B-tree, one column and composite
  ["idx_users_username", SCAN, "select * from users where username = 'user7'"],
  ["idx_users_email", SCAN, "select * from users where email = 'User7@example.org'"],
  ["idx_user_handles_user", SCAN, "select * from user_handles where user_id = 7"],
  ["idx_members_conversation", SCAN, "select user_id from conversation_members where conversation_id = 7"],
  ["idx_messages_conversation", SCAN, "select * from messages where conversation_id = 7 order by inserted_at desc limit 10"],
  ["idx_messages_sender", SCAN, "select * from messages where user_id = 7 order by inserted_at desc limit 10"],
  ["idx_reactions_message", SCAN, "select * from reactions where message_id = 7"],
  ["idx_sessions_user", SCAN, "select * from user_sessions where user_id = 7 order by created_at desc limit 10"],
  ["idx_sessions_tenant", SCAN, "select * from user_sessions where tenant_id = 7 order by created_at desc limit 10"],
  ["idx_messages_session", SCAN, "select * from message_history where session_id = 7 order by message_index limit 10"],
  ["idx_announcements_starts", SCAN, "select * from announcements order by starts_at desc limit 5"],
  ["idx_status_updates_user", SCAN, "select * from status_updates where user_id = 7 order by created_at desc limit 10"],
  ["idx_forum_threads_ranking", SCAN, "select * from forum_threads where region = 'EU' order by votes desc limit 10"],
  ["idx_posts_thread", SCAN, "select * from posts where thread_id = 7 order by created_at limit 10"],
  ["idx_protocols_name", SCAN, "select * from protocols where name = 'p7'"],
  ["idx_tvl_protocol_timestamp", SCAN, "select * from tvl_data where protocol_id = 7 order by timestamp desc limit 10"],
  ["idx_transactions_hash", SCAN, "select * from transactions where hash = 'h7'"],
  ["idx_memories_user_agent", SCAN, "select * from agent_memories where user_id = 7 and agent_id = 7"],
  ["idx_memories_user_created", SCAN, "select * from agent_memories where user_id = 7 order by created_at desc limit 10"],
  ["idx_memories_agent_created", SCAN, "select * from agent_memories where agent_id = 7 order by created_at desc limit 10"],
  ["idx_memories_role_created", SCAN, "select * from agent_memories where role = 3 order by created_at desc limit 10"],
  ["idx_memories_created", SCAN, "select * from agent_memories where created_at >= '2025-06-01' order by created_at limit 10"],
  ["idx_embeddings_user_agent", SCAN, "select id, content from embeddings where user_id = 7 and agent_id = 7"],
  ["idx_embeddings_data_source", SCAN, "select id, content from embeddings where data_source = 's7'"],
  ["idx_embeddings_doc", SCAN, "select id, content from embeddings where doc_id = 'd7'"],
  ["idx_tvl_daily", SCAN, "select * from tvl_daily where protocol_id = 7 and day = '2025-05-05'"],
  ["idx_user_posts", SCAN, "select * from user_posts where user_id = 7"],
  ["idx_messages_daily", SCAN, "select * from messages_daily where day = '2025-05-05'"],
  // Partial
  ["idx_users_wallet_address", SCAN, "select * from users where wallet_address = 'w5'"],
  ["idx_users_email_active", SCAN, "select * from users where is_active order by email limit 10"],
  ["idx_active_users", SCAN, "select * from users where is_active order by created_at desc limit 10"],
  ["idx_messages_unread", ONLY, "select count(*) from messages where conversation_id = 50 and read_at is null"],
  ["idx_bots_active", SCAN, "select * from bots where tenant_id = 1 and is_active = true"],
  ["idx_message_history_unread", SCAN, "select * from message_history where user_id = 50 and is_read = false order by created_at limit 5"],
  ["idx_tasks_status", SCAN, "select * from auto_tasks where status < 5 order by status, priority limit 10"],
  ["idx_approvals_pending", SCAN, "select * from task_approvals where task_id = 40 and status = 0"],
  ["idx_active_protocols", ONLY, "select id from protocols where active = true order by id limit 100"],
  ["idx_memories_tool_call", SCAN, "select * from agent_memories where tool_call_id = 'call700'"],
  // Covering: the table is not read
  [
    "idx_sessions_covering",
    ONLY,
    "select title, message_count, last_activity_at from user_sessions where user_id = 7 order by created_at desc",
  ],
  ["idx_protocols_covering", ONLY, "select id, name, tvl, description from protocols where id between 5 and 9"],
  // Expression
  ["idx_lower_email", SCAN, "select * from users where lower(email) = 'user7@example.org'"],
  ["idx_user_posts_active", SCAN, "select * from user_posts order by updates + posts desc limit 10"],
  // GIN: jsonb and full text
  ["idx_profile_interests", BITMAP, "select * from profiles where interests ? 'topic7'"],
  ["idx_analytics_properties", BITMAP, `select * from analytics_events where properties @> '{"k": 7}'`],
  ["idx_messages_content_search", BITMAP, "select * from messages where to_tsvector('english', content) @@ to_tsquery('english', 'word7')"],
  // GiST: nearest first
  ["idx_location", SCAN, "select * from profiles order by point(location_lng, location_lat) <-> point(2, 48) limit 5"],
  // BRIN: weeks of a table in the order of time
  ["idx_messages_created_at", BITMAP, "select * from messages where inserted_at >= '2025-05-02' and inserted_at < '2025-05-30'"],
  ["idx_messages_created_brin", BITMAP, "select * from message_history where created_at >= '2025-05-02' and created_at < '2025-05-30'"],
  ["idx_analytics_date_brin", BITMAP, "select * from analytics_events where created_at >= '2025-05-02' and created_at < '2025-05-30'"],
  // HNSW: nearest by L2 distance
  [
    "idx_embeddings_l2",
    SCAN,
    "select id from embeddings order by embedding <-> (select embedding from embeddings where user_id = 7 and id = 7) limit 5",
  ],
];

interface Node {
  "Node Type": string;
  "Index Name"?: string;
  Plans?: Node[];
}

/** Every index in a query's plan, with the node that uses it. */
async function indexesOf(query: string): Promise<{ index: string; node: string }[]> {
  const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: Node }] }>(`explain (format json) ${query}`);
  const walk = (node: Node): { index: string; node: string }[] => [
    ...(node["Index Name"] === undefined ? [] : [{ index: node["Index Name"], node: node["Node Type"] }]),
    ...(node.Plans ?? []).flatMap(walk),
  ];
  return walk(rows[0]!["QUERY PLAN"][0].Plan);
}

test("every index of the application has a query below", async () => {
  const { rows } = await client.query<{ name: string }>(
    `select c.relname as name from pg_class c join pg_index i on i.indexrelid = c.oid
     where c.relnamespace = 'public'::regnamespace and not i.indisprimary`,
  );
  expect(rows.map(({ name }) => name).sort()).toEqual(SERVED.map(([index]) => index).sort());
});

/** The documents name both; the one with more columns serves all that the other does, and the planner takes either. */
const TWINS: Readonly<Record<string, string>> = { idx_sessions_user: "idx_sessions_covering" };

test.each(SERVED)("%s serves, by one of %j: %s", async (index, nodes, query) => {
  await client.query("begin");
  const twin = TWINS[index];
  if (twin) await client.query(`drop index ${twin}`);
  const used = await indexesOf(query);
  await client.query("rollback");
  expect(used.filter((each) => each.index === index && nodes.includes(each.node))).toHaveLength(1);
});

describe("split by month", () => {
  const partitioned = SERVED.filter(([, , query]) => Object.keys(BY_MONTH).some((table) => new RegExp(`from ${table}\\b`).test(query)));

  /** What an index is on and how, without its name and its table. */
  const formOf = async (index: string): Promise<string> => {
    const { rows } = await client.query<{ form: string }>(
      "select regexp_replace(pg_get_indexdef(to_regclass($1)), '^.* USING ', '') as form",
      [index],
    );
    return rows[0]!.form;
  };

  test("all six tables are tried", () => {
    expect(partitioned.map(([index]) => index)).toEqual([
      "idx_messages_conversation",
      "idx_messages_sender",
      "idx_messages_session",
      "idx_status_updates_user",
      "idx_posts_thread",
      "idx_tvl_protocol_timestamp",
      "idx_messages_unread",
      "idx_message_history_unread",
      "idx_analytics_properties",
      "idx_messages_content_search",
      "idx_messages_created_at",
      "idx_messages_created_brin",
      "idx_analytics_date_brin",
    ]);
  });

  test.each(partitioned.filter(([index]) => !/created_at|brin/.test(index)))("each month's copy of %s serves", async (index, _, query) => {
    const used = await indexesOf(query.replace(/from (\w+)/, "from parts.$1"));
    const forms = new Set<string>();
    for (const each of used) forms.add(await formOf(`parts.${each.index}`));
    expect(forms).toEqual(new Set([await formOf(`public.${index}`)]));
    expect(used.length).toBeGreaterThanOrEqual(12);
  });

  test.each(partitioned.filter(([index]) => /created_at|brin/.test(index)))(
    "a query of May for %s reads one month",
    async (_, __, query) => {
      const { rows } = await client.query<{ "QUERY PLAN": string }>(`explain (costs off) ${query.replace(/from (\w+)/, "from parts.$1")}`);
      const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
      expect([...plan.matchAll(/on (?:parts\.)?\w+_(\d{4}_\d\d|default)\b/g)].map(([, part]) => part)).toContain("2025_05");
      expect(plan).not.toMatch(/_2025_(0[1-46-9]|1[0-2])|_default/);
    },
  );
});

describe("nearest by L2 distance", () => {
  const nearest = async (setting: string): Promise<string[]> => {
    await client.query(`begin; set local hnsw.ef_search = 200; set local ${setting}`);
    const { rows } = await client.query<{ id: string }>(
      "select id from embeddings order by embedding <-> (select embedding from embeddings where user_id = 20 and id = 120) limit 10",
    );
    await client.query("rollback");
    return rows.map(({ id }) => id);
  };

  test("the index finds the passage itself first, and at least 9 of the 10 that a full scan finds", async () => {
    const [found, exact] = [await nearest("enable_seqscan = off"), await nearest("enable_indexscan = off")];
    expect([found[0], exact[0]]).toEqual(["120", "120"]);
    expect(found.filter((id) => exact.includes(id)).length).toBeGreaterThanOrEqual(9);
  });
});

describe("materialized views", () => {
  const VIEWS = ["messages_daily", "tvl_daily", "user_posts"];

  test("name the times of their refresh, as pg_cron reads them", async () => {
    const { rows } = await client.query<{ name: string; comment: string }>(
      "select c.relname as name, obj_description(c.oid) as comment from pg_class c where c.relkind = 'm' order by c.relname",
    );
    expect(rows).toEqual([
      { name: "messages_daily", comment: "refresh: 20 3 * * *" },
      { name: "tvl_daily", comment: "refresh: 5 * * * *" },
      { name: "user_posts", comment: "refresh: */15 * * * *" },
    ]);
  });

  test("refresh without locking readers out, and then hold what the tables hold", async () => {
    await client.query(`insert into tvl_data (protocol_id, timestamp, tvl) values (9999, '2025-02-03T23:59Z', 5), (9999, '2025-02-03T00:00Z', 9), (9999, '2025-02-04T00:00Z', 7);
      insert into status_updates (user_id, created_at, content) values (9999, '2025-02-03Z', 'a');
      insert into posts (user_id, thread_id, created_at, content) values (9999, 1, '2025-02-04Z', 'b'), (9999, 1, '2025-02-02Z', 'c');
      insert into messages (user_id, conversation_id, inserted_at, message_type) values (1, 1, '2024-02-03Z', 3), (1, 1, '2024-02-03T12:00Z', 3), (2, 1, '2024-02-03Z', 3)`);
    for (const view of VIEWS) await client.query(`refresh materialized view concurrently ${view}`);
    const rows = async (sql: string) => (await client.query({ text: sql, rowMode: "array" })).rows;
    expect(await rows("select day::text, closing, lowest, highest from tvl_daily where protocol_id = 9999 order by day")).toEqual([
      ["2025-02-03", "5.00", "5.00", "9.00"],
      ["2025-02-04", "7.00", "7.00", "7.00"],
    ]);
    expect(await rows("select updates, posts, last_at = '2025-02-04Z' from user_posts where user_id = 9999")).toEqual([["1", "2", true]]);
    expect(await rows("select message_type, messages, senders from messages_daily where day = '2024-02-03'")).toEqual([[3, "3", "2"]]);
  });
});
