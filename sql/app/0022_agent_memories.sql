-- What agents remember of their users, sharded by user. No index on user_id or agent_id or role alone: the composite ones begin with them.
create sequence agent_memories_id;
create table agent_memories (
  id bigint not null default nextval('agent_memories_id'),
  user_id bigint not null,
  agent_id bigint not null,
  created_at timestamptz not null default now(),
  role smallint not null check (role in (1, 2, 3, 4, 9, 10)),
  memory_type smallint not null default 0 check (memory_type between 0 and 4),
  tool_call_id text check (char_length(tool_call_id) <= 200),
  content text not null,
  primary key (user_id, id)
);
alter sequence agent_memories_id owned by agent_memories.id;
comment on column agent_memories.role is '1 user, 2 assistant, 3 system, 4 tool, 9 episodic, 10 compact';
comment on column agent_memories.memory_type is '0 short, 1 long, 2 episodic, 3 semantic, 4 procedural';

create index idx_memories_user_agent on agent_memories (user_id, agent_id);
create index idx_memories_user_created on agent_memories (user_id, created_at desc);
create index idx_memories_agent_created on agent_memories (agent_id, created_at desc);
create index idx_memories_role_created on agent_memories (role, created_at desc);
create index idx_memories_created on agent_memories (created_at);
create index idx_memories_tool_call on agent_memories (tool_call_id) where tool_call_id is not null;
