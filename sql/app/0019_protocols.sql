-- Protocols whose value is followed. Small, copied to every shard. The covering index carries the description, and an index row must
-- stay under a third of a page: hence its limit.
create sequence protocols_id;
create table protocols (
  id bigint primary key default nextval('protocols_id'),
  active boolean not null default true,
  name text not null check (char_length(name) between 1 and 200),
  tvl numeric(38, 2) not null default 0,
  description text not null default '' check (octet_length(description) <= 1000)
);
alter sequence protocols_id owned by protocols.id;

create index idx_protocols_name on protocols (name);
create index idx_active_protocols on protocols (id) where active = true;
create index idx_protocols_covering on protocols (id, name, tvl) include (description);
