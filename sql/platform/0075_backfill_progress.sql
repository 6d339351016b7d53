-- Table ladder.backfill_progress: one row for each ladder.backfill: how far it is, whether it runs, waits, ended or failed.
-- Function ladder.replica_backlog: bytes of write-ahead log that the slowest connected replica has not replayed.
create table ladder.backfill_progress (
  started_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  looked_at bigint not null default 0,
  changed bigint not null default 0,
  estimated bigint,
  run integer not null default 1,
  pid integer,
  state text not null default 'running' check (state in ('running', 'waiting for replicas', 'done', 'failed')),
  relation text not null,
  assignment text not null,
  condition text not null,
  role text not null default current_user,
  last_key jsonb,
  error text,
  primary key (relation, assignment, condition)
);
alter table ladder.backfill_progress owner to ladder_admin;
grant select, insert, update on ladder.backfill_progress to app, ladder_all_tenants;
grant select on ladder.backfill_progress to ladder_monitor;
comment on column ladder.backfill_progress.looked_at is 'Rows that were looked at, in the order of the primary key';
comment on column ladder.backfill_progress.changed is 'Of those, rows that met the condition and were changed';
comment on column ladder.backfill_progress.estimated is 'Rows of the table at the start, as PostgreSQL estimates them';
comment on column ladder.backfill_progress.last_key is 'Where the next batch begins';

create function ladder.replica_backlog() returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::bigint
  from pg_stat_replication
  where state = 'streaming' and replay_lsn is not null
$$;
alter function ladder.replica_backlog() owner to ladder_admin;
revoke all on function ladder.replica_backlog() from public;
grant execute on function ladder.replica_backlog() to app, app_ro, app_rw, ladder_all_tenants, ladder_monitor;
