-- View ladder.replication_slots: the WAL that each slot keeps from being removed.
create view ladder.replication_slots as
select
  s.slot_name::text as slot,
  s.slot_type as kind,
  s.database::text as database,
  s.active,
  s.wal_status,
  pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end, s.restart_lsn)::bigint as kept_bytes,
  s.safe_wal_size as left_bytes,
  s.inactive_since,
  s.failover,
  case when s.active then null else pg_catalog.format('select pg_drop_replication_slot(%L)', s.slot_name) end as fix
from pg_catalog.pg_replication_slots s
order by kept_bytes desc nulls last;
alter view ladder.replication_slots owner to ladder_admin;
grant select on ladder.replication_slots to ladder_monitor;
comment on view ladder.replication_slots is 'Replication slots and the WAL that they keep';
