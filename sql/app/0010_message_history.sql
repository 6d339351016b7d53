-- Messages of sessions with bots, sharded by user, split by month of created_at; the hottest table for writes.
create sequence message_history_id;
create table message_history (
  id bigint not null default nextval('message_history_id'),
  user_id bigint not null,
  session_id bigint not null,
  tenant_id bigint not null default 0,
  created_at timestamptz not null default now(),
  message_index integer not null check (message_index >= 0),
  role smallint not null check (role in (1, 2, 3, 4, 9, 10)),
  message_type smallint not null default 0 check (message_type between 0 and 8),
  sync_status smallint not null default 0 check (sync_status between 0 and 4),
  is_read boolean not null default false,
  content text,
  primary key (user_id, id, created_at)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.005, autovacuum_vacuum_cost_delay = 2);
alter sequence message_history_id owned by message_history.id;
comment on column message_history.role is '1 user, 2 assistant, 3 system, 4 tool, 9 episodic, 10 compact';
comment on column message_history.message_type is
  '0 text, 1 image, 2 audio, 3 video, 4 document, 5 location, 6 contact, 7 sticker, 8 reaction';
comment on column message_history.sync_status is '0 synced, 1 pending, 2 conflict, 3 error, 4 deleted';

create index idx_messages_session on message_history (session_id, message_index);
-- Two requirement documents name an index idx_messages_unread; the other one is on messages.
create index idx_message_history_unread on message_history (user_id, created_at) where is_read = false;
create index idx_messages_created_brin on message_history using brin (created_at);
