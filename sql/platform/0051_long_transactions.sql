-- View ladder.long_transactions: transactions older than a minute, prepared ones too: they hold locks and keep dead rows from being removed.
create view ladder.long_transactions as
select
  a.pid,
  a.usename::text as "user",
  a.datname::text as database,
  a.application_name as application,
  round(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start))::bigint as transaction_seconds,
  round(extract(epoch from pg_catalog.clock_timestamp() - a.state_change))::bigint as state_seconds,
  a.state,
  pg_catalog.concat_ws(' ', a.wait_event_type, a.wait_event) as waits_for,
  pg_catalog.left(a.query, 500) as query,
  pg_catalog.format('select pg_terminate_backend(%s)', a.pid) as fix
from pg_catalog.pg_stat_activity a
where a.backend_type = 'client backend' and a.xact_start < pg_catalog.clock_timestamp() - interval '1 minute'
union all
select
  null, p.owner::text, p.database::text, null, round(extract(epoch from pg_catalog.clock_timestamp() - p.prepared))::bigint,
  round(extract(epoch from pg_catalog.clock_timestamp() - p.prepared))::bigint, 'prepared', '', null,
  pg_catalog.format('rollback prepared %L', p.gid)
from pg_catalog.pg_prepared_xacts p
where p.prepared < pg_catalog.clock_timestamp() - interval '1 minute'
order by transaction_seconds desc;
alter view ladder.long_transactions owner to ladder_admin;
grant select on ladder.long_transactions to ladder_monitor;
comment on view ladder.long_transactions is 'Transactions older than a minute, open or prepared';
