-- Tenants: the customers whose rows are kept apart. Small, read everywhere, copied to every shard.
create sequence tenants_id;
create table tenants (
  id bigint primary key default nextval('tenants_id'),
  created_at timestamptz not null default now(),
  name text not null check (char_length(name) between 1 and 200)
);
alter sequence tenants_id owned by tenants.id;
