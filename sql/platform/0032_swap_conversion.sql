-- Functions ladder.swap_conversion(id) and ladder.validate_reference: a converted table and its copy change places. The caller sets lock_timeout.
create function ladder.swap_conversion(conversion_id bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  c ladder.conversion;
  live oid;
  other oid;
  aside text;
  margin bigint := current_setting('max_connections')::bigint;
  item record;
  afterwards text[] := '{}';
  references_back jsonb := '[]';
  last bigint;
begin
  select * into strict c from ladder.conversion where id = conversion_id for update;
  perform set_config('ladder.converting', 'on', true);
  live := case when c.state = 'kept' then c.target else c.source end;
  other := case when c.state = 'kept' then c.source else c.target end;
  aside := format('ladder_%s_%s', case when c.state = 'kept' then 'convert' else 'kept' end, c.id);

  -- Tables with foreign keys to it come first: their writers hold them when they look into it.
  for item in
    select distinct conrelid as oid from pg_constraint where confrelid = live and contype = 'f' and conparentid = 0 and conrelid <> live order by 1
  loop
    execute format('lock table only %s in access exclusive mode', item.oid::regclass);
  end loop;
  execute format('lock table only %s in access exclusive mode', live::regclass);
  execute format('lock table only %s in access exclusive mode', other::regclass);
  if c.state = 'swapping' and ladder.table_definition(live) is distinct from c.detail ->> 'definition' then
    raise exception using errcode = 'LD001', message = format('%s: its definition has changed since the copy was begun', live::regclass);
  end if;
  if ladder.table_columns(live) is distinct from ladder.table_columns(other) then
    raise exception using errcode = 'LD001', message = format('%s: its columns are no longer those of its copy', live::regclass);
  end if;

  -- What is tied to the table by its identity is read now, while names lead to it, and made again when they lead to the other one.
  for item in
    select distinct v.oid, v.reloptions, pg_get_viewdef(v.oid) as body
      from pg_depend d join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass join pg_class v on v.oid = r.ev_class
     where d.refclassid = 'pg_class'::regclass and d.refobjid = live and v.oid <> live and v.relkind = 'v'
  loop
    afterwards := afterwards || format('create or replace view %s %s as %s', item.oid::regclass,
      'with (' || array_to_string(item.reloptions, ', ') || ')', item.body);
  end loop;
  for item in
    select p.*, pg_get_expr(polqual, polrelid) as seen, pg_get_expr(polwithcheck, polrelid) as written, obj_description(p.oid, 'pg_policy') as comment,
           (select string_agg(coalesce(quote_ident(r.rolname), 'public'), ', ') from unnest(polroles) as role left join pg_roles r on r.oid = role) as roles
      from pg_policy p
     where polrelid = live and not exists (select from pg_policy o where o.polrelid = other and o.polname = p.polname)
       and not (polname like 'ladder\_tenant%' and exists (select from ladder.tenant_table where (schema, name) = (c.schema_name, c.table_name)))
  loop
    afterwards := afterwards || format('create policy %I on %I.%I as %s for %s to %s%s%s', item.polname, c.schema_name, c.table_name,
      case when item.polpermissive then 'permissive' else 'restrictive' end,
      case item.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
      item.roles, ' using (' || item.seen || ')', ' with check (' || item.written || ')');
    afterwards := afterwards || format('comment on policy %I on %I.%I is %L', item.polname, c.schema_name, c.table_name, item.comment);
  end loop;
  -- Foreign keys to it hold for new rows at once; the mover validates the others afterwards, which locks nobody out.
  for item in
    select conrelid, conname, convalidated, pg_get_constraintdef(oid) as body, obj_description(oid, 'pg_constraint') as comment
      from pg_constraint where confrelid = live and contype = 'f' and conparentid = 0 and conrelid <> live order by conrelid, conname
  loop
    execute format('alter table %s drop constraint %I', item.conrelid::regclass, item.conname);
    afterwards := afterwards || format('alter table %s add constraint %I %s%s', item.conrelid::regclass, item.conname, item.body,
      case when item.convalidated then ' not valid' else '' end);
    afterwards := afterwards || format('comment on constraint %I on %s is %L', item.conname, item.conrelid::regclass, item.comment);
    if item.convalidated then
      references_back := references_back || jsonb_build_object('table', item.conrelid::bigint, 'name', item.conname);
    end if;
  end loop;
  -- The table out of sight checks its foreign keys at the end of a transaction: statements change the visible one first.
  for item in
    select l.conname, l.condeferrable, o.oid is not null as shared
      from pg_constraint l left join pg_constraint o on o.conrelid = other and o.conname = l.conname and o.contype = 'f'
     where l.conrelid = live and l.contype = 'f' and l.conparentid = 0 and not l.condeferred
  loop
    if item.shared then
      execute format('alter table %s alter constraint %I %s', other::regclass, item.conname,
        case when item.condeferrable then 'deferrable initially immediate' else 'not deferrable' end);
    end if;
    execute format('alter table %s alter constraint %I deferrable initially deferred', live::regclass, item.conname);
  end loop;
  for item in
    select d.objid as sequence, a.attname
      from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S' join pg_attribute a on a.attrelid = live and a.attnum = d.refobjsubid
     where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = live and d.deptype = 'a'
  loop
    execute format('alter sequence %s owned by none', item.sequence::regclass);
    afterwards := afterwards || format('alter sequence %s owned by %I.%I.%I', item.sequence::regclass, c.schema_name, c.table_name, item.attname);
  end loop;

  execute format('alter table %s set schema %I', live::regclass, aside);
  execute format('alter table %s set schema %I', other::regclass, c.schema_name);
  for item in select oid, stxrelid, stxname, stxnamespace from pg_statistic_ext where stxrelid in (live, other) order by stxrelid <> live loop
    execute format('alter statistics %I.%I set schema %I', (select nspname from pg_namespace where oid = item.stxnamespace), item.stxname,
      case when item.stxrelid = live then aside else c.schema_name end);
  end loop;

  -- Identities keep a sequence each. The old one is locked by now; sessions that wait for it may still draw from it, hence the margin.
  for item in
    select a.attname, pg_get_serial_sequence(live::regclass::text, a.attname)::regclass as drawn,
           pg_get_serial_sequence(other::regclass::text, a.attname)::regclass as next
      from pg_attribute a where a.attrelid = live and a.attidentity <> ''
  loop
    execute format('select last_value from %s', item.drawn) into last;
    select case when s.seqincrement > 0 then least(last + margin * s.seqcache * s.seqincrement, s.seqmax)
                else greatest(last + margin * s.seqcache * s.seqincrement, s.seqmin) end
      into strict last from pg_sequence s where s.seqrelid = item.drawn;
    perform setval(item.next, last);
  end loop;

  execute format('alter table %s disable trigger user', live::regclass);
  for item in select t.name, t.enabled from jsonb_to_recordset(c.detail -> 'triggers') as t (name text, enabled text) loop
    execute format('alter table %s %s trigger %I', other::regclass,
      case item.enabled when 'D' then 'disable' when 'A' then 'enable always' when 'R' then 'enable replica' else 'enable' end, item.name);
  end loop;
  if c.state = 'swapping' then
    execute format('alter table %s enable always trigger ladder_sync', other::regclass);
    execute format('alter table %s enable always trigger ladder_sync_truncate', other::regclass);
  end if;
  for i in 1 .. cardinality(afterwards) loop
    execute afterwards[i];
  end loop;
  perform ladder.protect_tenant_table(other, tenant_column) from ladder.tenant_table where (schema, name) = (c.schema_name, c.table_name);
  -- pg_partman would stumble over a table that is no longer partitioned.
  if to_regclass('partman.part_config') is not null and (select relkind = 'r' from pg_class where oid = other) then
    execute 'delete from partman.part_config where parent_table = $1' using c.schema_name || '.' || c.table_name;
  end if;
  update ladder.conversion
     set state = case when c.state = 'kept' then 'undone' else 'kept' end, detail = detail || jsonb_build_object('unvalidated', references_back), changed = clock_timestamp(), error = null,
         swapped = case when c.state = 'kept' then c.swapped else clock_timestamp() end,
         finished = case when c.state = 'kept' then clock_timestamp() end
   where id = c.id;
end $$;
comment on function ladder.swap_conversion(bigint) is
  'From "swapping" to "kept", and from "kept" to "undone". What depends on the name goes along: sequences, views, policies, triggers, statistics,
   foreign keys to it, which are validated afterwards';
alter function ladder.swap_conversion(bigint) owner to ladder_admin;
revoke execute on function ladder.swap_conversion(bigint) from public;

create function ladder.validate_reference(referencing oid, constraint_name name) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from pg_constraint where conrelid = referencing and conname = constraint_name and not convalidated) then
    execute format('alter table %s validate constraint %I', referencing::regclass, constraint_name);
  end if;
end $$;
comment on function ladder.validate_reference(oid, name) is 'Validates a foreign key that a swap has made again, if it is still there';
alter function ladder.validate_reference(oid, name) owner to ladder_admin;
revoke execute on function ladder.validate_reference(oid, name) from public;
