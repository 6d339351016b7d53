-- Settings of the whole system: a global table, the same on every shard.
create table settings (
  updated_at timestamptz not null default now(),
  key text primary key check (char_length(key) between 1 and 200),
  value jsonb not null
);
