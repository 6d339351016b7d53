-- Each kind of index serves the query it is there for. Rolled back by the caller.
create function pg_temp.serves(index_name text, node text, query text) returns void language plpgsql as $$
declare
  plan jsonb;
begin
  execute 'explain (format json) ' || query into plan;
  assert jsonb_path_exists(plan, '$.** ? (@."Index Name" == $index && @."Node Type" == $node)',
    jsonb_build_object('index', index_name, 'node', node)), format('%s does not serve %s: %s', index_name, query, plan);
end $$;

insert into users (username, email, is_active, wallet_address)
select 'user' || i, 'User' || i || '@example.org', i % 10 = 0, case when i % 5 = 0 then 'w' || i end from generate_series(1, 2000) i;
insert into profiles (user_id, location_lng, location_lat, interests)
select i, i % 360 - 180, i % 180 - 90, jsonb_build_array('topic' || i % 50) from generate_series(1, 2000) i;
insert into messages (user_id, conversation_id, inserted_at, read_at, content)
select i % 100, i % 50, '2025-01-01'::timestamptz + i * interval '1 hour', case when i % 20 > 0 then now() end, 'word' || i % 500
from generate_series(1, 5000) i;
insert into user_sessions (user_id, tenant_id, title) select i % 100, i % 10, 'session ' || i from generate_series(1, 2000) i;
insert into message_history (user_id, session_id, message_index, role, created_at, is_read)
select i % 100, i % 50, i, 1, '2025-01-01'::timestamptz + i * interval '1 hour', i % 20 > 0 from generate_series(1, 5000) i;
insert into auto_tasks (user_id, status, priority) select i, case when i % 10 = 0 then i % 5 else 5 end, i % 5 from generate_series(1, 2000) i;
insert into task_approvals (user_id, task_id, status, expires_at) select i, i, least(i % 20, 1), now() from generate_series(1, 2000) i;
insert into tenants (name) select 'tenant ' || i from generate_series(1, 10) i;
insert into bots (tenant_id, is_active, name) select i % 10 + 1, i % 10 = 0, 'bot' from generate_series(1, 500) i;
insert into protocols (name, tvl, active) select 'p' || i, i, i % 10 = 0 from generate_series(1, 1000) i;
insert into tvl_data (protocol_id, timestamp, tvl) select i % 20, '2025-01-01'::timestamptz + i * interval '1 hour', i from generate_series(1, 5000) i;
insert into transactions (protocol_id, hash, amount) select i % 20, 'h' || i, i from generate_series(1, 2000) i;
insert into analytics_events (user_id, event, created_at, properties)
select i % 100, 'e', '2025-01-01'::timestamptz + i * interval '1 hour', jsonb_build_object('k', i % 100) from generate_series(1, 20000) i;
insert into agent_memories (user_id, agent_id, role, created_at, content)
select i % 100, i % 7, 1 + i % 4, '2025-01-01'::timestamptz + i * interval '1 hour', 'm' from generate_series(1, 2000) i;
insert into embeddings (user_id, agent_id, doc_id, data_source, content, embedding)
select i % 10, i % 3, 'd' || i, 's' || i % 20, 't', array_fill((i % 97)::real, array[384])::vector from generate_series(1, 300) i;
analyze;
set local enable_seqscan = off;
set local enable_sort = off;
set local enable_incremental_sort = off;

-- B-tree, composite
select pg_temp.serves('idx_messages_conversation', 'Index Scan', $$select * from messages where conversation_id = 7 order by inserted_at desc limit 50$$);
select pg_temp.serves('idx_messages_sender', 'Index Scan', $$select * from messages where user_id = 7 order by inserted_at desc limit 50$$);
select pg_temp.serves('idx_messages_session', 'Index Scan', $$select * from message_history where session_id = 7 order by message_index limit 20$$);
select pg_temp.serves('idx_sessions_tenant', 'Index Scan', $$select * from user_sessions where tenant_id = 7 order by created_at desc limit 20$$);
select pg_temp.serves('idx_tvl_protocol_timestamp', 'Index Scan', $$select * from tvl_data where protocol_id = 7 order by timestamp desc limit 20$$);
select pg_temp.serves('idx_users_username', 'Index Scan', $$select * from users where username = 'user7'$$);
select pg_temp.serves('idx_transactions_hash', 'Index Scan', $$select * from transactions where hash = 'h7'$$);
select pg_temp.serves('idx_protocols_name', 'Index Scan', $$select * from protocols where name = 'p7'$$);
select pg_temp.serves('idx_memories_agent_created', 'Index Scan', $$select * from agent_memories where agent_id = 3 order by created_at desc limit 20$$);
-- Partial
select pg_temp.serves('idx_messages_unread', 'Bitmap Index Scan', $$select conversation_id, count(*) from messages where read_at is null and conversation_id between 3 and 4 group by 1$$);
select pg_temp.serves('idx_message_history_unread', 'Index Scan', $$select * from message_history where user_id = 20 and is_read = false order by created_at$$);
select pg_temp.serves('idx_tasks_status', 'Index Scan', $$select * from auto_tasks where status < 5 order by status, priority limit 10$$);
select pg_temp.serves('idx_approvals_pending', 'Index Scan', $$select * from task_approvals where task_id = 40 and status = 0$$);
select pg_temp.serves('idx_bots_active', 'Bitmap Index Scan', $$select * from bots where tenant_id = 1 and is_active = true$$);
select pg_temp.serves('idx_users_wallet_address', 'Index Scan', $$select * from users where wallet_address = 'w5'$$);
-- Covering
select pg_temp.serves('idx_sessions_covering', 'Index Only Scan', $$select title, message_count, last_activity_at from user_sessions where user_id = 7 order by created_at desc$$);
select pg_temp.serves('idx_protocols_covering', 'Index Only Scan', $$select id, name, tvl, description from protocols where id between 5 and 9 order by id, name$$);
select pg_temp.serves('idx_active_protocols', 'Index Only Scan', $$select id from protocols where active = true order by id$$);
-- Expression
select pg_temp.serves('idx_lower_email', 'Index Scan', $$select * from users where lower(email) = 'user7@example.org'$$);
-- GIN: jsonb and full text
select pg_temp.serves('idx_profile_interests', 'Bitmap Index Scan', $$select * from profiles where interests ? 'topic7'$$);
select pg_temp.serves('idx_analytics_properties', 'Bitmap Index Scan', $$select * from analytics_events where properties @> '{"k": 7}'$$);
select pg_temp.serves('idx_messages_content_search', 'Bitmap Index Scan', $$select * from messages where to_tsvector('english', content) @@ to_tsquery('english', 'word7')$$);
-- GiST
select pg_temp.serves('idx_location', 'Index Scan', $$select * from profiles order by point(location_lng, location_lat) <-> point(2, 48) limit 5$$);
-- BRIN
select pg_temp.serves('idx_analytics_date_brin', 'Bitmap Index Scan', $$select * from analytics_events where created_at between '2025-03-01' and '2025-03-02'$$);
select pg_temp.serves('idx_messages_created_brin', 'Bitmap Index Scan', $$select * from message_history where created_at between '2025-03-01' and '2025-03-02'$$);
select pg_temp.serves('idx_messages_created_at', 'Bitmap Index Scan', $$select * from messages where inserted_at between '2025-03-01' and '2025-03-02'$$);
-- L2 distance
select pg_temp.serves('idx_embeddings_l2', 'Index Scan', format('select * from embeddings order by embedding <-> %L limit 5', array_fill(3::real, array[384])::vector));
