-- Messages between users, sharded by sender (user_id), split by month of inserted_at. The largest table.
create sequence messages_id;
create table messages (
  id bigint not null default nextval('messages_id'),
  user_id bigint not null,
  conversation_id bigint not null,
  inserted_at timestamptz not null default now(),
  read_at timestamptz,
  message_type smallint not null default 0 check (message_type between 0 and 8),
  content text,
  primary key (user_id, id, inserted_at)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
alter sequence messages_id owned by messages.id;
comment on column messages.user_id is 'The sender';
comment on column messages.message_type is
  '0 text, 1 image, 2 audio, 3 video, 4 document, 5 location, 6 contact, 7 sticker, 8 reaction';

create index idx_messages_conversation on messages (conversation_id, inserted_at desc);
create index idx_messages_sender on messages (user_id, inserted_at desc);
create index idx_messages_content_search on messages using gin (to_tsvector('english', content));
create index idx_messages_unread on messages (conversation_id) where read_at is null;
create index idx_messages_created_at on messages using brin (inserted_at);
