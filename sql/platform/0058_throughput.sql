-- View ladder.throughput: what this database did since its statistics were reset, in all and per second.
create view ladder.throughput as
select
  round(extract(epoch from pg_catalog.clock_timestamp() - s.since))::bigint as counted_seconds,
  d.xact_commit as commits,
  d.xact_rollback as rollbacks,
  round(((d.xact_commit + d.xact_rollback) / s.seconds)::numeric, 2) as transactions_per_second,
  q.calls as statements,
  round((q.calls / greatest(extract(epoch from pg_catalog.clock_timestamp() - q.since), 1))::numeric, 2) as statements_per_second,
  d.tup_returned as rows_read,
  d.tup_inserted as rows_inserted,
  d.tup_updated as rows_updated,
  d.tup_deleted as rows_deleted,
  d.temp_bytes as temporary_bytes,
  d.deadlocks,
  d.conflicts,
  d.checksum_failures,
  round(d.blk_read_time::numeric, 1) as reading_ms,
  round(d.blk_write_time::numeric, 1) as writing_ms
from pg_catalog.pg_stat_database d
cross join lateral (
  -- Statistics that were never reset count from the start of the server's last unclean start or its making.
  select x.since, greatest(extract(epoch from pg_catalog.clock_timestamp() - x.since), 1) as seconds
  from (select greatest(d.stats_reset, b.stats_reset) as since from pg_catalog.pg_stat_bgwriter b) x
) s
cross join lateral (
  select coalesce(sum(p.calls), 0)::bigint as calls, (select i.stats_reset from ladder.pg_stat_statements_info i) as since
  from ladder.pg_stat_statements p
  where p.dbid = d.datid and p.toplevel
) q
where d.datname = pg_catalog.current_database();
alter view ladder.throughput owner to ladder_admin;
grant select on ladder.throughput to ladder_monitor;
comment on view ladder.throughput is 'Transactions and statements since the statistics were reset, in all and per second';
