-- Role ladder_upkeep: moves rows between partitions. Expressions of a table (checks, indexes, generated columns) are the application's code,
-- so they must not run with the rights of ladder_admin; and a move takes the rows of all tenants.
do $$
begin
  create role ladder_upkeep nologin;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role ladder_upkeep nosuperuser nocreaterole nocreatedb noreplication;

do $$
begin
  alter role ladder_upkeep bypassrls;
exception when insufficient_privilege then
  raise warning 'ladder_upkeep: row security cannot be bypassed here; a table that forces it needs a policy for ladder_upkeep';
end $$;

do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ladder_upkeep to %I with inherit false, set true', current_user);
  end if;
  execute format('grant temporary on database %I to ladder_upkeep', current_database());
end $$;
