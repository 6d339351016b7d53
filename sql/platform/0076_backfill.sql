-- Procedure ladder.backfill: changes the rows of a large table in batches, each committed by itself, in the order of the primary key. It slows
-- down when replicas fall behind, shows its progress in ladder.backfill_progress, goes on where it stopped, and never runs twice at once.
-- It runs with the caller's rights. `condition` says which rows still need it, so that rows changed by others meanwhile are left alone.
create function ladder.backfill_statement(target regclass, assignment text, condition text, batch integer, last_key jsonb) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  keys text;      -- k.a, k.b
  aliased text;   -- k.a as ladder_key_1, …
  same text;      -- t.a = chunk.ladder_key_1 and …
  pairs text;     -- 'a', ladder_key_1, …
  backwards text; -- ladder_key_1 desc, …
  since text;
begin
  select string_agg(format('k.%I', a.attname), ', ' order by p.place),
    string_agg(format('k.%I as ladder_key_%s', a.attname, p.place), ', ' order by p.place),
    string_agg(format('ladder_row.%I = chunk.ladder_key_%s', a.attname, p.place), ' and ' order by p.place),
    string_agg(format('%L, ladder_key_%s::text', a.attname, p.place), ', ' order by p.place),
    string_agg(format('ladder_key_%s desc', p.place), ', ' order by p.place),
    string_agg(format('%L::%s', last_key ->> a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by p.place)
  into keys, aliased, same, pairs, backwards, since
  from pg_index i
  cross join unnest(i.indkey) with ordinality p (attnum, place)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = p.attnum
  where i.indrelid = target and i.indisprimary;
  if keys is null then
    raise invalid_parameter_value using message = format('table: got %s, want a table with a primary key', target);
  end if;
  return format(
    'with chunk as materialized (select %1$s from %2$s as k %3$s order by %4$s limit %5$s),
       done as (update %2$s as ladder_row set %6$s from chunk where %7$s and (%8$s) returning 1)
     select (select count(*) from chunk), (select count(*) from done),
       (select jsonb_build_object(%9$s) from chunk order by %10$s limit 1)',
    aliased, target, case when last_key is not null then format('where (%s) > (%s)', keys, since) end, keys, batch,
    assignment, same, condition, pairs, backwards);
end $$;
alter function ladder.backfill_statement(regclass, text, text, integer, jsonb) owner to ladder_admin;

-- Takes the row of ladder.backfill_progress for this session, and counts the run up, so that an earlier holder that is still alive stops.
create function ladder.backfill_begin(target regclass, assignment text, condition text) returns ladder.backfill_progress
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  progress ladder.backfill_progress;
  rows_now bigint;
begin
  if row_security_active(target) and not pg_has_role(current_user, 'ladder_all_tenants', 'usage') then
    raise insufficient_privilege using
      message = format('table: got %s, whose rows are kept apart by policies, want a role that sees all of them', target),
      hint = 'Call it as ladder_admin, or after: set role ladder_all_tenants';
  end if;
  select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint into rows_now
    from pg_class c where c.oid in (select relid from pg_partition_tree(target) where isleaf union select target) and c.relkind = 'r';
  -- An insert would wait for the batch of a run that is under way.
  if not exists (select from ladder.backfill_progress b
      where b.relation = target::text and b.assignment = backfill_begin.assignment and b.condition = backfill_begin.condition) then
    insert into ladder.backfill_progress (relation, assignment, condition, estimated, run, pid)
      values (target::text, assignment, condition, rows_now, 0, null)
      on conflict do nothing;
  end if;
  select * into progress from ladder.backfill_progress b
    where b.relation = target::text and b.assignment = backfill_begin.assignment and b.condition = backfill_begin.condition
    for update nowait;
  if progress.state in ('running', 'waiting for replicas') and progress.pid is distinct from pg_backend_pid()
      and progress.updated_at > clock_timestamp() - interval '10 s'
      and exists (select from pg_stat_activity where pid = progress.pid) then
    raise object_in_use using message = format('backfill of %s: got a second call, want one at a time; session %s runs it', target, progress.pid);
  end if;
  update ladder.backfill_progress b
    set state = 'running', run = b.run + 1, pid = pg_backend_pid(), role = current_user, updated_at = clock_timestamp(), error = null, finished_at = null,
      last_key = case when b.state <> 'done' then b.last_key end,
      looked_at = case when b.state <> 'done' then b.looked_at else 0 end,
      changed = case when b.state <> 'done' then b.changed else 0 end,
      started_at = case when b.state <> 'done' and b.run > 0 then b.started_at else clock_timestamp() end,
      estimated = rows_now
    where b.relation = progress.relation and b.assignment = progress.assignment and b.condition = progress.condition
    returning * into progress;
  return progress;
exception when lock_not_available then
  raise object_in_use using message = format('backfill of %s: got a second call, want one at a time', target);
end $$;
alter function ladder.backfill_begin(regclass, text, text) owner to ladder_admin;

create procedure ladder.backfill(
  relation regclass, assignment text, condition text, batch integer default 1000,
  pause interval default '0', max_backlog bigint default 16777216)
language plpgsql
as $$
declare
  progress ladder.backfill_progress;
  looked bigint;
  altered bigint;
  reached jsonb;
  failure text;
  code text;
begin
  if batch not between 1 and 100000 then
    raise invalid_parameter_value using message = pg_catalog.format('batch: got %s, want a number of rows from 1 to 100000', batch);
  end if;
  progress := ladder.backfill_begin(relation, assignment, condition);
  commit;
  loop
    begin
      -- Locks the row for the batch: a session that lost it to another one finds nothing.
      update ladder.backfill_progress b set updated_at = pg_catalog.clock_timestamp(), state = 'running'
        where (b.relation, b.assignment, b.condition, b.run) = (progress.relation, progress.assignment, progress.condition, progress.run);
      if not found then
        raise object_in_use using message = pg_catalog.format('backfill of %s: another session has taken it over', relation);
      end if;
      execute ladder.backfill_statement(relation, assignment, condition, batch, progress.last_key) into looked, altered, reached;
      update ladder.backfill_progress b
        set looked_at = b.looked_at + looked, changed = b.changed + altered, last_key = coalesce(reached, b.last_key),
          updated_at = pg_catalog.clock_timestamp(), state = case when looked < batch then 'done' else 'running' end,
          finished_at = case when looked < batch then pg_catalog.clock_timestamp() end
        where (b.relation, b.assignment, b.condition) = (progress.relation, progress.assignment, progress.condition)
        returning * into progress;
      failure := null;
    exception when others or query_canceled then
      get stacked diagnostics failure = message_text, code = returned_sqlstate;
    end;
    if failure is not null then
      update ladder.backfill_progress b set state = 'failed', error = failure, updated_at = pg_catalog.clock_timestamp()
        where (b.relation, b.assignment, b.condition, b.run) = (progress.relation, progress.assignment, progress.condition, progress.run);
      commit;
      raise exception using errcode = code, message = failure, hint = 'Call it again with the same arguments: it goes on where it stopped';
    end if;
    commit;
    exit when progress.state = 'done';
    if pause > '0' then
      perform pg_catalog.pg_sleep_for(pause);
    end if;
    while ladder.replica_backlog() > max_backlog loop
      update ladder.backfill_progress b set state = 'waiting for replicas', updated_at = pg_catalog.clock_timestamp()
        where (b.relation, b.assignment, b.condition, b.run) = (progress.relation, progress.assignment, progress.condition, progress.run);
      commit;
      perform pg_catalog.pg_sleep(0.2);
    end loop;
  end loop;
end $$;
alter procedure ladder.backfill(regclass, text, text, integer, interval, bigint) owner to ladder_admin;
comment on procedure ladder.backfill(regclass, text, text, integer, interval, bigint) is
  'call ladder.backfill(''users'', ''email_lower = lower(email)'', ''email_lower is null''); max_backlog in bytes of write-ahead log';
