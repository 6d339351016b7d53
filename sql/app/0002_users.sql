-- Users, sharded by their id. Here and below: ids come from explicit sequences, because an identity restarts when a table is
-- distributed; every key contains the shard key and, in tables that will be split by month, the time, so that no climb has to change
-- a key; no foreign key joins sharded tables, because none works behind the gateway or into a partitioned table.
create sequence users_id;
create table users (
  id bigint primary key default nextval('users_id'),
  tenant_id bigint not null default 0,
  created_at timestamptz not null default now(),
  last_seen_at timestamptz,
  is_active boolean not null default true,
  username text not null check (char_length(username) between 1 and 100),
  email text not null check (char_length(email) between 3 and 320),
  wallet_address text check (char_length(wallet_address) <= 128)
);
alter sequence users_id owned by users.id;

create index idx_users_username on users (username);
create index idx_users_email on users (email);
create index idx_users_wallet_address on users (wallet_address) where wallet_address is not null;
create index idx_users_email_active on users (email) where is_active;
create index idx_active_users on users (created_at) where is_active;
create index idx_lower_email on users (lower(email));
