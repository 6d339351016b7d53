/** The example application with rows in it: enough that the planner chooses by itself, with values that repeat as they do in life. */
import type { Client } from "pg";

const FILL = `
insert into users (username, email, is_active, wallet_address, created_at)
select 'user' || i, 'User' || i || '@example.org', i % 10 = 0, case when i % 5 = 0 then 'w' || i end, '2025-01-01Z'::timestamptz + i * interval '1 minute'
from generate_series(1, 10000) i;
insert into user_handles (user_id, kind, handle) select i, 0, 'user' || i from generate_series(1, 5000) i;
insert into profiles (user_id, location_lng, location_lat, interests)
select i, i % 360 - 180, i % 180 - 90, jsonb_build_array('topic' || i % 500) from generate_series(1, 10000) i;
insert into conversation_members (user_id, conversation_id) select i, i % 900 from generate_series(1, 5000) i;
insert into messages (user_id, conversation_id, inserted_at, read_at, message_type, content)
select i % 500, i % 700, '2025-01-01Z'::timestamptz + i * interval '26 minutes', case when i % 50 > 0 then now() end, i % 9, 'word' || i % 2000 || repeat(' the', 60)
from generate_series(1, 20000) i;
insert into reactions (user_id, message_id, emoji) select i % 500, i % 3000, '+' || i from generate_series(1, 6000) i;
insert into tenants (name) select 'tenant ' || i from generate_series(1, 50) i;
insert into bots (tenant_id, is_active, name) select i % 50 + 1, i % 20 = 0, 'bot' from generate_series(1, 3000) i;
insert into user_sessions (user_id, tenant_id, title, created_at)
select i % 500, i % 50, 'session ' || i, '2025-01-01Z'::timestamptz + i * interval '1 hour' from generate_series(1, 10000) i;
insert into message_history (user_id, session_id, message_index, role, created_at, is_read)
select i % 500, i % 900, i, 1, '2025-01-01Z'::timestamptz + i * interval '26 minutes', i % 50 > 0 from generate_series(1, 20000) i;
insert into auto_tasks (user_id, status, priority) select i, case when i % 50 = 0 then i / 50 % 5 else 5 end, i % 5 from generate_series(1, 10000) i;
insert into task_approvals (user_id, task_id, status, expires_at) select i, i, least(i % 20, 1), now() from generate_series(1, 5000) i;
insert into announcements (title, starts_at) select 'a' || i, '2025-01-01Z'::timestamptz + i * interval '1 hour' from generate_series(1, 3000) i;
insert into status_updates (user_id, created_at, content)
select i % 500, '2025-01-01Z'::timestamptz + i * interval '26 minutes', 'update' from generate_series(1, 20000) i;
insert into forum_threads (user_id, votes, region, title)
select i, i * 7919 % 10007, (array['US', 'EU', 'ASIA'])[i % 3 + 1], 'thread' from generate_series(1, 6000) i;
insert into posts (user_id, thread_id, created_at, content)
select i % 500, i % 900, '2025-01-01Z'::timestamptz + i * interval '26 minutes', 'post' from generate_series(1, 20000) i;
insert into analytics_events (user_id, event, created_at, properties)
select i % 500, 'e', '2025-01-01Z'::timestamptz + i * interval '26 minutes', jsonb_build_object('k', i % 1000) from generate_series(1, 20000) i;
insert into protocols (name, tvl, active) select 'p' || i, i, i % 20 = 0 from generate_series(1, 5000) i;
insert into tvl_data (protocol_id, timestamp, tvl)
select i % 200, '2025-01-01Z'::timestamptz + i * interval '26 minutes', i from generate_series(1, 20000) i;
insert into transactions (protocol_id, hash, amount) select i % 200, 'h' || i, i from generate_series(1, 10000) i;
insert into agent_memories (user_id, agent_id, role, created_at, content, tool_call_id)
select i % 200, i % 90, 1 + i % 4, '2025-01-01Z'::timestamptz + i * interval '26 minutes', 'm', case when i % 100 = 0 then 'call' || i end
from generate_series(1, 10000) i;
select setseed(0.5);
insert into embeddings (user_id, agent_id, doc_id, data_source, content, embedding)
select i % 50, i % 30, 'd' || i, 's' || i % 100, 't', array(select random() + i * 0 from generate_series(1, 384))::real[]::vector
from generate_series(1, 1000) i;
refresh materialized view tvl_daily;
refresh materialized view user_posts;
refresh materialized view messages_daily;
`;

/** Tables that become partitioned by month at stage 3, with their column of time. */
export const BY_MONTH: Readonly<Record<string, string>> = {
  messages: "inserted_at",
  message_history: "created_at",
  status_updates: "created_at",
  posts: "created_at",
  analytics_events: "created_at",
  tvl_data: "timestamp",
};

/** Fills the example application's tables. */
export async function fill(client: Client): Promise<void> {
  await client.query(FILL);
  await client.query("vacuum analyze");
}

/** In schema `parts`, the same tables split by month, with the same rows, and indexes that every month inherits. */
export async function fillParts(client: Client): Promise<void> {
  await client.query("create schema parts");
  for (const [table, time] of Object.entries(BY_MONTH))
    await client.query(`
      create table parts.${table} (like public.${table} including all) partition by range (${time});
      do $$
      declare
        month timestamptz;
      begin
        for month in select generate_series('2025-01-01Z'::timestamptz, '2025-12-01Z', interval '1 month') loop
          execute format('create table parts.${table}_%s partition of parts.${table} for values from (%L) to (%L)',
            to_char(month, 'YYYY_MM'), month, month + interval '1 month');
        end loop;
      end $$;
      create table parts.${table}_default partition of parts.${table} default;
      insert into parts.${table} select * from public.${table}`);
  await client.query(
    `vacuum analyze ${Object.keys(BY_MONTH)
      .map((table) => `parts.${table}`)
      .join(", ")}`,
  );
}
