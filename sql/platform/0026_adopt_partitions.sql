-- Function ladder.adopt_partitions: takes a partitioned table, whatever partitions it has, into the upkeep that is declared for it: pg_partman
-- knows it, a default partition is there, and so are the declared partitions. Changes of the declaration take effect by calling it again.
create function ladder.register_partitions(declared ladder.declared_table) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  relation regclass := declared.relation;
begin
  if position('.' in (select n.nspname || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation)) > 0 then
    raise invalid_name using message = format('%s: got a name with a dot in it, want one that pg_partman can read', relation);
  end if;
  -- ladder.maintain_partitions is what calls pg_partman: pg_partman's own run stops at the first table with an error, cannot read a partition
  -- without a lower bound, and takes every partition for one period long.
  insert into partman.part_config as had (parent_table, control, partition_type, partition_interval, date_trunc_interval, datetime_string,
    premake, retention, retention_keep_table, retention_keep_index, infinite_time_partitions, automatic_maintenance, inherit_privileges, jobmon)
  values (ladder.partman_name(relation), declared.partition_column, 'range', ladder.period(declared.every)::text, declared.every, 'YYYYMMDD',
    declared.ahead, declared.keep::text, true, true, true, 'off', false, false)
  on conflict (parent_table) do update set control = excluded.control, partition_interval = excluded.partition_interval,
    date_trunc_interval = excluded.date_trunc_interval, datetime_string = excluded.datetime_string, premake = excluded.premake,
    retention = excluded.retention, retention_keep_table = true, infinite_time_partitions = true, automatic_maintenance = 'off'
  where (had.control, had.partition_interval, had.date_trunc_interval, had.datetime_string, had.premake, had.retention, had.retention_keep_table,
      had.infinite_time_partitions, had.automatic_maintenance)
    is distinct from (excluded.control, excluded.partition_interval, excluded.date_trunc_interval, excluded.datetime_string, excluded.premake,
      excluded.retention, true, true, 'off');
end $$;
alter function ladder.register_partitions(ladder.declared_table) owner to ladder_admin;

-- Values of a list partition, as text; of no other kind.
create function ladder.list_values(partition regclass) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  given text := (select substring(pg_get_expr(relpartbound, oid) from '^FOR VALUES IN \((.*)\)$') from pg_class where oid = partition);
  list text[];
begin
  if given is not null then
    execute format('select array[%s]::text[]', given) into list;
  end if;
  return list;
end $$;
alter function ladder.list_values(regclass) owner to ladder_admin;

-- The next declared partition that is missing: null when all are there.
create function ladder.make_declared_partition(declared ladder.declared_table) returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  relation regclass := declared.relation;
  name text := (select relname from pg_class where oid = relation);
  this_period timestamptz := date_trunc(declared.every, now());
  missing record;
begin
  if declared.kind <> 'hash' and ladder.default_partition(relation) is null then
    return ladder.make_partition(relation, partman.check_name_length(name, '_default', false), 'default', null);
  end if;
  if declared.kind = 'range' then
    select s as span into missing
    from ladder.missing_spans(relation, this_period, this_period + (declared.ahead + 1) * ladder.period(declared.every), declared.every) s
    limit 1;
    return case when found then ladder.make_time_partition(relation, declared.partition_column, missing.span) end;
  elsif declared.kind = 'list' then
    select l.key, array_agg(v.value order by v.value) as values into missing
    from jsonb_each(declared.list) l, jsonb_array_elements_text(l.value) v (value)
    where not exists (select from pg_inherits where inhparent = relation and v.value = any (ladder.list_values(inhrelid)))
    group by l.key order by l.key
    limit 1;
    return case when found then ladder.make_partition(relation, partman.check_name_length(name, '_' || missing.key, false),
      (select format('for values in (%s)', string_agg(quote_literal(v), ', ')) from unnest(missing.values) v),
      (select format('%I in (%s)', declared.partition_column, string_agg(quote_literal(v), ', ')) from unnest(missing.values) v)) end;
  end if;
  select r as remainder into missing
  from generate_series(0, declared.modulus - 1) r
  where not exists (
    select from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = relation and pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES WITH (modulus %s, remainder %s)', declared.modulus, r))
  order by r
  limit 1;
  return case when found then ladder.make_partition(relation, partman.check_name_length(name, '_' || missing.remainder, false),
    format('for values with (modulus %s, remainder %s)', declared.modulus, missing.remainder), null) end;
end $$;
alter function ladder.make_declared_partition(ladder.declared_table) owner to ladder_admin;

create function ladder.make_declared_partitions(relation regclass) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  declared ladder.declared_table;
  misfit text;
  made integer := 0;
begin
  select * into declared from ladder.declared_table d where to_regclass(d.relation) = make_declared_partitions.relation and d.kind is not null;
  if not found then
    raise undefined_object using message = format('%s: got no declaration of partitions, want one in ladder.declared_table', relation);
  end if;
  misfit := ladder.declared_misfit(declared);
  if misfit is null and pg_get_partkeydef(relation) is distinct from ladder.declared_partitioning(declared) then
    misfit := format('%s: got %s, want a table partitioned by %s', relation,
      coalesce('one partitioned by ' || pg_get_partkeydef(relation), 'a whole table'), ladder.declared_partitioning(declared));
  end if;
  if misfit is not null then
    raise wrong_object_type using message = misfit;
  end if;
  if declared.kind = 'range' then
    perform ladder.register_partitions(declared);
  end if;
  while ladder.make_declared_partition(declared) is not null loop
    made := made + 1;
  end loop;
  update ladder.declared_table set upkept_at = now() where name = declared.name and upkept_at is null;
  return made;
end $$;
alter function ladder.make_declared_partitions(regclass) owner to ladder_admin;

-- pg_partman leaves the search path of whoever calls it set for the session: what calls it from outside puts the path back.
create function ladder.adopt_partitions(relation regclass) returns integer
language plpgsql
as $$
declare
  path text := pg_catalog.current_setting('search_path');
  made integer := ladder.make_declared_partitions(relation);
begin
  perform pg_catalog.set_config('search_path', path, false);
  return made;
end $$;
alter function ladder.adopt_partitions(regclass) owner to ladder_admin;
comment on function ladder.adopt_partitions(regclass) is 'Takes a partitioned and declared table into upkeep; returns the number of partitions made';
revoke all on function ladder.register_partitions(ladder.declared_table), ladder.list_values(regclass),
  ladder.make_declared_partition(ladder.declared_table), ladder.make_declared_partitions(regclass), ladder.adopt_partitions(regclass) from public;
