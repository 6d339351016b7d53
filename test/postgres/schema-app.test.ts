/** The example application's schema: exact tables, indexes and settings, and the assertions of sql/tests. Cannot prove: speed at scale. */
import { readdirSync, readFileSync } from "node:fs";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { applyMigrations } from "../../agent/migrate/index.ts";
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
});
afterAll(() => server?.stop());

test("tables, each with its primary key, all owned by app", async () => {
  const { rows } = await client.query<{ line: string }>(
    `select format('%s %s', c.relname, replace(pg_get_constraintdef(k.oid), 'PRIMARY KEY ', '')) as line
     from pg_class c left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p'
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relowner = 'app'::regrole order by c.relname`,
  );
  expect(rows.map((row) => row.line)).toEqual([
    "agent_memories (user_id, id)",
    "analytics_events (user_id, id, created_at)",
    "announcements (id)",
    "auto_tasks (user_id, id)",
    "bots (id)",
    "conversation_members (user_id, conversation_id)",
    "conversations (id)",
    "embeddings (user_id, id)",
    "feature_flags (name)",
    "forum_threads (user_id, id, region)",
    "message_history (user_id, id, created_at)",
    "messages (user_id, id, inserted_at)",
    "posts (user_id, id, created_at)",
    "profiles (user_id)",
    "protocols (id)",
    "reactions (user_id, message_id, emoji)",
    "settings (key)",
    "status_updates (user_id, id, created_at)",
    "task_approvals (user_id, id)",
    "tenants (id)",
    "transactions (protocol_id, hash)",
    'tvl_data (protocol_id, id, "timestamp")',
    "user_handles (kind, handle)",
    "user_sessions (user_id, id)",
    "users (id)",
  ]);
});

test("indexes beside the primary keys", async () => {
  const { rows } = await client.query<{ line: string }>(
    `select concat(c.relname, case when i.indisunique then ' unique' end, ' on ',
       regexp_replace(pg_get_indexdef(c.oid), '^CREATE (UNIQUE )?INDEX \\S+ ON public\\.(\\S+) USING', '\\2')) as line
     from pg_class c join pg_index i on i.indexrelid = c.oid
     where c.relnamespace = 'public'::regnamespace and not i.indisprimary order by c.relname`,
  );
  expect(rows.map((row) => row.line)).toMatchInlineSnapshot(`
    [
      "idx_active_protocols on protocols btree (id) WHERE (active = true)",
      "idx_active_users on users btree (created_at) WHERE is_active",
      "idx_analytics_date_brin on analytics_events brin (created_at)",
      "idx_analytics_properties on analytics_events gin (properties jsonb_path_ops)",
      "idx_announcements_starts on announcements btree (starts_at DESC)",
      "idx_approvals_pending on task_approvals btree (task_id, expires_at) WHERE (status = 0)",
      "idx_bots_active on bots btree (tenant_id, is_active) WHERE (is_active = true)",
      "idx_embeddings_data_source on embeddings btree (data_source)",
      "idx_embeddings_doc on embeddings btree (doc_id)",
      "idx_embeddings_l2 on embeddings hnsw (embedding vector_l2_ops)",
      "idx_embeddings_user_agent on embeddings btree (user_id, agent_id)",
      "idx_forum_threads_ranking on forum_threads btree (region, votes DESC)",
      "idx_location on profiles gist (point(location_lng, location_lat))",
      "idx_lower_email on users btree (lower(email))",
      "idx_members_conversation on conversation_members btree (conversation_id)",
      "idx_memories_agent_created on agent_memories btree (agent_id, created_at DESC)",
      "idx_memories_created on agent_memories btree (created_at)",
      "idx_memories_role_created on agent_memories btree (role, created_at DESC)",
      "idx_memories_tool_call on agent_memories btree (tool_call_id) WHERE (tool_call_id IS NOT NULL)",
      "idx_memories_user_agent on agent_memories btree (user_id, agent_id)",
      "idx_memories_user_created on agent_memories btree (user_id, created_at DESC)",
      "idx_message_history_unread on message_history btree (user_id, created_at) WHERE (is_read = false)",
      "idx_messages_content_search on messages gin (to_tsvector('english'::regconfig, content))",
      "idx_messages_conversation on messages btree (conversation_id, inserted_at DESC)",
      "idx_messages_created_at on messages brin (inserted_at)",
      "idx_messages_created_brin on message_history brin (created_at)",
      "idx_messages_daily unique on messages_daily btree (day, message_type)",
      "idx_messages_sender on messages btree (user_id, inserted_at DESC)",
      "idx_messages_session on message_history btree (session_id, message_index)",
      "idx_messages_unread on messages btree (conversation_id) WHERE (read_at IS NULL)",
      "idx_posts_thread on posts btree (thread_id, created_at)",
      "idx_profile_interests on profiles gin (interests)",
      "idx_protocols_covering on protocols btree (id, name, tvl) INCLUDE (description)",
      "idx_protocols_name on protocols btree (name)",
      "idx_reactions_message on reactions btree (message_id)",
      "idx_sessions_covering on user_sessions btree (user_id, created_at DESC) INCLUDE (title, message_count, last_activity_at)",
      "idx_sessions_tenant on user_sessions btree (tenant_id, created_at DESC)",
      "idx_sessions_user on user_sessions btree (user_id, created_at DESC)",
      "idx_status_updates_user on status_updates btree (user_id, created_at DESC)",
      "idx_tasks_status on auto_tasks btree (status, priority) WHERE (status < 5)",
      "idx_transactions_hash on transactions btree (hash)",
      "idx_tvl_daily unique on tvl_daily btree (protocol_id, day)",
      "idx_tvl_protocol_timestamp on tvl_data btree (protocol_id, "timestamp" DESC)",
      "idx_user_handles_user on user_handles btree (user_id)",
      "idx_user_posts unique on user_posts btree (user_id)",
      "idx_user_posts_active on user_posts btree (((updates + posts)) DESC)",
      "idx_users_email on users btree (email)",
      "idx_users_email_active on users btree (email) WHERE is_active",
      "idx_users_username on users btree (username)",
      "idx_users_wallet_address on users btree (wallet_address) WHERE (wallet_address IS NOT NULL)",
    ]
  `);
});

test("autovacuum of the hot and warm tables", async () => {
  const { rows } = await client.query<{ line: string }>(
    "select concat_ws(' ', relname, array_to_string(reloptions, ' ')) as line from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and reloptions is not null order by relname",
  );
  expect(rows.map((row) => row.line)).toEqual([
    "message_history autovacuum_vacuum_scale_factor=0.01 autovacuum_analyze_scale_factor=0.005 autovacuum_vacuum_cost_delay=2",
    "messages autovacuum_vacuum_scale_factor=0.05 autovacuum_analyze_scale_factor=0.02",
    "user_sessions autovacuum_vacuum_scale_factor=0.02 autovacuum_analyze_scale_factor=0.01",
  ]);
});

describe("sql/tests", () => {
  const folder = new URL("../../sql/tests/", import.meta.url);
  test.each(readdirSync(folder))("%s", async (name) => {
    await client.query("begin");
    try {
      await client.query(readFileSync(new URL(name, folder), "utf8"));
    } finally {
      await client.query("rollback");
    }
  });
});

describe("limits that later stages need", () => {
  test.each([
    [
      "a description that no index row could hold",
      "insert into protocols (name, description) values ('p', repeat('x', 1001))",
      "protocols_description_check",
    ],
    ["two users of one name", "insert into user_handles (kind, handle, user_id) values (0, 'ann', 1), (0, 'ann', 2)", "user_handles_pkey"],
    ["a share above the whole", "insert into feature_flags (name, percent) values ('f', 101)", "feature_flags_percent_check"],
    [
      "an announcement that ends before it starts",
      "insert into announcements (title, ends_at) values ('t', '2020-01-01')",
      "announcements_check",
    ],
  ])("%s is refused", async (_, sql, constraint) => {
    await expect(client.query(sql)).rejects.toMatchObject({ constraint });
  });

  test("the longest description is indexed", async () => {
    const { rows } = await client.query(
      "insert into protocols (name, description) values (repeat('n', 200), repeat('é', 500)) returning octet_length(description) as bytes",
    );
    expect(rows).toEqual([{ bytes: 1000 }]);
  });
});
