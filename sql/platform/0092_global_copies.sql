-- View ladder.global_copies: on the gateway: how far each shard's copy of the global tables is behind.
create view ladder.global_copies as
select
  r.replay_lag,
  pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.confirmed_flush_lsn)::bigint as bytes_behind,
  substr(s.slot_name, 15)::integer as shard,
  case
    when s.invalidation_reason is not null or s.wal_status = 'lost' then 'lost'
    when s.active then 'following'
    else 'away'
  end as state,
  s.slot_name as slot
from pg_replication_slots s
left join pg_stat_replication r on r.pid = s.active_pid
where s.slot_name ~ '^ladder_global_[0-9]+$' and s.database = current_database();
alter view ladder.global_copies owner to ladder_admin;
grant select on ladder.global_copies to ladder_monitor;
comment on view ladder.global_copies is 'following, away (the shard does not ask for changes), lost (the next look copies anew)';
comment on column ladder.global_copies.bytes_behind is 'WAL that the shard has not confirmed; also what other tables write counts until the next confirmation';
