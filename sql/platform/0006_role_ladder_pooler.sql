-- Role ladder_pooler: PgBouncer's auth_user. Its only right is to run ladder.pooler_auth.
do $$
begin
  create role ladder_pooler login;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role ladder_pooler nosuperuser nocreaterole nocreatedb noreplication;

do $$
begin
  execute format('grant connect on database %I to ladder_pooler', current_database());
end $$;
grant usage on schema ladder to ladder_pooler;
