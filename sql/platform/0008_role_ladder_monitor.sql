-- Role ladder_monitor: reads statistics and the platform's own tables, no rows of the application.
do $$
begin
  create role ladder_monitor login;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role ladder_monitor nosuperuser nocreaterole nocreatedb noreplication;
grant pg_monitor to ladder_monitor;

do $$
begin
  execute format('grant connect on database %I to ladder_monitor', current_database());
  execute format('alter role ladder_monitor in database %I set search_path = ladder, public', current_database());
end $$;
grant usage on schema ladder to ladder_monitor;
grant select on ladder.migration to ladder_monitor;
