-- Table ladder.hidden_class: tables of a shard that hold rows which are not, or no longer, this shard's, and what row security was before.
-- Functions ladder.hide_class, ladder.show_class: nobody sees those rows but who bypasses row security; and undo it.
create table ladder.hidden_class (
  hidden_at timestamptz not null default clock_timestamp(),
  block bigint not null default 0,
  modulus integer not null,
  remainder integer not null,
  was_enabled boolean not null,
  was_forced boolean not null,
  schema name not null,
  name name not null,
  part text,
  primary key (schema, name)
);
alter table ladder.hidden_class owner to ladder_admin;
grant select on ladder.hidden_class to ladder_monitor;
comment on column ladder.hidden_class.part is 'Where the deletion of the rows is: a partition, or the table itself; null before it has begun';
comment on column ladder.hidden_class.block is 'Blocks of it that are done';

-- A wall for everybody. Who had no policies to obey has a door in it; who has some keeps those.
create function ladder.hide_class(relation regclass, modulus integer, remainder integer, condition text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  security record;
  free text;
begin
  select c.relrowsecurity as enabled, c.relforcerowsecurity as forced, c.relowner, n.nspname, c.relname into security
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
  if exists (select from ladder.hidden_class h where (h.schema, h.name) = (security.nspname, security.relname)) then
    return;
  end if;
  free := case when not security.enabled then 'public' when not security.forced then quote_ident(security.relowner::regrole::text) end;
  if free is not null and exists (select from pg_policy where polrelid = relation and not polpermissive) then
    raise object_not_in_prerequisite_state using message = format('%s: got a restrictive policy that does not hold for all roles, want row security forced', relation),
      hint = format('alter table %s enable row level security, force row level security, or drop the policy', relation);
  end if;
  insert into ladder.hidden_class (modulus, remainder, was_enabled, was_forced, schema, name)
  values (hide_class.modulus, hide_class.remainder, security.enabled, security.forced, security.nspname, security.relname);
  execute format('create policy ladder_bucket on %s as restrictive for all to public using (not (%s)) with check (true)', relation, condition);
  if free is not null then
    execute format('create policy ladder_bucket_base on %s as permissive for all to %s using (true) with check (true)', relation, free);
  end if;
  execute format('alter table %s enable row level security, force row level security', relation);
end $$;
alter function ladder.hide_class(regclass, integer, integer, text) owner to ladder_admin;

create function ladder.show_class(relation regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  before ladder.hidden_class;
begin
  delete from ladder.hidden_class h using pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.oid = relation and (h.schema, h.name) = (n.nspname, c.relname) returning h.* into before;
  if before.name is null then
    return;
  end if;
  if not before.was_enabled then
    execute format('alter table %s disable row level security', relation);
    -- The gateway gets its door (0098) wherever there is row security.
    execute format('drop policy if exists ladder_tenant_gateway on %s', relation);
  end if;
  if not before.was_forced then
    execute format('alter table %s no force row level security', relation);
  end if;
  execute format('drop policy if exists ladder_bucket_base on %s', relation);
  execute format('drop policy ladder_bucket on %s', relation);
end $$;
alter function ladder.show_class(regclass) owner to ladder_admin;

revoke all on function ladder.hide_class(regclass, integer, integer, text), ladder.show_class(regclass) from public;
