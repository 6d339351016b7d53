-- Function ladder.own_alike: a partition that is partitioned itself belongs to the table's owner and is granted like the table.
create function ladder.own_alike(relation regclass, child regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  parent pg_class;
  granted record;
begin
  select * into parent from pg_class where oid = relation;
  for granted in
    select g.privilege_type, case g.grantee when 0 then 'public' else g.grantee::regrole::text end as grantee
    from aclexplode(parent.relacl) g where g.grantee <> parent.relowner
  loop
    execute format('grant %s on %s to %s', granted.privilege_type, child, granted.grantee);
  end loop;
  if parent.relrowsecurity then
    execute format('alter table %s enable row level security', child);
  end if;
  if parent.relforcerowsecurity then
    execute format('alter table %s force row level security', child);
  end if;
  execute format('alter table %s owner to %I', child, pg_get_userbyid(parent.relowner));
end $$;
alter function ladder.own_alike(regclass, regclass) owner to ladder_admin;
revoke all on function ladder.own_alike(regclass, regclass) from public;
