-- View ladder.running: the statements that run now, longest first, and what each waits for.
create view ladder.running as
select
  a.pid,
  a.usename::text as "user",
  a.application_name as application,
  round(1000 * extract(epoch from pg_catalog.clock_timestamp() - a.query_start))::bigint as running_ms,
  pg_catalog.concat_ws(' ', a.wait_event_type, a.wait_event) as waits_for,
  a.query_id::text as query_id,
  pg_catalog.left(a.query, 500) as query,
  pg_catalog.format('select pg_cancel_backend(%s)', a.pid) as fix
from pg_catalog.pg_stat_activity a
where a.state = 'active' and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
order by running_ms desc;
alter view ladder.running owner to ladder_admin;
grant select on ladder.running to ladder_monitor;
comment on view ladder.running is 'Statements that run now, longest first';
