-- Tasks that bots carry out for users, sharded by user.
create sequence auto_tasks_id;
create table auto_tasks (
  id bigint not null default nextval('auto_tasks_id'),
  user_id bigint not null,
  session_id bigint,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  status smallint not null default 0 check (status between 0 and 7),
  priority smallint not null default 1 check (priority between 0 and 4),
  execution_mode smallint not null default 1 check (execution_mode between 0 and 2),
  risk_level smallint not null default 0 check (risk_level between 0 and 4),
  intent_type smallint not null default 0 check (intent_type between 0 and 8),
  title text not null default '' check (char_length(title) <= 200),
  primary key (user_id, id)
);
alter sequence auto_tasks_id owned by auto_tasks.id;
comment on column auto_tasks.status is
  '0 pending, 1 ready, 2 running, 3 paused, 4 waiting_approval, 5 completed, 6 failed, 7 cancelled';
comment on column auto_tasks.priority is '0 low, 1 normal, 2 high, 3 urgent, 4 critical';
comment on column auto_tasks.execution_mode is '0 manual, 1 supervised, 2 autonomous';
comment on column auto_tasks.risk_level is '0 none, 1 low, 2 medium, 3 high, 4 critical';
comment on column auto_tasks.intent_type is
  '0 unknown, 1 app_create, 2 todo, 3 monitor, 4 action, 5 schedule, 6 goal, 7 tool, 8 query';

create index idx_tasks_status on auto_tasks (status, priority) where status < 5;
