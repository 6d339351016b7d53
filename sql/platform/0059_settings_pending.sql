-- View ladder.settings_pending: parameters that are changed and wait for a restart.
create view ladder.settings_pending as
select s.name, pg_catalog.current_setting(s.name) as in_use, 'waits for a restart' as problem
from pg_catalog.pg_settings s
where s.pending_restart;
alter view ladder.settings_pending owner to ladder_admin;
grant select on ladder.settings_pending to ladder_monitor;
comment on view ladder.settings_pending is 'Changed parameters that wait for a restart';
