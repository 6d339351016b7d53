-- View ladder.index_advice: indexes that are invalid, unused, double, covered by another, bloated or missing, and the SQL that helps.
create view ladder.index_advice as
with ours as (
  select
    i.indexrelid,
    i.indrelid,
    i.indisvalid,
    i.indisunique,
    i.indisunique or i.indisexclusion or i.indisreplident or i.indisclustered
      or exists (select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid) as needed,
    i.indnkeyatts,
    i.indnatts,
    c.relam,
    m.amname,
    array(
      select pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(i.indexrelid, k, false), i.indclass[k - 1], i.indcollation[k - 1], i.indoption[k - 1])
      from pg_catalog.generate_series(1, i.indnkeyatts) k
    ) as keys,
    array(select pg_catalog.pg_get_indexdef(i.indexrelid, k, false) from pg_catalog.generate_series(i.indnkeyatts + 1, i.indnatts) k) as included,
    coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), '') as predicate,
    coalesce(t.relpersistence = 'p' and t.relkind = 'p', false) as on_partitioned,
    c.relispartition as is_part,
    pg_catalog.format('%I.%I', tn.nspname, t.relname) as table_name,
    pg_catalog.format('%I.%I', n.nspname, c.relname) as index_name,
    c.relname ~ '_cc(new|old)\d*$' as left_over
  from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_am m on m.oid = c.relam
  join pg_catalog.pg_class t on t.oid = i.indrelid
  join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
  where tn.nspname <> all (array['information_schema', 'ladder', 'partman', 'cron', 'repack']) and tn.nspname !~ '^pg_'
),
used as (
  select u.* from ladder.index_usage u
),
top as (
  select o.*, u.scans, u.size_bytes, u.last_scan, u.seen_since
  from ours o
  join used u on u.index_oid = o.indexrelid
  where not o.is_part
),
droppable as (
  select t.*,
    case when t.on_partitioned then pg_catalog.format('drop index %s', t.index_name)
      else pg_catalog.format('drop index concurrently %s', t.index_name) end as fix
  from top t
  where not t.needed and t.indisvalid
),
double as (
  -- Of several that are the same the needed one stays, then the most used, then the oldest.
  select d.*, b.index_name as other
  from droppable d
  cross join lateral (
    select o.index_name
    from top o
    where o.indrelid = d.indrelid and o.indexrelid <> d.indexrelid and o.indisvalid
      and (o.relam, o.keys, o.included, o.predicate) = (d.relam, d.keys, d.included, d.predicate)
      and (o.needed, o.scans, d.indexrelid::bigint) > (d.needed, d.scans, o.indexrelid::bigint)
    order by o.needed desc, o.scans desc, o.indexrelid
    limit 1
  ) b
),
covered as (
  select d.*, b.index_name as other
  from droppable d
  cross join lateral (
    select o.index_name
    from top o
    where o.indrelid = d.indrelid and o.indisvalid and o.amname = 'btree' and d.amname = 'btree'
      and o.predicate = d.predicate and o.indnkeyatts > d.indnkeyatts and o.keys[1:d.indnkeyatts] = d.keys
      and d.included <@ (o.included || array(select pg_catalog.pg_get_indexdef(o.indexrelid, k, false) from pg_catalog.generate_series(1, o.indnkeyatts) k))
    order by o.needed desc, o.size_bytes
    limit 1
  ) b
),
limits as (
  select pg_catalog.jsonb_object_agg(name, warning) as of from ladder.threshold
),
advice as (
  select 1 as rank, 'invalid' as advice, o.table_name, o.index_name, pg_catalog.pg_relation_size(o.indexrelid) as size_bytes,
    case when o.left_over then 'left behind by a REINDEX CONCURRENTLY that was cut off'
      else 'its CREATE INDEX CONCURRENTLY was cut off, or it has not been attached to all partitions: no query uses it' end as reason,
    pg_catalog.format(case when o.left_over then 'drop index concurrently %s' else 'reindex index concurrently %s' end, o.index_name) as fix
  from ours o
  where not o.indisvalid and not o.on_partitioned
    and not exists (select from pg_catalog.pg_stat_progress_create_index p where p.relid = o.indrelid)
  union all
  select 2, 'duplicate', d.table_name, d.index_name, d.size_bytes, pg_catalog.format('the same as %s', d.other), d.fix
  from double d
  union all
  select 3, 'redundant', d.table_name, d.index_name, d.size_bytes, pg_catalog.format('%s begins with the same columns', d.other), d.fix
  from covered d
  where d.indexrelid not in (select indexrelid from double)
  union all
  select 4, 'unused', d.table_name, d.index_name, d.size_bytes,
    pg_catalog.format('%s, watched on every node since %s', coalesce('last scan ' || d.last_scan::date, 'never scanned'), d.seen_since::date), d.fix
  from droppable d
  cross join limits l
  where d.indexrelid not in (select indexrelid from double union all select indexrelid from covered)
    and d.seen_since < pg_catalog.now() - pg_catalog.make_interval(days => (l.of ->> 'index_unused_days')::integer)
    and (d.last_scan is null or d.last_scan < pg_catalog.now() - pg_catalog.make_interval(days => (l.of ->> 'index_unused_days')::integer))
  union all
  select 5, 'bloated', o.table_name, o.index_name, b.size_bytes,
    pg_catalog.format('a rebuild gives back %s of %s (%s %%), measured %s', pg_catalog.pg_size_pretty(b.wasted_bytes),
      pg_catalog.pg_size_pretty(b.size_bytes), b.bloat_percent, b.measured::date),
    pg_catalog.format('reindex index concurrently %s', o.index_name)
  from ours o
  join ladder.bloat b on b.relation_oid = o.indexrelid
  cross join limits l
  where o.indisvalid and b.bloat_percent >= (l.of ->> 'index_bloat_percent')::numeric and b.wasted_bytes >= (l.of ->> 'index_bloat_bytes')::numeric
  union all
  select 6, 'missing', s."table", null, s.table_bytes,
    pg_catalog.format('%s sequential scans read %s rows each%s', s.scans, s.rows_per_scan,
      coalesce('; most time: ' || pg_catalog.left(pg_catalog.regexp_replace(q.query, '\s+', ' ', 'g'), 200), '')),
    pg_catalog.format('create index concurrently on %s (…)', s."table")
  from ladder.sequential_scans s
  cross join limits l
  left join lateral (
    select p.query
    from ladder.pg_stat_statements p
    where p.dbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
      and p.query ~* ('\m' || pg_catalog.regexp_replace(pg_catalog.split_part(s."table", '.', 2), '\W', '.', 'g') || '\M')
      and p.query ~* '\mwhere\M' and p.query !~* '^\s*(create|alter|copy|explain|refresh|call)\M'
    order by p.total_exec_time desc
    limit 1
  ) q on true
  where s.scans >= (l.of ->> 'seq_scans')::numeric and s.rows_per_scan >= (l.of ->> 'seq_scan_rows')::numeric
    and s."table" !~ '^(ladder|partman|cron|repack)\.'
  union all
  select 6, 'missing', pg_catalog.format('%I.%I', n.nspname, t.relname), null, pg_catalog.pg_table_size(t.oid),
    pg_catalog.format('foreign key %I has no index: deleting a row of %s reads the whole table', k.conname, k.confrelid::regclass),
    pg_catalog.format('create index %son %I.%I (%s)', case when t.relkind = 'p' then '' else 'concurrently ' end, n.nspname, t.relname,
      (select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by o.position)
       from pg_catalog.unnest(k.conkey) with ordinality o (number, position)
       join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = o.number))
  from pg_catalog.pg_constraint k
  join pg_catalog.pg_class t on t.oid = k.conrelid
  join pg_catalog.pg_namespace n on n.oid = t.relnamespace
  cross join limits l
  where k.contype = 'f' and k.conparentid = 0 and n.nspname <> 'ladder'
    and t.reltuples >= (l.of ->> 'seq_scan_rows')::numeric
    and not exists (
      select from pg_catalog.pg_index i
      where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null
        and (select pg_catalog.array_agg(x order by x) from pg_catalog.unnest((i.indkey::smallint[])[0:pg_catalog.cardinality(k.conkey) - 1]) x)
          = (select pg_catalog.array_agg(x order by x) from pg_catalog.unnest(k.conkey) x)
    )
)
select a.advice, a.table_name as "table", a.index_name as "index", a.size_bytes, a.reason, a.fix
from advice a
order by a.rank, a.size_bytes desc, a.index_name;
alter view ladder.index_advice owner to ladder_admin;
grant select on ladder.index_advice to ladder_monitor;
comment on view ladder.index_advice is 'Indexes that are invalid, duplicate, redundant, unused, bloated or missing, each with the SQL that helps';
