-- Function ladder.open_to_gateway: run on a shard: what the gateway's roles may reach there. Repeatable, and again after row security was switched on.
create function ladder.open_to_gateway(relations regclass[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  relation record;
begin
  execute format('grant connect on database %I to ladder_gateway, ladder_gateway_ro', current_database());
  for relation in
    select c.oid::regclass as name, n.nspname as schema, c.relrowsecurity as guarded, c.oid
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any (relations) order by c.oid
  loop
    execute format('grant usage on schema %I to ladder_gateway, ladder_gateway_ro', relation.schema);
    execute format('grant select, insert, update, delete, truncate on %s to ladder_gateway', relation.name);
    execute format('grant select on %s to ladder_gateway_ro', relation.name);
    -- Row security is decided on the gateway, where the application's session is.
    if relation.guarded and not exists (select from pg_policy where polrelid = relation.oid and polname = 'ladder_tenant_gateway') then
      execute format('create policy ladder_tenant_gateway on %s for all to ladder_gateway, ladder_gateway_ro using (true) with check (true)',
        relation.name);
    end if;
  end loop;
end $$;
alter function ladder.open_to_gateway(regclass[]) owner to ladder_admin;
revoke all on function ladder.open_to_gateway(regclass[]) from public;
