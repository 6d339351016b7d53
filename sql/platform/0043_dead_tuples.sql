-- View ladder.dead_tuples: dead rows by table, a partitioned one as a whole, and when it was vacuumed and analyzed.
create view ladder.dead_tuples as
with leaf as (
  select coalesce(pg_catalog.pg_partition_root(s.relid)::oid, s.relid) as root, s.*
  from pg_catalog.pg_stat_user_tables s
)
select
  pg_catalog.format('%I.%I', n.nspname, c.relname) as "table",
  sum(l.n_live_tup)::bigint as live_rows,
  sum(l.n_dead_tup)::bigint as dead_rows,
  round(100.0 * sum(l.n_dead_tup) / nullif(sum(l.n_live_tup + l.n_dead_tup), 0), 2) as dead_percent,
  sum(l.n_mod_since_analyze)::bigint as changed_since_analyze,
  max(l.last_vacuum) as vacuumed,
  max(l.last_autovacuum) as autovacuumed,
  max(greatest(l.last_analyze, l.last_autoanalyze)) as analyzed
from leaf l
join pg_catalog.pg_class c on c.oid = l.root
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
group by n.nspname, c.relname
order by dead_rows desc;
alter view ladder.dead_tuples owner to ladder_admin;
grant select on ladder.dead_tuples to ladder_monitor;
comment on view ladder.dead_tuples is 'Dead rows by table, and when autovacuum last cleaned up';
