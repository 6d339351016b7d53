-- Function ladder.create_monthly_partition: the partition of a month by hand, of any table that is partitioned by one date or time. Rows of the
-- month that are in the default partition move into it.
create function ladder.make_monthly_partition(relation regclass, month date) returns setof regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  start timestamptz := date_trunc('month', month::timestamp) at time zone 'UTC';
  partition_column name := (
    select a.attname from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    where p.partrelid = relation and p.partstrat = 'r' and p.partnatts = 1
      and a.atttypid in ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype));
begin
  if partition_column is null then
    raise wrong_object_type using message = format('%s: got %s, want a table partitioned by range of one date, timestamp or timestamptz',
      relation, coalesce('one partitioned by ' || pg_get_partkeydef(relation), 'a whole table'));
  end if;
  return query
  select ladder.make_time_partition(relation, partition_column, s)
  from ladder.missing_spans(relation, start, start + interval '1 month', 'month') s;
end $$;
alter function ladder.make_monthly_partition(regclass, date) owner to ladder_admin;

create function ladder.create_monthly_partition(relation regclass, month date) returns setof regclass
language plpgsql
as $$
declare
  path text := pg_catalog.current_setting('search_path');
begin
  return query select * from ladder.make_monthly_partition(relation, month);
  perform pg_catalog.set_config('search_path', path, false);
end $$;
alter function ladder.create_monthly_partition(regclass, date) owner to ladder_admin;
revoke all on function ladder.make_monthly_partition(regclass, date), ladder.create_monthly_partition(regclass, date) from public;
comment on function ladder.create_monthly_partition(regclass, date) is
  'Makes the month''s partition, or those that a part of the month lacks; returns what it made: nothing when the month is covered';
