-- Views of the tables with SMALLINT columns that show names instead of numbers: messages_named beside messages, and so on. Each stands
-- on a function of the same rows, because a view is bound to the table it was made on: when a table becomes partitioned, or moves to
-- shards, another one takes its name. A function looks the name up each time; the planner puts its query in the view's place, so
-- indexes, pruning and the reader's own rights and row policies work as if the table was read. Applied again whenever it changes.

drop view if exists conversations_named;
drop function if exists conversations_named_rows();
create function conversations_named_rows() returns table (
  id bigint, user_id bigint, created_at timestamptz, channel text, title text
) language sql stable parallel safe as $$
  select
    id, user_id, created_at, public.channel_name(channel), title
  from public.conversations
$$;
create view conversations_named as select * from conversations_named_rows();

drop view if exists user_sessions_named;
drop function if exists user_sessions_named_rows();
create function user_sessions_named_rows() returns table (
  id bigint, user_id bigint, tenant_id bigint, bot_id bigint, created_at timestamptz, last_activity_at timestamptz,
  message_count integer, channel text, title text
) language sql stable parallel safe as $$
  select
    id, user_id, tenant_id, bot_id, created_at, last_activity_at, message_count, public.channel_name(channel), title
  from public.user_sessions
$$;
create view user_sessions_named as select * from user_sessions_named_rows();

drop view if exists messages_named;
drop function if exists messages_named_rows();
create function messages_named_rows() returns table (
  id bigint, user_id bigint, conversation_id bigint, inserted_at timestamptz, read_at timestamptz, message_type text,
  content text
) language sql stable parallel safe as $$
  select
    id, user_id, conversation_id, inserted_at, read_at, public.message_type_name(message_type), content
  from public.messages
$$;
create view messages_named as select * from messages_named_rows();

drop view if exists message_history_named;
drop function if exists message_history_named_rows();
create function message_history_named_rows() returns table (
  id bigint, user_id bigint, session_id bigint, tenant_id bigint, created_at timestamptz, message_index integer,
  role text, message_type text, sync_status text, is_read boolean, content text
) language sql stable parallel safe as $$
  select
    id, user_id, session_id, tenant_id, created_at, message_index, public.message_role_name(role),
    public.message_type_name(message_type), public.sync_status_name(sync_status), is_read, content
  from public.message_history
$$;
create view message_history_named as select * from message_history_named_rows();

drop view if exists bots_named;
drop function if exists bots_named_rows();
create function bots_named_rows() returns table (
  id bigint, tenant_id bigint, created_at timestamptz, llm_provider text, is_active boolean, name text
) language sql stable parallel safe as $$
  select
    id, tenant_id, created_at, public.llm_provider_name(llm_provider), is_active, name
  from public.bots
$$;
create view bots_named as select * from bots_named_rows();

drop view if exists auto_tasks_named;
drop function if exists auto_tasks_named_rows();
create function auto_tasks_named_rows() returns table (
  id bigint, user_id bigint, session_id bigint, created_at timestamptz, finished_at timestamptz, status text,
  priority text, execution_mode text, risk_level text, intent_type text, title text
) language sql stable parallel safe as $$
  select
    id, user_id, session_id, created_at, finished_at, public.task_status_name(status),
    public.task_priority_name(priority), public.execution_mode_name(execution_mode),
    public.risk_level_name(risk_level), public.intent_type_name(intent_type), title
  from public.auto_tasks
$$;
create view auto_tasks_named as select * from auto_tasks_named_rows();

drop view if exists task_approvals_named;
drop function if exists task_approvals_named_rows();
create function task_approvals_named_rows() returns table (
  id bigint, user_id bigint, task_id bigint, created_at timestamptz, expires_at timestamptz, decided_at timestamptz,
  status text
) language sql stable parallel safe as $$
  select
    id, user_id, task_id, created_at, expires_at, decided_at, public.approval_status_name(status)
  from public.task_approvals
$$;
create view task_approvals_named as select * from task_approvals_named_rows();

drop view if exists agent_memories_named;
drop function if exists agent_memories_named_rows();
create function agent_memories_named_rows() returns table (
  id bigint, user_id bigint, agent_id bigint, created_at timestamptz, role text, memory_type text, tool_call_id text,
  content text
) language sql stable parallel safe as $$
  select
    id, user_id, agent_id, created_at, public.message_role_name(role), public.memory_type_name(memory_type),
    tool_call_id, content
  from public.agent_memories
$$;
create view agent_memories_named as select * from agent_memories_named_rows();
