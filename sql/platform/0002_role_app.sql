-- Role app: the application. Owns schema public, may create schemas and trusted extensions in this database, is no superuser.
-- Roles belong to the cluster: another database may have made them. Passwords are set by the agent's configure.
do $$
begin
  create role app login;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role app nosuperuser nocreaterole nocreatedb noreplication;

do $$
begin
  -- A superuser can act as app anyway; the master user of a managed server has to be made a member.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant app to %I', current_user);
  end if;
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect, create, temporary on database %I to app', current_database());
end $$;

revoke all on schema public from public;
alter schema public owner to app;
