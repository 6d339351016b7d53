-- Procedure ladder.maintain_partitions: keeps all declared partitioned tables, in small transactions, and the job that calls it every hour.
-- Rows of the default partition that belong to a time: one period of them becomes a partition; null when there are none.
create function ladder.drain_default_partition(declared ladder.declared_table) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  relation regclass := declared.relation;
  first timestamptz;
  start timestamptz;
begin
  execute format('select min(%1$I)::timestamptz from only %2$s where %1$I > %3$L and %1$I < %4$L',
    declared.partition_column, ladder.default_partition(relation), '-infinity', 'infinity') into first;
  start := date_trunc(declared.every, first);
  return ladder.make_time_partition(relation, declared.partition_column, s)
  from ladder.missing_spans(relation, start, start + ladder.period(declared.every), declared.every) s
  where s @> first;
end $$;
alter function ladder.drain_default_partition(ladder.declared_table) owner to ladder_admin;

-- Detaches the oldest partition of which every row has reached the age; its name is kept free for rows of that time that still come.
create function ladder.detach_old_partition(declared ladder.declared_table) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
  relation regclass := declared.relation;
  old regclass;
  bounds text;
  was text;
  new_name text;
begin
  select s.partition, pg_get_expr(c.relpartbound, c.oid), s.partition::text,
    format('%s_detached_%s', left(c.relname, 38), to_char(clock_timestamp(), 'YYYYMMDDHH24MISS'))
  into old, bounds, was, new_name
  from ladder.partition_spans(relation) s join pg_class c on c.oid = s.partition
  where upper(s.span) <= now() - declared.keep
  order by s.span
  limit 1;
  if not found then
    return null;
  end if;
  execute format('alter table %s detach partition %s', relation, old);
  execute format('alter table %s rename to %I', old, new_name);
  insert into ladder.detached_partition (partition, was, relation, bounds)
  select format('%I.%I', n.nspname, c.relname), was, declared.relation, bounds
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = old;
  perform ladder.note_partition_event('detached', relation::text, was, format('%s, now %s', bounds, old));
  return was;
end $$;
alter function ladder.detach_old_partition(ladder.declared_table) owner to ladder_admin;

-- Drops one detached partition that has waited long enough. One that was dropped, renamed or attached by hand is no longer ours.
create function ladder.drop_detached_partition(declared ladder.declared_table) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
  due ladder.detached_partition;
begin
  delete from ladder.detached_partition d
  where d.relation = declared.relation and not exists (
    select from pg_class c where c.oid = to_regclass(d.partition) and c.relkind in ('r', 'p') and not c.relispartition);
  select * into due from ladder.detached_partition d
  where d.relation = declared.relation and d.detached_at <= now() - declared.detached_for
  order by d.detached_at, d.partition
  limit 1;
  if not found then
    return null;
  end if;
  execute format('drop table %s', due.partition);
  delete from ladder.detached_partition d where d.partition = due.partition;
  perform ladder.note_partition_event('dropped', declared.relation::regclass::text, due.was, due.bounds);
  return due.partition;
end $$;
alter function ladder.drop_detached_partition(ladder.declared_table) owner to ladder_admin;

-- One step of the upkeep of one table: null when nothing is left to do.
create function ladder.upkeep_step(declared ladder.declared_table) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  misfit text := ladder.declared_misfit(declared);
  step text;
begin
  if misfit is not null then
    raise wrong_object_type using message = misfit;
  end if;
  step := ladder.make_declared_partition(declared)::text;
  if step is null and declared.kind = 'range' then
    perform ladder.register_partitions(declared);
    step := coalesce(ladder.drain_default_partition(declared)::text, ladder.detach_old_partition(declared),
      ladder.drop_detached_partition(declared));
  end if;
  if step is null then
    update ladder.declared_table set upkept_at = now(), failing_since = null, upkeep_error = null where name = declared.name;
    update partman.part_config set maintenance_last_run = now() where parent_table = ladder.partman_name(declared.relation::regclass);
  end if;
  return step;
end $$;
alter function ladder.upkeep_step(ladder.declared_table) owner to ladder_admin;

-- Each step is a transaction of its own. A step that does not get its locks is tried again; an error of one table is written down, and the
-- next table has its turn. A second run at the same time ends at once.
create procedure ladder.maintain_partitions(only_table regclass default null)
language plpgsql
as $$
declare
  declared ladder.declared_table;
  step text;
  problem text;
  busy boolean;
  tries integer;
  path text := pg_catalog.current_setting('search_path');
begin
  if pg_catalog.pg_is_in_recovery() then
    return;
  end if;
  delete from ladder.partition_event where happened_at < pg_catalog.now() - interval '400 days';
  for declared in
    select (k.declared).* from ladder.kept_table k
    where only_table is null or k.relation = only_table
    order by (k.declared).name
  loop
    tries := 0;
    for steps in 1..1000 loop
      step := null;
      problem := null;
      busy := false;
      if not pg_catalog.pg_try_advisory_xact_lock(1818322020, 20) then
        raise notice 'upkeep of partitions: another run is at work';
        return;
      end if;
      begin
        step := ladder.upkeep_step(declared);
        tries := 0;
        perform pg_catalog.set_config('search_path', path, false);
      exception
        when lock_not_available or deadlock_detected then
          tries := tries + 1;
          busy := tries < 5;
          problem := sqlerrm;
        when others then
          problem := sqlerrm;
      end;
      if problem is not null and not busy then
        perform ladder.note_partition_event('failed', declared.relation, null, problem);
        update ladder.declared_table set upkeep_error = problem, failing_since = coalesce(failing_since, pg_catalog.now())
        where name = declared.name;
      end if;
      commit;
      exit when step is null and not busy;
      if busy then
        perform pg_catalog.pg_sleep(0.2 + pg_catalog.random() * tries);
      end if;
    end loop;
  end loop;
end $$;
alter procedure ladder.maintain_partitions(regclass) owner to ladder_admin;
comment on procedure ladder.maintain_partitions(regclass) is
  'Makes partitions ahead, drains default partitions, detaches and drops by age; all declared tables, or one';

create function ladder.schedule_partition_upkeep() returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regprocedure('cron.schedule(text, text, text)') is null then
    return false;
  end if;
  if not exists (select from cron.job where jobname = 'ladder-partitions' and database = current_database() and username = current_user) then
    perform cron.schedule('ladder-partitions', '7 * * * *', 'call ladder.maintain_partitions()');
  end if;
  return true;
end $$;
alter function ladder.schedule_partition_upkeep() owner to ladder_admin;
comment on function ladder.schedule_partition_upkeep() is 'The job ladder-partitions of pg_cron is there, if it is installed; a changed schedule stays';
revoke all on function ladder.drain_default_partition(ladder.declared_table), ladder.detach_old_partition(ladder.declared_table),
  ladder.drop_detached_partition(ladder.declared_table), ladder.upkeep_step(ladder.declared_table),
  ladder.schedule_partition_upkeep() from public;
revoke all on procedure ladder.maintain_partitions(regclass) from public;

select ladder.schedule_partition_upkeep();
