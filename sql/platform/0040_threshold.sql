-- Table ladder.threshold and function ladder.level: from which value on ladder.health warns, and ladder.index_advice advises.
create table ladder.threshold (
  warning numeric not null,
  critical numeric,
  name text primary key,
  what text not null
);
alter table ladder.threshold owner to ladder_admin;
grant select on ladder.threshold to ladder_monitor;
comment on table ladder.threshold is 'Limits of ladder.health and ladder.index_advice. A critical below the warning: small values are bad';

insert into ladder.threshold (name, warning, critical, what) values
  ('connections_percent', 70, 90, 'connections in use, of max_connections'),
  ('cache_hit_percent', 99, 95, 'blocks found in shared_buffers'),
  ('cache_accesses', 100000, null, 'block accesses below which the cache hit ratio says nothing'),
  ('replication_bytes', 1048576, 104857600, 'WAL that a replica has not replayed'),
  ('replication_seconds', 30, 300, 'age of what a replica shows'),
  ('statement_p99_ms', 500, 2000, '99th percentile of one of the application''s statements'),
  ('statement_calls', 100, null, 'calls below which a statement''s percentiles say nothing'),
  ('dead_rows', 10000000, 50000000, 'dead rows of one table'),
  ('transaction_seconds', 300, 3600, 'age of a transaction'),
  ('blocked_seconds', 30, 300, 'time that a session waits for another one''s lock'),
  ('slot_bytes', 1073741824, 10737418240, 'WAL that a replication slot keeps'),
  ('transaction_ids', 1000000000, 1600000000, 'transaction or multixact numbers used since the oldest one in use; the end is at 2 billion'),
  ('sequence_percent', 70, 90, 'numbers of a sequence, or of its column''s type, that are used up'),
  ('heartbeat_seconds', 30, 300, 'age of ladder.heartbeat'),
  ('job_failing_hours', 0, 24, 'time for which a job has failed without a success'),
  ('index_unused_days', 30, null, 'days without a scan on any node after which an index counts as unused'),
  ('index_bloat_percent', 30, null, 'share of an index that a rebuild gives back'),
  ('index_bloat_bytes', 10485760, null, 'smallest space that is worth a rebuild'),
  ('seq_scan_rows', 10000, null, 'rows that a sequential scan reads on average before an index is advised'),
  ('seq_scans', 50, null, 'sequential scans before an index is advised');

create function ladder.level(name text, value numeric)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when t.critical >= t.warning and value > t.critical or t.critical < t.warning and value < t.critical then 'critical'
    when coalesce(t.critical, t.warning) >= t.warning and value > t.warning or t.critical < t.warning and value < t.warning then 'warning'
    else 'ok'
  end
  from ladder.threshold t
  where t.name = $1
$$;
alter function ladder.level(text, numeric) owner to ladder_admin;
revoke all on function ladder.level(text, numeric) from public;
grant execute on function ladder.level(text, numeric) to ladder_monitor;
comment on function ladder.level(text, numeric) is 'ok, warning or critical by ladder.threshold';
