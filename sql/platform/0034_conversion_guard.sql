-- Event trigger ladder_conversion_guard: while a table is converted its columns and name stay as they are, and no constraint is loosened, or writes
-- would fail on the other table.
create function ladder.guard_conversion() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion;
  live oid;
  other oid;
  changed text;
begin
  if current_setting('ladder.converting', true) = 'on' then
    return;
  end if;
  for c in select * from ladder.conversion where state in ('copying', 'verifying', 'swapping', 'kept') loop
    changed := null;
    live := case c.state when 'kept' then c.target else c.source end;
    other := case c.state when 'kept' then c.source else c.target end;
    if exists (select from pg_class k
                where k.oid in (c.source, c.target) and (k.relname <> c.table_name or ladder.table_columns(k.oid) <> c.detail ->> 'columns')) then
      changed := 'a change of its columns or its name';
    elsif exists (select from pg_class where oid = live) then
      select 'a table without ' || string_agg(l, ' and ') into changed
        from (select ladder.table_limits(other) except select ladder.table_limits(live)) as only_there (l);
    end if;
    if changed is not null then
      raise exception using
        message = format('%s.%s: got %s while its conversion is "%s"', c.schema_name, c.table_name, changed, c.state),
        hint = case when c.state = 'kept' then format('First: select ladder.finish_conversion(%L)', format('%I.%I', c.schema_name, c.table_name))
                    else 'Wait until it is kept, then finish it; or take the declaration back.' end;
    end if;
  end loop;
end $$;
alter function ladder.guard_conversion() owner to ladder_admin;
revoke execute on function ladder.guard_conversion() from public;

do $$
begin
  create event trigger ladder_conversion_guard on ddl_command_end when tag in ('ALTER TABLE', 'DROP INDEX') execute function ladder.guard_conversion();
exception when insufficient_privilege then
  raise warning 'no event trigger: % may not create one. A change of a table''s columns or constraints during its conversion is noticed only at its end', current_user;
end $$;
