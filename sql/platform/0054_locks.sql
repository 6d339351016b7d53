-- View ladder.locks: locks that are waited for, and the strong ones that are held on tables.
create view ladder.locks as
select
  l.pid,
  a.usename::text as "user",
  l.granted,
  l.mode,
  l.locktype as kind,
  case when c.oid is null then l.relation::text else pg_catalog.format('%I.%I', n.nspname, c.relname) end as object,
  round(extract(epoch from pg_catalog.clock_timestamp() - coalesce(l.waitstart, a.xact_start)))::bigint as since_seconds,
  a.state,
  pg_catalog.left(a.query, 300) as query
from pg_catalog.pg_locks l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
left join pg_catalog.pg_class c on c.oid = l.relation
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where l.pid is distinct from pg_catalog.pg_backend_pid()
  and (not l.granted or l.locktype = 'relation' and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
order by l.granted, since_seconds desc nulls last;
alter view ladder.locks owner to ladder_admin;
grant select on ladder.locks to ladder_monitor;
comment on view ladder.locks is 'Locks not granted, and held ones that block writers';
