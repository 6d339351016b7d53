-- View ladder.job_runs: the runs of jobs and tasks, newest first; of routine jobs the failures only. Without pg_cron: tasks only.
create function ladder.cron_runs(
  out job text, out state text, out started timestamptz, out finished timestamptz, out message text, out command text
)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regclass('cron.job_run_details') is null then
    return;
  end if;
  return query
  select coalesce(j.jobname, format('job %s, which is gone', d.jobid)), d.status, d.start_time, d.end_time, d.return_message, d.command
  from cron.job_run_details d
  left join cron.job j on j.jobid = d.jobid;
end $$;
alter function ladder.cron_runs() owner to ladder_admin;
revoke all on function ladder.cron_runs() from public;
grant execute on function ladder.cron_runs() to ladder_monitor;

create view ladder.job_runs as
select
  r.job,
  r.state,
  r.started,
  round(1000 * extract(epoch from coalesce(r.finished, pg_catalog.clock_timestamp()) - r.started))::bigint as took_ms,
  r.message,
  r.command
from (
  select c.job, c.state, c.started, c.finished, c.message, c.command
  from ladder.cron_runs() c
  where c.job <> 'ladder-task' and c.command <> all (select t.statement from ladder.task t)
    and (c.state <> 'succeeded' or c.job <> all (select j.name from ladder.job j where j.routine))
  union all
  select pg_catalog.format('%s %s', t.kind, t.object), case t.state when 'done' then 'succeeded' else t.state end, t.started, t.finished, t.message, t.statement
  from ladder.task t
) r
order by r.started desc nulls first;
alter view ladder.job_runs owner to ladder_admin;
grant select on ladder.job_runs to ladder_monitor;
comment on view ladder.job_runs is 'Runs of jobs and maintenance tasks, newest first; of routine jobs the failures only';
