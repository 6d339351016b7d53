-- Table ladder.task, functions ladder.ask_task and ladder.run_tasks: maintenance that PostgreSQL lets nobody do inside a transaction, one
-- statement after the other. pg_cron runs each as a job of its own; kind reorder is done by the agent, which has pg_repack.
create sequence ladder.task_id;
create table ladder.task (
  id bigint primary key default nextval('ladder.task_id'),
  asked timestamptz not null default clock_timestamp(),
  started timestamptz,
  finished timestamptz,
  kind text not null check (kind in ('reindex', 'drop', 'reorder')),
  state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
  object text not null,
  statement text not null,
  message text
);
alter sequence ladder.task_id owned by ladder.task.id;
alter table ladder.task owner to ladder_admin;
create unique index task_open on ladder.task (kind, object) where state in ('waiting', 'running');
grant select on ladder.task to ladder_monitor;
comment on column ladder.task.statement is 'SQL; of kind reorder the columns that the rows are put in order by';

create function ladder.ask_task(kind text, object text, statement text)
returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$
  with asked as (
    insert into ladder.task (kind, object, statement) values (kind, object, statement) on conflict do nothing returning id
  )
  select exists (select from asked)
$$;
alter function ladder.ask_task(text, text, text) owner to ladder_admin;
revoke all on function ladder.ask_task(text, text, text) from public;
comment on function ladder.ask_task(text, text, text) is 'Asks for a task unless the same one waits or runs';

create function ladder.run_tasks(schedule text default null)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  job constant text := 'ladder-task';
  task ladder.task;
  run record;
  due timestamp;
begin
  perform pg_advisory_xact_lock(1818322020, 62);
  select * into task from ladder.task t where t.state = 'running' and t.kind <> 'reorder';
  if found then
    select d.status, d.return_message, d.end_time into run
    from cron.job j
    left join cron.job_run_details d on d.jobid = j.jobid
    where j.jobname = job and j.username = current_user
    order by d.runid desc
    limit 1;
    if found and run.status is null and task.started > now() - interval '10 minutes' or run.status not in ('succeeded', 'failed') then
      return format('%s %s: under way', task.kind, task.object);
    end if;
    perform cron.unschedule(j.jobid) from cron.job j where j.jobname = job and j.username = current_user;
    update ladder.task t
    set state = case run.status when 'succeeded' then 'done' when 'failed' then 'failed' else 'waiting' end,
      finished = run.end_time, message = run.return_message
    where t.id = task.id;
    if run.status = 'failed' and task.kind = 'reindex' then
      perform ladder.ask_left_over();
    end if;
  end if;
  select * into task from ladder.task t where t.state = 'waiting' and t.kind <> 'reorder' order by t.kind, t.id limit 1;
  if not found then
    return null;
  end if;
  -- A job that starts at one minute of one day: it runs once, and is gone long before its next turn, in a year.
  due := (now() + interval '70 seconds') at time zone coalesce(current_setting('cron.timezone', true), 'GMT');
  perform cron.schedule(job, coalesce(schedule, to_char(due, 'FMMI FMHH24 FMDD FMMM *')), task.statement);
  update ladder.task t set state = 'running', started = now() where t.id = task.id;
  return format('%s %s: begun', task.kind, task.object);
end $$;
alter function ladder.run_tasks(text) owner to ladder_admin;
revoke all on function ladder.run_tasks(text) from public;
comment on function ladder.run_tasks(text) is 'Notes how the running task ended, and begins the next one; the job ladder-tasks calls it every minute';
