-- Conversations, sharded by their own id, and who takes part. A membership lives with its user: "my conversations" asks one shard.
create sequence conversations_id;
create table conversations (
  id bigint primary key default nextval('conversations_id'),
  user_id bigint not null,
  created_at timestamptz not null default now(),
  channel smallint not null default 0 check (channel between 0 and 9),
  title text check (char_length(title) <= 200)
);
alter sequence conversations_id owned by conversations.id;
comment on column conversations.user_id is 'Who opened it';
comment on column conversations.channel is
  '0 web, 1 whatsapp, 2 telegram, 3 msteams, 4 slack, 5 email, 6 sms, 7 voice, 8 instagram, 9 api';

create table conversation_members (
  user_id bigint not null,
  conversation_id bigint not null,
  joined_at timestamptz not null default now(),
  last_read_at timestamptz,
  primary key (user_id, conversation_id)
);
create index idx_members_conversation on conversation_members (conversation_id);
