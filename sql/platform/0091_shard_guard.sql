-- Functions ladder.guard_shard and ladder.unguard_shard: on a shard nobody writes to tables whose rows come from the gateway, or are there only.
-- What replication applies is not refused, nor what a migration's DO block does, which is taken out again.
create function ladder.is_migration() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select current_setting('ladder.definitions', true) = 'on' and pg_has_role(session_user, 'ladder_admin', 'member')
$$;
alter function ladder.is_migration() owner to ladder_admin;

create function ladder.refuse_global_write() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if ladder.is_migration() then
    return null;
  end if;
  raise exception using errcode = 'LB002',
    message = format('%I.%I is a global table: got a write on the shard %s, want it on the gateway, which copies it to every shard',
      tg_table_schema, tg_table_name, coalesce((select here from ladder.shard_map), current_database())),
    hint = 'Write it through the write URL.';
end $$;
alter function ladder.refuse_global_write() owner to ladder_admin;

create function ladder.refuse_elsewhere() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if ladder.is_migration() then
    return null;
  end if;
  raise exception using errcode = 'LB002',
    message = format('%I.%I is whole on the gateway: got a write on the shard %s, want it there',
      tg_table_schema, tg_table_name, coalesce((select here from ladder.shard_map), current_database())),
    hint = 'Use the write URL; a table that shall be on shards is declared with shardBy or global under tables.';
end $$;
alter function ladder.refuse_elsewhere() owner to ladder_admin;

create function ladder.guard_shard(sharded regclass[], globals regclass[]) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  change record;
  changes integer := 0;
begin
  for change in
    with member as (
      select p.relid as oid, t.kind
      from (select unnest(sharded) as root, 'sharded' as kind union all select unnest(globals), 'ladder_global') t
      cross join lateral (select relid from pg_partition_tree(t.root) union select t.root) p
    ),
    wanted as (
      select c.oid, coalesce(m.kind, 'ladder_elsewhere')::name as trigger
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      left join member m on m.oid = c.oid
      where c.relkind in ('r', 'p') and c.relpersistence <> 't' and m.kind is distinct from 'sharded'
        and n.nspname !~ '^(pg_|ladder|information_schema$|partman$|cron$)'
        and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    )
    select coalesce(w.oid, g.tgrelid)::regclass as relation, w.trigger as wanted, g.tgname as present
    from wanted w
    full join (select t.tgrelid, t.tgname from pg_trigger t where t.tgname in ('ladder_global', 'ladder_elsewhere')) g on g.tgrelid = w.oid
    where w.trigger is distinct from g.tgname
    order by 1
  loop
    if change.present is not null then
      execute format('drop trigger %I on %s', change.present, change.relation);
    end if;
    if change.wanted is not null then
      execute format('create trigger %I before insert or update or delete or truncate on %s for each statement execute function %s()',
        change.wanted, change.relation, case change.wanted when 'ladder_global' then 'ladder.refuse_global_write' else 'ladder.refuse_elsewhere' end);
    end if;
    changes := changes + 1;
  end loop;
  return changes;
end $$;
alter function ladder.guard_shard(regclass[], regclass[]) owner to ladder_admin;
comment on function ladder.guard_shard(regclass[], regclass[]) is
  'Refuses writes, with LB002, to every table of the application that is not sharded; returns the number of triggers that changed';

create function ladder.unguard_shard() returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  guard record;
  changes integer := 0;
begin
  for guard in select tgrelid::regclass as relation, tgname from pg_trigger where tgname in ('ladder_global', 'ladder_elsewhere') order by 1 loop
    execute format('drop trigger %I on %s', guard.tgname, guard.relation);
    changes := changes + 1;
  end loop;
  return changes;
end $$;
alter function ladder.unguard_shard() owner to ladder_admin;
revoke all on function ladder.is_migration(), ladder.refuse_global_write(), ladder.refuse_elsewhere(), ladder.guard_shard(regclass[], regclass[]),
  ladder.unguard_shard() from public;
