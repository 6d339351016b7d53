-- Names that only one user may have, and whose they are. A unique index cannot span shards, so uniqueness has a table of its own that is
-- not sharded by user; it also finds the user, and so the shard, at log-in.
create table user_handles (
  user_id bigint not null,
  kind smallint not null check (kind between 0 and 2),
  handle text not null check (char_length(handle) between 1 and 320),
  primary key (kind, handle)
);
comment on column user_handles.kind is '0 user name, 1 e-mail in lower case, 2 wallet address';
create index idx_user_handles_user on user_handles (user_id);
