-- Role ladder_all_tenants: a group for administration: reads and writes the rows of all tenants. Give it with inherit false, set true, and use it
-- by `set local role ladder_all_tenants`; never put it into ladder_pooled, whose members see one tenant at a time.
do $$
begin
  create role ladder_all_tenants nologin;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role ladder_all_tenants nosuperuser nocreaterole nocreatedb noreplication;
grant app_rw to ladder_all_tenants;

do $$
begin
  execute format('grant connect on database %I to ladder_pooled', current_database());
  -- The master user of a managed server is bound by row security as everybody else.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant ladder_all_tenants to %I with inherit false, set true', current_user);
  end if;
end $$;

-- What comes in through the pooler names objects of this schema; what it may do with each of them is granted on the object.
grant usage on schema ladder to ladder_pooled, ladder_all_tenants;
