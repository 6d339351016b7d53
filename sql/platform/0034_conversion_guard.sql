-- Event trigger ladder_conversion_guard: columns and names of a table stay as they are while it is converted, or writes to it would fail.
create function ladder.guard_conversion() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion;
begin
  if current_setting('ladder.converting', true) = 'on' then
    return;
  end if;
  for c in select * from ladder.conversion where state in ('syncing', 'copying', 'verifying', 'swapping', 'kept') loop
    if exists (select from pg_class k
                where k.oid in (c.source, c.target) and (k.relname <> c.table_name or ladder.table_columns(k.oid) <> c.detail ->> 'columns')) then
      raise exception using
        message = format('%s.%s: got a change of its columns or its name while its conversion is "%s"', c.schema_name, c.table_name, c.state),
        hint = case when c.state = 'kept' then format('First: select ladder.finish_conversion(%L)', format('%I.%I', c.schema_name, c.table_name))
                    else 'Wait until it is kept, then finish it; or take the declaration back.' end;
    end if;
  end loop;
end $$;
alter function ladder.guard_conversion() owner to ladder_admin;
revoke execute on function ladder.guard_conversion() from public;

do $$
begin
  create event trigger ladder_conversion_guard on ddl_command_end when tag in ('ALTER TABLE') execute function ladder.guard_conversion();
exception when insufficient_privilege then
  raise warning 'no event trigger: % may not create one. A change of a table''s columns during its conversion is noticed only at its end', current_user;
end $$;
