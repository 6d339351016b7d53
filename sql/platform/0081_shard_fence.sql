-- Sequence ladder.shard_fence: who may write where a shard's tables are fenced. Functions ladder.close_fence, ladder.drop_fence: put the fence
-- around a table and take it away. It refuses with LB001, upon which routers read the map again. What replication applies is not refused.
-- A sequence, because its value is seen by every statement at once, also in transactions that look at an older state of the tables.
-- A migration's definitions may write too: what they write on a shard is taken out again (0091).
create sequence ladder.shard_fence as integer minvalue 0 maxvalue 2 start 0;
alter sequence ladder.shard_fence owner to ladder_admin;
grant select on sequence ladder.shard_fence to ladder_monitor;
comment on sequence ladder.shard_fence is '0: nobody writes past the fence, 1: the gateway does, 2: everybody does';

-- Whose rights a statement has is of no matter, only who has logged in: the gateway, or somebody else.
create function ladder.refuse_beyond_fence() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (select last_value >= case session_user when 'ladder_gateway' then 1 else 2 end from ladder.shard_fence) or ladder.is_migration() then
    return null;
  end if;
  raise exception using errcode = 'LB001',
    message = format('%I.%I: got a write while its rows are moving between servers, want it where the shard map says', tg_table_schema, tg_table_name),
    hint = 'Nothing was done: read ladder.shard_map on the gateway and try again';
end $$;
alter function ladder.refuse_beyond_fence() owner to ladder_admin;

create function ladder.refuse_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise object_not_in_prerequisite_state using
    message = format('%I.%I: got TRUNCATE while the way back to one server is kept, which would not see it', tg_table_schema, tg_table_name),
    hint = 'DELETE, or end the way back first: ladder finish';
end $$;
alter function ladder.refuse_truncate() owner to ladder_admin;

-- A statement's triggers are those of the table that it names, so partitions need their own.
create function ladder.guard_statements(relation regclass, trigger name, events text, function regproc) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  part regclass;
begin
  for part in
    select c.oid from pg_class c
    where c.relkind in ('r', 'p') and c.oid in (select relid from pg_partition_tree(relation) union select relation)
      and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = guard_statements.trigger)
    order by c.oid
  loop
    execute format('create trigger %I before %s on %s for each statement execute function %s()', trigger, events, part, function);
  end loop;
end $$;
alter function ladder.guard_statements(regclass, name, text, regproc) owner to ladder_admin;

create function ladder.unguard_statements(relation regclass, trigger name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  part regclass;
begin
  for part in
    select t.tgrelid from pg_trigger t
    where t.tgname = unguard_statements.trigger and t.tgrelid in (select relid from pg_partition_tree(relation) union select relation)
    order by t.tgrelid
  loop
    execute format('drop trigger %I on %s', trigger, part);
  end loop;
end $$;
alter function ladder.unguard_statements(regclass, name) owner to ladder_admin;

create function ladder.close_fence(relation regclass) returns void
language sql
begin atomic
  select ladder.guard_statements(relation, 'ladder_fence', 'insert or update or delete or truncate', 'ladder.refuse_beyond_fence'::regproc);
end;
alter function ladder.close_fence(regclass) owner to ladder_admin;
comment on function ladder.close_fence(regclass) is 'Refuses writes to the table and its partitions from all whom ladder.shard_fence does not let through';

create function ladder.drop_fence(relation regclass) returns void
language sql
begin atomic
  select ladder.unguard_statements(relation, 'ladder_fence');
end;
alter function ladder.drop_fence(regclass) owner to ladder_admin;

revoke all on function ladder.refuse_beyond_fence(), ladder.refuse_truncate(), ladder.guard_statements(regclass, name, text, regproc),
  ladder.unguard_statements(regclass, name), ladder.close_fence(regclass), ladder.drop_fence(regclass) from public;
