-- Role ladder_apply: owns the subscriptions by which rows move between servers, so that what a table's triggers and expressions run there has not
-- the rights of ladder_admin; and it takes the rows of all tenants. It may log in, as PostgreSQL wants of a subscription's owner, but has no password.
do $$
begin
  create role ladder_apply login;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role ladder_apply nosuperuser nocreaterole nocreatedb noreplication password null;

do $$
begin
  alter role ladder_apply bypassrls;
exception when insufficient_privilege then
  raise warning 'ladder_apply: row security cannot be bypassed here; a table that forces it needs a policy for ladder_apply';
end $$;

do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ladder_apply to %I with inherit false, set true', current_user);
  end if;
  execute format('grant connect on database %I to ladder_apply', current_database());
end $$;
