-- Functions ladder.default_partition, ladder.partition_spans, ladder.missing_spans: which times a table's partitions cover, by their real
-- bounds, whatever they are called and however long they are. Midnight is UTC's.
create function ladder.default_partition(relation regclass) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select nullif(partdefid, 0)::regclass from pg_partitioned_table where partrelid = relation
$$;
alter function ladder.default_partition(regclass) owner to ladder_admin;

create function ladder.partition_spans(relation regclass) returns table (partition regclass, span tstzrange)
language sql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
  select c.oid::regclass, tstzrange(b.bound[1]::timestamptz, b.bound[2]::timestamptz)
  from pg_partitioned_table p
  join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
  join pg_inherits i on i.inhparent = p.partrelid
  join pg_class c on c.oid = i.inhrelid
  cross join lateral regexp_match(pg_get_expr(c.relpartbound, c.oid),
    '^FOR VALUES FROM \((?:''([^'']*)''|MINVALUE)\) TO \((?:''([^'']*)''|MAXVALUE)\)$') b (bound)
  where p.partrelid = relation and p.partstrat = 'r' and p.partnatts = 1
    and a.atttypid in ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
    and b.bound is not null
$$;
alter function ladder.partition_spans(regclass) owner to ladder_admin;
comment on function ladder.partition_spans(regclass) is 'Partitions by time with what they cover; the default partition is not among them';

create function ladder.missing_spans(relation regclass, first_period timestamptz, stop timestamptz, every text) returns setof tstzrange
language sql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
  select missing
  from generate_series(first_period, stop - interval '1 microsecond', ladder.period(every)) p (start)
  cross join lateral unnest(tstzmultirange(tstzrange(p.start, p.start + ladder.period(every)))
    - coalesce((select range_agg(s.span) from ladder.partition_spans(relation) s), '{}')) missing
  order by missing
$$;
alter function ladder.missing_spans(regclass, timestamptz, timestamptz, text) owner to ladder_admin;
comment on function ladder.missing_spans(regclass, timestamptz, timestamptz, text) is
  'Whole periods without a partition, and what existing partitions leave of a period';
revoke all on function ladder.default_partition(regclass), ladder.partition_spans(regclass),
  ladder.missing_spans(regclass, timestamptz, timestamptz, text) from public;
grant execute on function ladder.default_partition(regclass), ladder.partition_spans(regclass) to ladder_monitor;
