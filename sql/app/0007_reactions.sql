-- Reactions to messages, sharded by who reacts.
create table reactions (
  user_id bigint not null,
  message_id bigint not null,
  created_at timestamptz not null default now(),
  emoji text not null check (char_length(emoji) between 1 and 32),
  primary key (user_id, message_id, emoji)
);
create index idx_reactions_message on reactions (message_id);
