-- Functions ladder.undo_conversion, finish_conversion, pause_conversion, resume_conversion (table): what an operator does with a conversion.
create function ladder.conversion_of(what regclass) returns ladder.conversion
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion;
begin
  select * into c from ladder.conversion
   where what in (source, target)
      or (schema_name, table_name) = (select nspname, relname from pg_class k join pg_namespace n on n.oid = relnamespace where k.oid = what)
   order by id desc limit 1;
  if c.id is null then
    raise exception '%: got no conversion, want one of %', what,
      coalesce((select string_agg(distinct format('%I.%I', schema_name, table_name), ', ') from ladder.conversion), 'none: there is no conversion');
  end if;
  return c;
end $$;

create function ladder.in_turn(what text, statements text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  tries constant integer := 40;
begin
  perform set_config('lock_timeout', '100ms', true);
  for try in 1 .. tries loop
    begin
      for i in 1 .. cardinality(statements) loop
        execute statements[i];
      end loop;
      return;
    exception when lock_not_available or deadlock_detected then
      if try = tries then
        raise exception '%: got no lock in % tries of 100 ms, want a moment without long transactions on the table', what, tries;
      end if;
    end;
    perform pg_sleep(least(0.05 * try, 1));
  end loop;
end $$;
comment on function ladder.in_turn(text, text[]) is
  'Runs statements together; when a lock is not to be had within 100 ms, gives all locks back and begins again after a pause';

create function ladder.undo_conversion(what regclass) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion := ladder.conversion_of(what);
begin
  if c.state <> 'kept' then
    raise exception '%: got a conversion that is "%", want one that is "kept"', what, c.state;
  end if;
  -- Without the triggers its rows stay as they are: its foreign keys must not hold on to rows of other tables.
  perform ladder.in_turn(format('undo %s', what), array[
      format('select ladder.swap_conversion(%s)', c.id),
      format('drop trigger ladder_sync on %s; drop trigger ladder_sync_truncate on %1$s', format('%I.%I', c.schema_name, c.table_name))]
    || array(select format('alter table ladder_convert_%s.%I drop constraint %I', c.id, c.table_name, conname)
               from pg_constraint where conrelid = c.target and contype = 'f' and conparentid = 0));
  update ladder.conversion set detail = detail - 'adopted' where id = c.id;
  return format('%s.%s is what it was before; the other one is dropped by the mover', c.schema_name, c.table_name);
end $$;
comment on function ladder.undo_conversion(regclass) is
  'The way back: the old table, which has every write since, takes its place again. Not begun again until it is resumed or declared otherwise';

create function ladder.finish_conversion(what regclass) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion := ladder.conversion_of(what);
  live text := (select oid::regclass from pg_class where oid = c.target);
  old text := (select oid::regclass from pg_class where oid = c.source);
begin
  if c.state = 'done' then
    return format('%s.%s: finished already', c.schema_name, c.table_name);
  elsif c.state <> 'kept' then
    raise exception '%: got a conversion that is "%", want one that is "kept"', what, c.state;
  end if;
  perform set_config('ladder.converting', 'on', true);
  -- DROP TRIGGER alone would lock partitions before their table: the other way round than writers. Tables that somebody has dropped are null.
  perform ladder.in_turn(format('finish %s', what), array_remove(array[
    'lock table only ' || live || ' in access exclusive mode',
    'drop trigger if exists ladder_sync on ' || live,
    'drop trigger if exists ladder_sync_truncate on ' || live,
    'revoke all on ' || live || ' from ladder_upkeep',
    'drop table ' || old,
    format('drop schema if exists ladder_kept_%s, ladder_convert_%1$s cascade', c.id)], null));
  update ladder.conversion set state = 'done', finished = clock_timestamp(), changed = clock_timestamp() where id = c.id;
  return format('%s.%s: the old table is dropped', c.schema_name, c.table_name);
end $$;
comment on function ladder.finish_conversion(regclass) is 'Drops the old table that a conversion keeps. There is no way back afterwards';

create function ladder.pause_conversion(what regclass) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion := ladder.conversion_of(what);
begin
  if c.state in ('kept', 'done', 'failed', 'undone') then
    raise exception '%: got a conversion that is "%", want one that is under way', what, c.state;
  end if;
  update ladder.conversion set paused = true where id = c.id;
  return format('%s.%s: %s is paused; changes of the table still reach its copy', c.schema_name, c.table_name, c.state);
end $$;
comment on function ladder.pause_conversion(regclass) is 'The mover leaves this conversion alone until it is resumed';

create function ladder.resume_conversion(what regclass) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion := ladder.conversion_of(what);
begin
  update ladder.conversion
     set paused = false, changed = clock_timestamp(), rate = null,
         detail = case when state in ('failed', 'undone') then detail || '{"again": true}' else detail end
   where id = c.id;
  return format('%s.%s: goes on', c.schema_name, c.table_name);
end $$;
comment on function ladder.resume_conversion(regclass) is 'Goes on with what was paused, begins again what failed or was undone';

do $$
declare
  name text;
begin
  foreach name in array array['conversion_of(regclass)', 'in_turn(text, text[])', 'undo_conversion(regclass)', 'finish_conversion(regclass)',
                              'pause_conversion(regclass)', 'resume_conversion(regclass)'] loop
    execute format('alter function ladder.%s owner to ladder_admin; revoke execute on function ladder.%1$s from public', name);
  end loop;
end $$;
