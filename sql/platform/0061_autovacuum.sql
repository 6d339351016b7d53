-- Table ladder.table_option and function ladder.settle_autovacuum: tables that are declared hot or warm get their own autovacuum settings, every
-- partition of theirs too (PostgreSQL hands none down), and what was there before comes back when the declaration goes.
create table ladder.table_option (
  relation oid not null,
  option text not null,
  value text not null,
  before text,
  primary key (relation, option)
);
alter table ladder.table_option owner to ladder_admin;
grant select on ladder.table_option to ladder_monitor;
comment on table ladder.table_option is 'Storage parameters that the platform has set on the application''s tables, and their value before that';

create function ladder.settle_autovacuum(out relation text, out outcome text)
returns setof record
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  change record;
begin
  delete from ladder.table_option o where not exists (select from pg_class c where c.oid = o.relation);
  for change in
    with wanted as (
      select distinct on (c.oid, w.option) c.oid, w.option, w.value
      from ladder.declared_table d
      join (values
        ('hot', 'autovacuum_vacuum_scale_factor', '0.01'),
        ('hot', 'autovacuum_analyze_scale_factor', '0.005'),
        ('hot', 'autovacuum_vacuum_cost_delay', '2'),
        ('warm', 'autovacuum_vacuum_scale_factor', '0.02'),
        ('warm', 'autovacuum_analyze_scale_factor', '0.01')
      ) w (kind, option, value) on w.kind = d.autovacuum
      cross join lateral (
        select to_regclass(d.relation)::oid as oid union select p.relid from pg_partition_tree(to_regclass(d.relation)) p
      ) part
      join pg_class c on c.oid = part.oid and c.relkind = 'r'
    ),
    step as (
      select j.oid, j.option, j.value, j.ours, j.before, now.option_value as now
      from (
        select oid, option, w.value, o.value as ours, o.before
        from wanted w
        full join (select t.relation as oid, t.option, t.value, t.before from ladder.table_option t) o using (oid, option)
      ) j
      left join lateral (
        select p.option_value from pg_class c, pg_options_to_table(c.reloptions) p where c.oid = j.oid and p.option_name = j.option
      ) now on true
    )
    select
      s.oid,
      n.nspname,
      c.relname,
      string_agg(format('%s = %s', s.option, coalesce(s.value, s.before)), ', ' order by s.option)
        filter (where coalesce(s.value, s.before) is not null and coalesce(s.value, s.before) is distinct from s.now and (s.value is not null or s.now = s.ours)) as sets,
      string_agg(s.option, ', ' order by s.option) filter (where s.value is null and s.before is null and s.now = s.ours) as resets,
      jsonb_agg(jsonb_build_object('relation', s.oid::bigint, 'option', s.option, 'value', s.value,
        'before', case when s.ours is null then s.now else s.before end)) filter (where s.value is not null) as kept
    from step s
    join pg_class c on c.oid = s.oid
    join pg_namespace n on n.oid = c.relnamespace
    group by s.oid, n.nspname, c.relname
    having bool_or(s.value is distinct from s.ours or s.value is not null and s.value is distinct from s.now)
    order by n.nspname, c.relname
  loop
    relation := format('%I.%I', change.nspname, change.relname);
    begin
      if change.sets is not null or change.resets is not null then
        execute format('alter table %s %s', relation, concat_ws(', ', 'set (' || change.sets || ')', 'reset (' || change.resets || ')'));
      end if;
      delete from ladder.table_option o where o.relation = change.oid;
      insert into ladder.table_option (relation, option, value, before)
      select k.* from jsonb_to_recordset(change.kept) k (relation oid, option text, value text, before text);
      outcome := coalesce(concat_ws('; ', change.sets, change.resets || ' as the server has it'), 'as before');
    exception when lock_not_available or deadlock_detected then
      outcome := 'busy';
      -- The others wait no longer for tables that are just as busy.
      perform set_config('lock_timeout', '200ms', true);
    end;
    return next;
  end loop;
end $$;
alter function ladder.settle_autovacuum() owner to ladder_admin;
revoke all on function ladder.settle_autovacuum() from public;
comment on function ladder.settle_autovacuum() is
  'Applies ladder.declared_table.autovacuum (hot 0.01/0.005 and 2 ms, warm 0.02/0.01); what changed, and tables that were busy: call it again';
