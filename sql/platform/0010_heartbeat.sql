-- Table ladder.heartbeat: one row that the primary's agent touches. A replica's lag is now() - beat; bytes of WAL say nothing on an idle
-- primary. Small pages' worth of free space keeps the updates inside one page.
create table ladder.heartbeat (
  id boolean primary key default true check (id),
  beat timestamptz not null default clock_timestamp()
) with (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
alter table ladder.heartbeat owner to ladder_admin;
insert into ladder.heartbeat default values;
grant select on ladder.heartbeat to ladder_monitor;
