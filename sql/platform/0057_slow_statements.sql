-- View ladder.slow_statements: statements by the time they took in all. pg_stat_statements keeps no percentiles: they are those of the
-- log-normal distribution with the same mean and deviation, and never above the measured maximum.
create view ladder.slow_statements as
select
  s.queryid::text as query_id,
  r.rolname::text as "user",
  sum(s.calls)::bigint as calls,
  round(sum(s.total_exec_time)::numeric, 1) as total_ms,
  round((100 * sum(s.total_exec_time) / nullif(sum(sum(s.total_exec_time)) over (), 0))::numeric, 1) as time_percent,
  round(m.mean::numeric, 3) as mean_ms,
  round(least(m.worst, m.mean / sqrt(1 + m.spread))::numeric, 3) as p50_ms,
  round(least(m.worst, m.mean / sqrt(1 + m.spread) * exp(1.6449 * sqrt(ln(1 + m.spread))))::numeric, 3) as p95_ms,
  round(least(m.worst, m.mean / sqrt(1 + m.spread) * exp(2.3263 * sqrt(ln(1 + m.spread))))::numeric, 3) as p99_ms,
  round(m.worst::numeric, 3) as max_ms,
  round((sum(s.rows) / nullif(sum(s.calls), 0))::numeric, 1) as rows_per_call,
  round((100 * sum(s.shared_blks_hit) / nullif(sum(s.shared_blks_hit + s.shared_blks_read), 0))::numeric, 2) as hit_percent,
  sum(s.temp_blks_written)::bigint * 8192 as temporary_bytes,
  pg_catalog.left(pg_catalog.regexp_replace(min(s.query), '\s+', ' ', 'g'), 500) as query
from ladder.pg_stat_statements s
join pg_catalog.pg_roles r on r.oid = s.userid
cross join lateral (
  select s.mean_exec_time as mean, s.max_exec_time as worst,
    case when s.mean_exec_time > 0 then (s.stddev_exec_time / s.mean_exec_time) ^ 2 else 0 end as spread
) m
where s.dbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) and s.calls > 0
group by s.queryid, r.rolname, s.toplevel, m.mean, m.worst, m.spread
order by total_ms desc;
alter view ladder.slow_statements owner to ladder_admin;
grant select on ladder.slow_statements to ladder_monitor;
comment on view ladder.slow_statements is 'Statements by total time, with estimated percentiles (pg_stat_statements keeps mean, deviation and maximum)';
