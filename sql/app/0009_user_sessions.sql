-- Sessions of users with bots, sharded by user.
create sequence user_sessions_id;
create table user_sessions (
  id bigint not null default nextval('user_sessions_id'),
  user_id bigint not null,
  tenant_id bigint not null default 0,
  bot_id bigint,
  created_at timestamptz not null default now(),
  last_activity_at timestamptz not null default now(),
  message_count integer not null default 0 check (message_count >= 0),
  channel smallint not null default 0 check (channel between 0 and 9),
  title text check (char_length(title) <= 200),
  primary key (user_id, id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.01);
alter sequence user_sessions_id owned by user_sessions.id;
comment on column user_sessions.channel is
  '0 web, 1 whatsapp, 2 telegram, 3 msteams, 4 slack, 5 email, 6 sms, 7 voice, 8 instagram, 9 api';

create index idx_sessions_user on user_sessions (user_id, created_at desc);
create index idx_sessions_tenant on user_sessions (tenant_id, created_at desc);
create index idx_sessions_covering on user_sessions (user_id, created_at desc) include (title, message_count, last_activity_at);
