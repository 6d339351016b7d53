-- View ladder.progress: how far vacuums, index builds, analyzes, rewrites, copies and base backups are.
create view ladder.progress as
select p.pid, p.kind, case when c.oid is null then null else pg_catalog.format('%I.%I', n.nspname, c.relname) end as "table", p.phase,
  round(100.0 * p.done / nullif(p.total, 0), 1) as done_percent,
  round(extract(epoch from pg_catalog.clock_timestamp() - a.query_start))::bigint as running_seconds
from (
  select pid, 'vacuum' as kind, relid, phase, heap_blks_vacuumed as done, heap_blks_total as total from pg_catalog.pg_stat_progress_vacuum
  union all
  select pid, pg_catalog.lower(command), relid, phase, blocks_done, blocks_total from pg_catalog.pg_stat_progress_create_index
  union all
  select pid, 'analyze', relid, phase, sample_blks_scanned, sample_blks_total from pg_catalog.pg_stat_progress_analyze
  union all
  select pid, pg_catalog.lower(command), relid, phase, heap_blks_scanned, heap_blks_total from pg_catalog.pg_stat_progress_cluster
  union all
  select pid, pg_catalog.lower(command), relid, type, bytes_processed, bytes_total from pg_catalog.pg_stat_progress_copy
  union all
  select pid, 'base backup', null, phase, backup_streamed, backup_total from pg_catalog.pg_stat_progress_basebackup
) p
left join pg_catalog.pg_stat_activity a on a.pid = p.pid
left join pg_catalog.pg_class c on c.oid = p.relid
left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by running_seconds desc nulls last;
alter view ladder.progress owner to ladder_admin;
grant select on ladder.progress to ladder_monitor;
comment on view ladder.progress is 'How far vacuums, index builds, analyzes, rewrites, copies and base backups are';
