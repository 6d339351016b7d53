-- View ladder.jobs: every job of pg_cron: when it runs, how it ended last, since when it fails. Empty in a database without pg_cron.
create function ladder.cron_jobs(
  out name text, out schedule text, out active boolean, out last_run timestamptz, out last_state text, out last_success timestamptz,
  out failing_since timestamptz, out failures bigint, out message text, out command text
)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regclass('cron.job') is null then
    return;
  end if;
  return query
  select coalesce(j.jobname, format('job %s', j.jobid)), j.schedule, j.active, l.start_time, l.status, s.last_success,
    case when l.status = 'failed' then f.since end, case when l.status = 'failed' then f.failures else 0 end,
    case when l.status = 'failed' then l.return_message end, j.command
  from cron.job j
  left join lateral (
    select d.start_time, d.status, d.return_message from cron.job_run_details d
    where d.jobid = j.jobid and d.status in ('succeeded', 'failed') order by d.runid desc limit 1
  ) l on true
  left join lateral (
    select max(d.start_time) as last_success, max(d.runid) as last_id from cron.job_run_details d where d.jobid = j.jobid and d.status = 'succeeded'
  ) s on true
  left join lateral (
    select min(d.start_time) as since, count(*) as failures from cron.job_run_details d
    where d.jobid = j.jobid and d.status = 'failed' and d.runid > coalesce(s.last_id, 0)
  ) f on true;
end $$;
alter function ladder.cron_jobs() owner to ladder_admin;
revoke all on function ladder.cron_jobs() from public;
grant execute on function ladder.cron_jobs() to ladder_monitor;

create view ladder.jobs as
select
  coalesce(c.name, j.name) as job,
  coalesce(c.schedule, j.schedule) as schedule,
  case when c.name is null then 'not scheduled' when not c.active then 'switched off' else coalesce(c.last_state, 'not run yet') end as state,
  c.last_run,
  c.last_success,
  c.failing_since,
  c.failures,
  coalesce(j.problem, c.message) as message,
  j.what,
  coalesce(c.command, j.command) as command
from ladder.cron_jobs() c
full join (select * from ladder.job w where w.wanted) j on j.name = c.name
order by c.failing_since, job;
alter view ladder.jobs owner to ladder_admin;
grant select on ladder.jobs to ladder_monitor;
comment on view ladder.jobs is 'Jobs of pg_cron: schedule, last run, since when they fail';
comment on column ladder.jobs.failing_since is 'First failure after the last success';
