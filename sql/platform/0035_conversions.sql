-- View ladder.conversions: the last conversion of each table: how far it is, what stands in its way, what can be done.
create view ladder.conversions as
select format('%I.%I', c.schema_name, c.table_name) as "table",
  case c.direction when 'partition' then 'partitioned' else 'whole' end as becomes,
  c.state,
  c.paused,
  case when c.state in ('copying', 'verifying') and c.rows_total > 0 then least(99, 100 * c.rows_done / c.rows_total) end as done_percent,
  case when c.rate > 0 and c.rows_total > c.rows_done and c.state in ('copying', 'verifying') and not c.paused
    then round((c.rows_total - c.rows_done) / c.rate) end as left_seconds,
  nullif(c.rows_total, 0) as "rows",
  c.started,
  c.swapped,
  coalesce(p.blocks, c.error) as problem,
  case
    when c.state = 'blocked' then p.fixes
    when c.paused then format('select ladder.resume_conversion(%L)', format('%I.%I', c.schema_name, c.table_name))
    when c.state = 'kept' then format('select ladder.finish_conversion(%1$L), or ladder.undo_conversion(%1$L)', format('%I.%I', c.schema_name, c.table_name))
    when c.state in ('failed', 'undone') then format('select ladder.resume_conversion(%L) begins again', format('%I.%I', c.schema_name, c.table_name))
    when c.state <> 'done' then format('select ladder.pause_conversion(%L)', format('%I.%I', c.schema_name, c.table_name))
  end as fix
from (select distinct on (schema_name, table_name) * from ladder.conversion order by schema_name, table_name, id desc) c
cross join lateral (
  select string_agg(format('%s: %s', f ->> 'object', f ->> 'why'), '; ') as blocks, string_agg(f ->> 'fix', '; ') as fixes
  from jsonb_array_elements(c.problems) f where c.state = 'blocked' and f ->> 'level' = 'blocks'
) p
order by c.started desc;
alter view ladder.conversions owner to ladder_admin;
grant select on ladder.conversions to ladder_monitor;
comment on view ladder.conversions is 'Tables that become partitioned or whole again: how far, what stands in the way, what can be done';
