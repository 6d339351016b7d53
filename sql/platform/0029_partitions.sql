-- Views ladder.partitions and ladder.partition_problems: the partitions of all tables, and what is wrong with their upkeep.
create function ladder.rows_in_default(partition regclass) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  counted bigint;
begin
  if exists (select from pg_partitioned_table p join pg_class c on c.oid = p.partdefid where c.oid = partition and c.relkind = 'r') then
    execute format('select count(*) from (select from only %s limit 10001) held', partition) into counted;
  end if;
  return counted;
end $$;
alter function ladder.rows_in_default(regclass) owner to ladder_admin;
revoke all on function ladder.rows_in_default(regclass) from public;
grant execute on function ladder.rows_in_default(regclass) to ladder_monitor;
comment on function ladder.rows_in_default(regclass) is 'Rows of a default partition, counted up to 10,001; null for any other table';

create view ladder.partitions as
select
  format('%I.%I', n.nspname, t.relname) as "table",
  format('%I.%I', m.nspname, c.relname) as partition,
  pg_get_expr(c.relpartbound, c.oid) as bounds,
  case when c.relkind = 'r' then greatest(c.reltuples, 0)::bigint end as rows_estimated,
  (select sum(pg_total_relation_size(relid))::bigint from pg_partition_tree(c.oid)) as total_bytes,
  c.oid = p.partdefid as is_default,
  ladder.rows_in_default(c.oid) as rows_in_default,
  ahead.until as ahead_until,
  case when isfinite(upper(s.span)) then upper(s.span) + (k.declared).keep end as detached_from
from pg_partitioned_table p
join pg_class t on t.oid = p.partrelid
join pg_namespace n on n.oid = t.relnamespace
join pg_inherits i on i.inhparent = p.partrelid
join pg_class c on c.oid = i.inhrelid
join pg_namespace m on m.oid = c.relnamespace
left join lateral (
  select upper(covered) as until
  from (select unnest(range_agg(a.span)) as covered from ladder.partition_spans(p.partrelid) a) r
  where covered @> now()) ahead on true
left join ladder.partition_spans(p.partrelid) s on s.partition = c.oid
left join ladder.kept_table k on k.relation = p.partrelid
order by "table", is_default, s.span, partition;
alter view ladder.partitions owner to ladder_admin;
grant select on ladder.partitions to ladder_monitor;
comment on view ladder.partitions is
  'Partitions: bounds, rows, size, rows held by the default one (counted up to 10,001), how far ahead the table reaches, when age detaches it';

create view ladder.partition_problems as
with kept as (
  select (k.declared).*, p.partrelid, p.partdefid, ladder.period((k.declared).every) as period,
    date_trunc((k.declared).every, now(), 'UTC') as this_period,
    (select max(upper(r)) from (select unnest(range_agg(a.span)) r from ladder.partition_spans(p.partrelid) a) c where r @> now()) as ahead_until
  from ladder.kept_table k
  join pg_partitioned_table p on p.partrelid = k.relation
  where ladder.declared_misfit(k.declared) is null
)
select k.relation as object, 'warning' as level,
  'rows in its default partition: ' || case when h.held > 10000 then 'more than 10000' else h.held::text end as problem,
  format('call ladder.maintain_partitions(%L)', k.relation) as fix
from kept k cross join lateral (select ladder.rows_in_default(k.partdefid) as held) h
where k.kind = 'range' and h.held > 0
union all
select k.relation,
  case when k.ahead_until is null or k.ahead > 1 and k.ahead_until <= k.this_period + k.period then 'critical' else 'warning' end,
  case when k.ahead_until is null then 'no partition for now: rows go into the default partition'
    else format('partitions reach until %s, want %s %ss ahead', k.ahead_until, k.ahead, k.every) end,
  format('call ladder.maintain_partitions(%L)', k.relation)
from kept k
where k.kind = 'range' and (k.ahead_until is null or k.ahead_until < k.this_period + k.ahead * k.period)
union all
select k.relation, case when k.failing_since < now() - interval '1 day' then 'critical' else 'warning' end,
  format('upkeep fails since %s: %s', date_trunc('second', k.failing_since), k.upkeep_error),
  format('see ladder.partition_event, remove the cause, call ladder.maintain_partitions(%L)', k.relation)
from kept k
where k.failing_since is not null
union all
select k.relation, case when coalesce(k.upkept_at, '-infinity') < now() - interval '1 day' then 'critical' else 'warning' end,
  case when k.upkept_at is null then 'no upkeep has run yet' else format('the last upkeep ended at %s', date_trunc('second', k.upkept_at)) end,
  'the job ladder-partitions of pg_cron runs every hour: see cron.job and cron.job_run_details'
from kept k
where k.failing_since is null and coalesce(k.upkept_at, '-infinity') < now() - interval '3 hours'
union all
select (k.declared).relation, 'warning', m.misfit, 'declare the table as it is, or set plain: true and declare it anew after that'
from ladder.kept_table k cross join lateral ladder.declared_misfit(k.declared) m (misfit)
where m.misfit is not null;
alter view ladder.partition_problems owner to ladder_admin;
grant select on ladder.partition_problems to ladder_monitor;
comment on view ladder.partition_problems is 'Partitions that need a look: rows in default partitions, too few ahead, upkeep that fails or does not run';
