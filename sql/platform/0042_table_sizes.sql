-- View ladder.table_sizes: tables by their size, a partitioned one as a whole, with its rows, indexes and large values.
create view ladder.table_sizes as
with leaf as (
  select
    coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid) as root,
    c.relispartition,
    greatest(c.reltuples, 0) as rows,
    pg_catalog.pg_table_size(c.oid) as all_bytes,
    pg_catalog.pg_indexes_size(c.oid) as index_bytes,
    case when c.reltoastrelid = 0 then 0 else pg_catalog.pg_total_relation_size(c.reltoastrelid) end as toast_bytes
  from pg_catalog.pg_class c
  where c.relkind in ('r', 'm') and c.relpersistence <> 't'
)
select
  pg_catalog.format('%I.%I', n.nspname, c.relname) as "table",
  count(*) filter (where l.relispartition) as partitions,
  sum(l.rows)::bigint as rows_estimated,
  sum(l.all_bytes - l.toast_bytes)::bigint as table_bytes,
  sum(l.index_bytes)::bigint as index_bytes,
  sum(l.toast_bytes)::bigint as toast_bytes,
  sum(l.all_bytes + l.index_bytes)::bigint as total_bytes
from leaf l
join pg_catalog.pg_class c on c.oid = l.root
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
group by n.nspname, c.relname
order by total_bytes desc;
alter view ladder.table_sizes owner to ladder_admin;
grant select on ladder.table_sizes to ladder_monitor;
comment on view ladder.table_sizes is 'Tables by size, partitioned ones as a whole: rows (estimated), table, indexes, large values';
