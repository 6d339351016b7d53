-- Event trigger ladder_tenant_guard: new partitions are guarded as soon as they are there, a table that takes a guarded name is too, and what
-- an owner takes off a guarded table is put back in the same transaction. Where event triggers may not be made, the next `up` does it.
create function ladder.guard_tenant_tables() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  guarded record;
  changes integer;
begin
  if not exists (select from ladder.tenant_table) then
    return;
  end if;
  for guarded in
    select c.oid::regclass as relation, t.tenant_column
    from ladder.tenant_table t
    join pg_namespace n on n.nspname = t.schema
    join pg_class c on c.relnamespace = n.oid and c.relname = t.name and c.relkind in ('r', 'p')
    where tg_tag = 'DROP POLICY' or c.oid in (
      select coalesce(pg_partition_root(k.oid), k.oid)
      from pg_event_trigger_ddl_commands() d
      left join pg_policy p on d.classid = 'pg_policy'::regclass and p.oid = d.objid
      join pg_class k on k.oid = case when d.classid = 'pg_policy'::regclass then p.polrelid else d.objid end)
  loop
    changes := ladder.protect_tenant_table(guarded.relation, guarded.tenant_column);
    if changes > 0 and tg_tag <> 'CREATE TABLE' then
      raise notice 'row security of %: % put right after %, because its rows are kept apart by tenant', guarded.relation, changes, tg_tag;
    end if;
  end loop;
end $$;
alter function ladder.guard_tenant_tables() owner to ladder_admin;
revoke all on function ladder.guard_tenant_tables() from public;

do $$
begin
  create event trigger ladder_tenant_guard on ddl_command_end
    when tag in ('CREATE TABLE', 'ALTER TABLE', 'CREATE POLICY', 'ALTER POLICY', 'DROP POLICY')
    execute function ladder.guard_tenant_tables();
exception when insufficient_privilege then
  raise warning 'tenants: no event trigger may be made here, so partitions made between two runs of up are not guarded when named directly';
end $$;
