-- Table ladder.tenant_table: the tables whose rows are kept apart by tenant, by name, and what row security was before.
-- Functions ladder.protect_tenant_table, ladder.declare_tenant_table, ladder.release_tenant_table: make it so, and undo it.
create table ladder.tenant_table (
  declared_at timestamptz not null default now(),
  was_enabled boolean not null,
  was_forced boolean not null,
  could_truncate boolean not null,
  schema name not null,
  name name not null,
  tenant_column name not null,
  primary key (schema, name)
);
alter table ladder.tenant_table owner to ladder_admin;
grant select on ladder.tenant_table to ladder_monitor;
comment on column ladder.tenant_table.could_truncate is 'TRUNCATE asks no policy, so the owner loses the right to it; given back with the release';

-- A table, or a partitioned one with all partitions below it; the ones on other servers are guarded there.
create function ladder.tenant_relations(relation regclass) returns setof regclass
language sql stable
begin atomic
  select c.oid::regclass
  from pg_class c
  where c.relkind in ('r', 'p') and c.oid in (select relid from pg_partition_tree(relation) union select relation);
end;
alter function ladder.tenant_relations(regclass) owner to ladder_admin;

-- The policy's condition as PostgreSQL shows it; null for a column that is not there or of a type that does not fit.
create function ladder.tenant_condition(relation regclass, tenant_column name) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case
      when b.oid = 'text'::regtype and t.oid = b.oid then format('(%I = ( SELECT ladder.tenant() AS tenant))', a.attname)
      when b.oid in ('text'::regtype, 'varchar'::regtype) then format('((%I)::text = ( SELECT ladder.tenant() AS tenant))', a.attname)
      when t.oid = b.oid then format('(%I = ( SELECT (ladder.tenant())::%s AS tenant))', a.attname, b.oid::regtype)
      else format('((%I)::%s = ( SELECT (ladder.tenant())::%2$s AS tenant))', a.attname, b.oid::regtype)
    end
  from pg_attribute a
  join pg_type t on t.oid = a.atttypid
  join pg_type b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
  left join pg_collation l on l.oid = a.attcollation
  where a.attrelid = relation and a.attname = tenant_column and a.attnum > 0 and not a.attisdropped
    and b.oid in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
    and coalesce(l.collisdeterministic, true)
$$;
alter function ladder.tenant_condition(regclass, name) owner to ladder_admin;

-- A wall (restrictive: no other policy widens it) for all that comes in through the pooler; a door in it, unless the application has made
-- doors of its own; and administration's own door. Roles outside of both groups see nothing. Changes only what differs, and says how much.
create function ladder.protect_tenant_table(relation regclass, tenant_column name) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  part regclass;
  security pg_class;
  condition text;
  wanted record;
  present record;
  grantee oid;
  changes integer := 0;
begin
  for part in select r from ladder.tenant_relations(relation) r order by r loop
    select * into security from pg_class where oid = part;
    if not security.relrowsecurity or not security.relforcerowsecurity then
      execute format('alter table %s enable row level security, force row level security', part);
      changes := changes + 1;
    end if;
    condition := ladder.tenant_condition(part, tenant_column);
    for wanted in
      select * from (values
        ('ladder_tenant', 'restrictive', 'ladder_pooled', condition),
        ('ladder_tenant_base', 'permissive', 'ladder_pooled',
          case when not exists (select from pg_policy where polrelid = part and polpermissive and polname not like 'ladder\_tenant%') then 'true' end),
        ('ladder_tenant_all', 'permissive', 'ladder_all_tenants', 'true')) w (name, kind, role, condition)
    loop
      select * into present from pg_policy where polrelid = part and polname = wanted.name;
      if found and wanted.condition is not null and present.polcmd = '*' and present.polpermissive = (wanted.kind = 'permissive')
          and present.polroles = array[wanted.role::regrole::oid]
          and pg_get_expr(present.polqual, part) = wanted.condition and pg_get_expr(present.polwithcheck, part) = wanted.condition then
        continue;
      end if;
      -- Without its column the wall stays as it is: renamed, it still holds; dropped, nobody gets in.
      continue when wanted.condition is null and (wanted.name = 'ladder_tenant' or present.oid is null);
      if present.oid is not null then
        execute format('drop policy %I on %s', wanted.name, part);
      end if;
      -- Where the guard listens, it has put the policy back already.
      if wanted.condition is not null and not exists (select from pg_policy where polrelid = part and polname = wanted.name) then
        execute format('create policy %I on %s as %s for all to %I using (%s) with check (%5$s)',
          wanted.name, part, wanted.kind, wanted.role, wanted.condition);
      end if;
      changes := changes + 1;
    end loop;
    for grantee in
      select g.grantee from aclexplode(coalesce(security.relacl, acldefault('r', security.relowner))) g
      left join pg_roles r on r.oid = g.grantee
      where g.privilege_type = 'TRUNCATE' and not coalesce(r.rolsuper, false)
    loop
      execute format('revoke truncate on %s from %s', part, case grantee when 0 then 'public' else grantee::regrole::text end);
      changes := changes + 1;
    end loop;
  end loop;
  return changes;
end $$;
alter function ladder.protect_tenant_table(regclass, name) owner to ladder_admin;

-- What keeps the old table equal runs as the table's owner, whom the policies would bind; as ladder_upkeep only where row security was forced before.
create function ladder.tenant_waits(relation regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (select from ladder.conversion c where relation in (c.source, c.target) and c.state = 'kept' and c.detail ->> 'runner' <> 'ladder_upkeep')
    and not exists (
      select from ladder.tenant_table t join pg_namespace n on n.nspname = t.schema join pg_class k on k.relnamespace = n.oid and k.relname = t.name
      where k.oid = relation)
$$;
alter function ladder.tenant_waits(regclass) owner to ladder_admin;

create function ladder.declare_tenant_table(relation regclass, tenant_column name) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if ladder.tenant_condition(relation, tenant_column) is null then
    raise invalid_parameter_value using message =
      format('%s.%I: want a column of type smallint, integer, bigint, uuid, text or varchar', relation, tenant_column);
  end if;
  if ladder.tenant_waits(relation) then
    raise object_not_in_prerequisite_state using
      message = format('%s: its conversion is kept, and the old table would no longer get every write', relation),
      hint = format('First: select ladder.finish_conversion(%L)', relation);
  end if;
  insert into ladder.tenant_table (schema, name, tenant_column, was_enabled, was_forced, could_truncate)
  select n.nspname, c.relname, declare_tenant_table.tenant_column, c.relrowsecurity, c.relforcerowsecurity,
    has_table_privilege(c.relowner, c.oid, 'truncate')
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.oid = relation
  on conflict (schema, name) do update set tenant_column = excluded.tenant_column
    where tenant_table.tenant_column <> excluded.tenant_column;
  return ladder.protect_tenant_table(relation, tenant_column);
end $$;
alter function ladder.declare_tenant_table(regclass, name) owner to ladder_admin;

create function ladder.release_tenant_table(of_schema name, of_name name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  before ladder.tenant_table;
  relation regclass := to_regclass(format('%I.%I', of_schema, of_name));
  part record;
  policy name;
begin
  delete from ladder.tenant_table where schema = of_schema and name = of_name returning * into before;
  if before.name is null or relation is null then
    return;
  end if;
  for part in
    select r as oid, pg_get_userbyid(c.relowner) as owner from ladder.tenant_relations(relation) r join pg_class c on c.oid = r order by r
  loop
    for policy in select polname from pg_policy where polrelid = part.oid and polname in ('ladder_tenant', 'ladder_tenant_base', 'ladder_tenant_all') loop
      execute format('drop policy %I on %s', policy, part.oid::regclass);
    end loop;
    if not before.was_enabled then
      execute format('alter table %s disable row level security', part.oid::regclass);
    end if;
    if not before.was_forced then
      execute format('alter table %s no force row level security', part.oid::regclass);
    end if;
    if before.could_truncate then
      execute format('grant truncate on %s to %I', part.oid::regclass, part.owner);
    end if;
  end loop;
end $$;
alter function ladder.release_tenant_table(name, name) owner to ladder_admin;

revoke all on function ladder.tenant_relations(regclass), ladder.tenant_condition(regclass, name), ladder.tenant_waits(regclass),
  ladder.protect_tenant_table(regclass, name), ladder.declare_tenant_table(regclass, name), ladder.release_tenant_table(name, name) from public;
