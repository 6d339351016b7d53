-- View ladder.connections: who uses how many of this server's connections. The pooler's own numbers are in its console: ladder pools.
create view ladder.connections as
select
  coalesce(a.usename::text, case when grouping(a.usename) = 1 then '(all)' else '(none)' end) as "user",
  case when grouping(a.datname) = 1 then '(all)' else a.datname::text end as database,
  count(*) as total,
  count(*) filter (where a.state = 'active') as active,
  count(*) filter (where a.state = 'idle') as idle,
  count(*) filter (where a.state ~ '^idle in transaction') as idle_in_transaction,
  count(*) filter (where a.wait_event_type = 'Lock') as waiting_for_locks,
  pg_catalog.current_setting('max_connections')::integer as max_connections,
  round(100.0 * count(*) / pg_catalog.current_setting('max_connections')::integer, 2) as used_percent
from pg_catalog.pg_stat_activity a
where a.backend_type = 'client backend'
group by grouping sets ((), (a.usename, a.datname))
order by grouping(a.usename) desc, total desc;
alter view ladder.connections owner to ladder_admin;
grant select on ladder.connections to ladder_monitor;
comment on view ladder.connections is 'Connections to this server by role and database, and their share of max_connections';
