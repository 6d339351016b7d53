-- View ladder.replication: on a primary a line for each server that streams from it; on a replica its own, with the heartbeat's age.
create view ladder.replication as
select
  r.application_name as node,
  r.client_addr::text as address,
  r.state,
  r.sync_state as synchronous,
  pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_receive_lsn() else pg_catalog.pg_current_wal_lsn() end, r.sent_lsn)::bigint as unsent_bytes,
  pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_receive_lsn() else pg_catalog.pg_current_wal_lsn() end, coalesce(r.replay_lsn, r.write_lsn))::bigint as lag_bytes,
  round(extract(epoch from r.replay_lag), 3) as lag_seconds,
  'replay' as measured_by
from pg_catalog.pg_stat_replication r
union all
select
  coalesce(w.slot_name, '(this replica)'),
  w.sender_host,
  coalesce(w.status, 'not streaming'),
  null,
  null,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::bigint,
  round(extract(epoch from pg_catalog.clock_timestamp() - h.beat), 3),
  'heartbeat'
from ladder.heartbeat h
left join pg_catalog.pg_stat_wal_receiver w on true
where pg_catalog.pg_is_in_recovery();
alter view ladder.replication owner to ladder_admin;
grant select on ladder.replication to ladder_monitor;
comment on view ladder.replication is 'Each replica: state, lag in bytes and seconds; asked on a replica, also by the heartbeat';
comment on column ladder.replication.lag_seconds is
  'replay: how long the last commits took to be replayed, null when nothing is behind. heartbeat: at most five seconds more than the real lag';
