-- Status updates of users (a time line), sharded by user, split by month of created_at.
create sequence status_updates_id;
create table status_updates (
  id bigint not null default nextval('status_updates_id'),
  user_id bigint not null,
  created_at timestamptz not null default now(),
  content text not null,
  primary key (user_id, id, created_at)
);
alter sequence status_updates_id owned by status_updates.id;
create index idx_status_updates_user on status_updates (user_id, created_at desc);
