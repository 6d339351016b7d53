-- View ladder.sequential_scans: how often each table is read from end to end, and how many rows that takes.
create view ladder.sequential_scans as
with leaf as (
  select coalesce(pg_catalog.pg_partition_root(s.relid)::oid, s.relid) as root, pg_catalog.pg_relation_size(s.relid) as bytes, s.*
  from pg_catalog.pg_stat_user_tables s
)
select
  pg_catalog.format('%I.%I', n.nspname, c.relname) as "table",
  sum(l.seq_scan)::bigint as scans,
  sum(l.seq_tup_read)::bigint as rows_read,
  round(sum(l.seq_tup_read) / nullif(sum(l.seq_scan), 0))::bigint as rows_per_scan,
  sum(coalesce(l.idx_scan, 0))::bigint as index_scans,
  sum(coalesce(l.idx_tup_fetch, 0))::bigint as index_rows_read,
  sum(l.bytes)::bigint as table_bytes,
  max(l.last_seq_scan) as last_scan
from leaf l
join pg_catalog.pg_class c on c.oid = l.root
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
group by n.nspname, c.relname
order by rows_read desc;
alter view ladder.sequential_scans owner to ladder_admin;
grant select on ladder.sequential_scans to ladder_monitor;
comment on view ladder.sequential_scans is 'Sequential scans by table: how many, and how many rows they read';
