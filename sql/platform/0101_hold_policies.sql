-- Function ladder.hold_policies: the trigger of trees over shards whose rows are guarded: PostgreSQL asks no policy about rows that are written to
-- another server, so this does, with the rights of whoever writes.
create function ladder.hold_policies() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  tree oid := pg_partition_root(tg_relid);
  tree_name name := (select relname from pg_class where oid = tree);
  wanted text;
  held boolean;
begin
  if not row_security_active(tree) then
    return new;
  end if;
  select format('select coalesce((%s), false) and coalesce((%s), true) from (select ($1).*) %I',
      coalesce(string_agg(format('coalesce((%s), false)', condition), ' or ') filter (where polpermissive), 'false'),
      coalesce(string_agg(format('coalesce((%s), false)', condition), ' and ') filter (where not polpermissive), 'true'), tree_name)
    into wanted
    from (select polpermissive, pg_get_expr(coalesce(polwithcheck, polqual), polrelid) as condition from pg_policy
      where polrelid = tree and polcmd in ('*', case tg_op when 'INSERT' then 'a' else 'w' end)
        and exists (select from unnest(polroles) role where role = 0 or pg_has_role(role, 'usage'))) p;
  execute wanted into held using new;
  if not held then
    raise insufficient_privilege using message = format('new row violates row-level security policy for table "%s"', tree_name);
  end if;
  return new;
end $$;
alter function ladder.hold_policies() owner to ladder_admin;
revoke all on function ladder.hold_policies() from public;
