-- Transactions of protocols, sharded by protocol_id. A hash names one transaction; behind shards no index can hold that alone, so it is
-- part of the key.
create table transactions (
  protocol_id bigint not null,
  user_id bigint,
  created_at timestamptz not null default now(),
  amount numeric(38, 18) not null,
  hash text not null check (char_length(hash) between 1 and 128),
  primary key (protocol_id, hash)
);
create index idx_transactions_hash on transactions (hash);
