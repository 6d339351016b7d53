-- Functions ladder.make_alike and ladder.make_partition: one new partition that belongs to the table's owner, is granted and tuned like its
-- siblings, and holds the rows that waited for it in the default partition.
create function ladder.make_alike(relation regclass, child regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  parent pg_class;
  parent_schema text;
  options text;
  granted record;
begin
  select * into parent from pg_class where oid = relation;
  select nspname into parent_schema from pg_namespace where oid = parent.relnamespace;
  -- Storage parameters cannot be set on a partitioned table: the newest partition has them.
  select array_to_string(c.reloptions || array(select 'toast.' || unnest(t.reloptions)), ', ') into options
  from pg_inherits i
  join pg_class c on c.oid = i.inhrelid
  left join pg_class t on t.oid = c.reltoastrelid
  where i.inhparent = relation and i.inhrelid <> child and c.relkind = 'r'
  order by c.oid = ladder.default_partition(relation), c.oid desc
  limit 1;
  if options <> '' then
    execute format('alter table %s set (%s)', child, options);
  end if;
  for granted in
    select g.privilege_type, g.is_grantable, case g.grantee when 0 then 'public' else g.grantee::regrole::text end as grantee
    from aclexplode(parent.relacl) g
    where g.grantee <> parent.relowner
  loop
    execute format('grant %s on %s to %s%s',
      granted.privilege_type, child, granted.grantee, case when granted.is_grantable then ' with grant option' else '' end);
  end loop;
  -- Policies are the whole table's; a partition that is named directly must not lead around them.
  if parent.relrowsecurity then
    execute format('alter table %s enable row level security', child);
  end if;
  if parent.relforcerowsecurity then
    execute format('alter table %s force row level security', child);
  end if;
  perform partman.inherit_replica_identity(parent_schema, parent.relname::text, (select relname::text from pg_class where oid = child));
  execute format('alter table %s owner to %I', child, pg_get_userbyid(parent.relowner));
end $$;
alter function ladder.make_alike(regclass, regclass) owner to ladder_admin;

create function ladder.partman_name(relation regclass) returns text
language sql stable
begin atomic
  select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
end;
alter function ladder.partman_name(regclass) owner to ladder_admin;

-- `condition` says which rows of the default partition belong into the new one; null for none. `start` is given where pg_partman, which knows
-- the table, makes the partition. Locks are asked for here, for a second at most and in the order in which writers take them: a writer that
-- waited for the default partition only would afterwards be refused by it.
create function ladder.make_partition(relation regclass, child_name text, bound text, condition text, start timestamptz default null)
returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
  rest regclass := ladder.default_partition(relation);
  home name := (select nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation);
  full_name text := format('%I.%I', home, child_name);
  child regclass;
  held boolean := false;
  moved bigint;
begin
  if to_regclass(full_name) is not null then
    raise duplicate_table using message = format('%s: got a relation of this name that is no partition of %s for these values, want the name free',
      full_name, relation), hint = 'Rename it, or drop it when it is not needed.';
  end if;
  if rest is not null and condition is not null then
    execute format('select exists (select from only %s where %s)', rest, condition) into held;
  end if;
  execute format('lock table only %s in %s mode', relation, case when held then 'share row exclusive' else 'share update exclusive' end);
  if rest is not null then
    execute format('lock table only %s in access exclusive mode', rest);
    if condition is not null then
      execute format('select exists (select from only %s where %s)', rest, condition) into held;
    end if;
  end if;
  if held then
    perform ladder.silence_triggers(relation);
    execute format('grant usage on schema %I to ladder_upkeep; grant select, delete on %s to ladder_upkeep', home, rest);
    moved := ladder.take_rows(rest, condition);
    execute format('revoke select, delete on %s from ladder_upkeep', rest);
  end if;
  if start is not null then
    if not partman.create_partition_time(ladder.partman_name(relation), array[start]) then
      raise exception '%', format('%s: got no partition from pg_partman, want one from %s', relation, start);
    end if;
  else
    execute format('create table %s (like %s including comments including compression including constraints including defaults'
      ' including generated including statistics including storage)', full_name, relation);
    execute format('alter table %s attach partition %s %s', relation, full_name, bound);
  end if;
  child := full_name::regclass;
  if held then
    execute format('grant insert, select on %s to ladder_upkeep', child);
    if ladder.put_rows(child) <> moved then
      raise exception '%', format('%s: got another number of rows than the %s that were taken from %s, want the same', child, moved, rest);
    end if;
    execute format('revoke insert, select on %s from ladder_upkeep', child);
    perform set_config('session_replication_role', 'origin', true);
  end if;
  perform ladder.make_alike(relation, child);
  perform ladder.note_partition_event('created', relation::text, child::text, bound);
  if held then
    perform ladder.note_partition_event('drained', relation::text, child::text, bound, moved);
  end if;
  return child;
end $$;
alter function ladder.make_partition(regclass, text, text, text, timestamptz) owner to ladder_admin;

-- Until the end of the transaction, or until the setting is put back.
create function ladder.silence_triggers(relation regclass) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('session_replication_role', 'replica', true);
exception when insufficient_privilege then
  if exists (select from pg_trigger where tgrelid = relation) then
    raise insufficient_privilege using
      message = format('%s: got triggers or foreign keys that would fire when rows are moved, want the right to set session_replication_role',
        relation),
      hint = format('grant set on parameter session_replication_role to %I', current_user);
  end if;
end $$;
alter function ladder.silence_triggers(regclass) owner to ladder_admin;

-- One partition by time. A whole period of a table that pg_partman knows is made by pg_partman.
create function ladder.make_time_partition(relation regclass, partition_column name, span tstzrange) returns regclass
language sql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
  select ladder.make_partition(
    relation,
    partman.check_name_length(c.relname::text, to_char(lower(span),
      case when lower(span) = date_trunc('day', lower(span)) then 'YYYYMMDD' else 'YYYYMMDD_HH24MISS' end), true),
    format('for values from (%L) to (%L)', lower(span), upper(span)),
    format('%I >= %L and %1$I < %3$L', partition_column, lower(span), upper(span)),
    case when upper(span) = lower(span) + p.partition_interval::interval then lower(span) end)
  from pg_class c
  left join partman.part_config p on p.parent_table = ladder.partman_name(relation)
  where c.oid = relation
$$;
alter function ladder.make_time_partition(regclass, name, tstzrange) owner to ladder_admin;
revoke all on function ladder.make_alike(regclass, regclass), ladder.partman_name(regclass),
  ladder.make_partition(regclass, text, text, text, timestamptz),
  ladder.silence_triggers(regclass), ladder.make_time_partition(regclass, name, tstzrange) from public;
