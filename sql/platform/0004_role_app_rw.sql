-- Role app_rw: a group for further services: reads and writes the rows of all that app owns, now and later, and changes no schema.
do $$
begin
  create role app_rw nologin;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role app_rw nosuperuser nocreaterole nocreatedb noreplication;

do $$
begin
  execute format('grant connect, temporary on database %I to app_rw', current_database());
end $$;
grant usage on schema public to app_rw;
grant select, insert, update, delete on all tables in schema public to app_rw;
grant usage, select on all sequences in schema public to app_rw;
alter default privileges for role app grant usage on schemas to app_rw;
alter default privileges for role app grant select, insert, update, delete on tables to app_rw;
alter default privileges for role app grant usage, select on sequences to app_rw;
