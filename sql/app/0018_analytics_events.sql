-- Analytics events, sharded by user, split by month of created_at; written once, read in bulk.
create sequence analytics_events_id;
create table analytics_events (
  id bigint not null default nextval('analytics_events_id'),
  user_id bigint not null,
  tenant_id bigint not null default 0,
  created_at timestamptz not null default now(),
  event text not null check (char_length(event) between 1 and 200),
  properties jsonb not null default '{}',
  primary key (user_id, id, created_at)
);
alter sequence analytics_events_id owned by analytics_events.id;
create index idx_analytics_date_brin on analytics_events using brin (created_at);
create index idx_analytics_properties on analytics_events using gin (properties jsonb_path_ops);
