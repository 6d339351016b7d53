-- Role app_ro: reads all that app owns, also in schemas and tables that app makes later; writes and creates nothing.
do $$
begin
  create role app_ro login;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role app_ro nosuperuser nocreaterole nocreatedb noreplication;
alter role app_ro set default_transaction_read_only = on;

do $$
begin
  execute format('grant connect on database %I to app_ro', current_database());
end $$;
grant usage on schema public to app_ro;
grant select on all tables in schema public to app_ro;
grant select on all sequences in schema public to app_ro;
alter default privileges for role app grant usage on schemas to app_ro;
alter default privileges for role app grant select on tables to app_ro;
alter default privileges for role app grant select on sequences to app_ro;
