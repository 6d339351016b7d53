-- Table ladder.job, functions ladder.ensure_jobs, ladder.beat and ladder.forget_history: the platform's jobs, by name. pg_cron runs them on the
-- primary only, so they move with it at a fail-over.
create table ladder.job (
  wanted boolean not null default true,
  routine boolean not null default false,
  name text primary key check (name like 'ladder-%'),
  schedule text not null,
  command text not null,
  view text unique,
  what text not null,
  problem text
);
alter table ladder.job owner to ladder_admin;
grant select on ladder.job to ladder_monitor;
comment on table ladder.job is 'What pg_cron shall run, times in cron.timezone (GMT). After a change: select ladder.ensure_jobs()';
comment on column ladder.job.routine is 'Runs so often that only failures are kept for more than an hour';
comment on column ladder.job.view is 'The materialized view whose comment made this job';

insert into ladder.job (name, schedule, routine, command, what) values
  ('ladder-heartbeat', '5 seconds', true, 'select ladder.beat()', 'touches ladder.heartbeat, from which replicas know their lag'),
  ('ladder-tasks', '* * * * *', true, 'select ladder.run_tasks()', 'begins and ends the tasks of ladder.task'),
  ('ladder-settle', '55 * * * *', false, 'select ladder.ensure_jobs(); select ladder.settle_autovacuum()',
    'jobs and autovacuum settings as declared, also for new partitions'),
  ('ladder-index-use', '40 * * * *', false, 'select ladder.note_index_use(''primary'')', 'notes which indexes were used'),
  ('ladder-history', '50 * * * *', false, 'select ladder.forget_history()', 'forgets old runs of jobs'),
  ('ladder-bloat', '30 1 * * *', false, 'call ladder.measure_bloat()', 'measures bloat, ten minutes a night'),
  ('ladder-reindex', '0 2 * * 0', false, 'select ladder.ask_reindex()', 'weekly: rebuilds bloated indexes concurrently'),
  ('ladder-analyze', '0 3 1 * *', false, 'analyze', 'monthly: fresh statistics of every table'),
  ('ladder-reorder', '0 4 1 1,4,7,10 *', false, 'select ladder.ask_reorder()', 'quarterly: hot tables anew in the order of an index');

create function ladder.ensure_jobs()
returns setof text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  change record;
begin
  if to_regclass('cron.job') is null then
    return next 'no jobs: this database has no pg_cron';
    return;
  end if;
  perform pg_advisory_xact_lock(1818322020, 66);
  insert into ladder.job as j (name, schedule, command, view, what)
  select 'ladder-refresh:' || v.name, v.schedule, format('select ladder.refresh(%L)', v.name), v.name, format('refreshes the materialized view %s', v.name)
  from (
    select format('%I.%I', n.nspname, c.relname) as name, trim(substr(obj_description(c.oid, 'pg_class'), 9)) as schedule
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'm' and obj_description(c.oid, 'pg_class') ~ '^refresh:'
  ) v
  on conflict (name) do update set schedule = excluded.schedule, wanted = true where (j.schedule, j.wanted) is distinct from (excluded.schedule, true);
  update ladder.job j set wanted = false
  where j.view is not null and j.wanted
    and not exists (select from pg_class c where c.oid = to_regclass(j.view) and c.relkind = 'm' and obj_description(c.oid, 'pg_class') ~ '^refresh:');
  for change in
    select j.*, c.jobid, j.wanted and (c.jobid is null or (c.schedule, c.command) is distinct from (j.schedule, j.command)) as schedules
    from ladder.job j
    left join cron.job c on c.jobname = j.name and c.username = current_user
    where j.wanted and (c.jobid is null or (c.schedule, c.command) is distinct from (j.schedule, j.command))
      or not j.wanted and c.jobid is not null
    order by j.name
  loop
    begin
      if change.schedules then
        perform cron.schedule(change.name, change.schedule, change.command);
        return next format('%s: %s', change.name, change.schedule);
      else
        perform cron.unschedule(change.jobid);
        return next format('%s: no more', change.name);
      end if;
      update ladder.job j set problem = null where j.name = change.name and j.problem is not null;
    exception when others then
      update ladder.job j set problem = sqlerrm where j.name = change.name;
      return next format('%s: got %L: %s', change.name, change.schedule, sqlerrm);
    end;
  end loop;
  delete from ladder.job j where j.view is not null and not j.wanted;
end $$;
alter function ladder.ensure_jobs() owner to ladder_admin;
revoke all on function ladder.ensure_jobs() from public;
comment on function ladder.ensure_jobs() is
  'Makes pg_cron''s jobs what ladder.job and the comments on materialized views ("refresh: <schedule>") say; answers what changed';

-- Not worth waiting for a replica, nor a line of the audit log every five seconds.
create function ladder.beat()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('synchronous_commit', 'local', true);
  if (select r.rolsuper from pg_roles r where r.rolname = current_user) then
    perform set_config('pgaudit.log', 'ddl,role', true);
  end if;
  update ladder.heartbeat set beat = clock_timestamp();
end $$;
alter function ladder.beat() owner to ladder_admin;
revoke all on function ladder.beat() from public;

create function ladder.forget_history()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  forgotten bigint;
begin
  -- Of each job the last run and the last success stay.
  delete from cron.job_run_details d
  using (
    select r.runid, r.status, r.jobid, row_number() over (partition by r.jobid, r.status order by r.runid desc) as age
    from cron.job_run_details r
  ) k
  where d.runid = k.runid
    and (k.age > 1 or not exists (select from cron.job j where j.jobid = k.jobid))
    and d.end_time < now() - case
      when d.status = 'succeeded' and exists (select from ladder.job j where j.command = d.command and j.routine) then interval '1 hour'
      else interval '30 days'
    end;
  get diagnostics forgotten = row_count;
  delete from ladder.task t where t.state in ('done', 'failed') and t.finished < now() - interval '400 days';
  return forgotten;
end $$;
alter function ladder.forget_history() owner to ladder_admin;
revoke all on function ladder.forget_history() from public;
comment on function ladder.forget_history() is 'Deletes runs of jobs after 30 days (successes of routine jobs after an hour) and tasks after 400 days';
