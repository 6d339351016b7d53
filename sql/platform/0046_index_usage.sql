-- View ladder.index_usage: how often each index is used, one on a partitioned table as a whole.
create view ladder.index_usage as
with leaf as (
  select
    coalesce(pg_catalog.pg_partition_root(s.indexrelid)::oid, s.indexrelid) as root,
    s.*,
    c.relispartition,
    pg_catalog.pg_relation_size(s.indexrelid) as bytes,
    (select max(u.last_scan) from ladder.index_use u where u.index = s.indexrelid) as noted_scan,
    (select min(u.first_seen) from ladder.index_use u where u.index = s.indexrelid) as first_seen
  from pg_catalog.pg_stat_user_indexes s
  join pg_catalog.pg_class c on c.oid = s.indexrelid
)
select
  l.root as index_oid,
  i.indrelid as table_oid,
  pg_catalog.format('%I.%I', tn.nspname, t.relname) as "table",
  pg_catalog.format('%I.%I', n.nspname, c.relname) as "index",
  count(*) filter (where l.relispartition) as partitions,
  sum(l.idx_scan)::bigint as scans,
  sum(l.idx_tup_read)::bigint as entries_read,
  sum(l.idx_tup_fetch)::bigint as rows_fetched,
  sum(l.bytes)::bigint as size_bytes,
  max(greatest(l.last_idx_scan, l.noted_scan)) as last_scan,
  min(l.first_seen) as seen_since
from leaf l
join pg_catalog.pg_index i on i.indexrelid = l.root
join pg_catalog.pg_class c on c.oid = l.root
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class t on t.oid = i.indrelid
join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
group by l.root, i.indrelid, tn.nspname, t.relname, n.nspname, c.relname
order by scans desc;
alter view ladder.index_usage owner to ladder_admin;
grant select on ladder.index_usage to ladder_monitor;
comment on view ladder.index_usage is 'Scans of each index on this node; last_scan is that of any node';
comment on column ladder.index_usage.seen_since is 'Since when ladder.index_use watches the index; null: not yet';
