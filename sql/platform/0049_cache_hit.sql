-- View ladder.cache_hit: how many blocks were found in shared_buffers: of the database, and of each table with its indexes.
create view ladder.cache_hit as
with counted as (
  select null::oid as root, d.blks_hit as hit, d.blks_read as read
  from pg_catalog.pg_stat_database d
  where d.datname = pg_catalog.current_database()
  union all
  select coalesce(pg_catalog.pg_partition_root(s.relid)::oid, s.relid),
    coalesce(s.heap_blks_hit, 0) + coalesce(s.idx_blks_hit, 0) + coalesce(s.toast_blks_hit, 0) + coalesce(s.tidx_blks_hit, 0),
    coalesce(s.heap_blks_read, 0) + coalesce(s.idx_blks_read, 0) + coalesce(s.toast_blks_read, 0) + coalesce(s.tidx_blks_read, 0)
  from pg_catalog.pg_statio_user_tables s
)
select
  case when k.root is null then '(database)' else pg_catalog.format('%I.%I', n.nspname, c.relname) end as "table",
  round(100.0 * sum(k.hit) / nullif(sum(k.hit + k.read), 0), 2) as hit_percent,
  sum(k.hit)::bigint as blocks_hit,
  sum(k.read)::bigint as blocks_read
from counted k
left join pg_catalog.pg_class c on c.oid = k.root
left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.root is null or c.oid is not null
group by k.root, n.nspname, c.relname
having k.root is null or sum(k.hit + k.read) > 0
order by k.root is not null, blocks_read desc;
alter view ladder.cache_hit owner to ladder_admin;
grant select on ladder.cache_hit to ladder_monitor;
comment on view ladder.cache_hit is 'Cache hit ratio of the database and of each table with its indexes';
