-- Table ladder.id_range: which server draws ids from which range, so that no id is ever given twice; the gateway draws from range 0.
-- Function ladder.incarnation: what tells this database from every other one, also from one that had its name before.
create sequence ladder.id_range_number maxvalue 1023;
create table ladder.id_range (
  given_at timestamptz not null default now(),
  number integer not null unique check (number between 1 and 1023),
  incarnation text primary key,
  server text not null
);
alter sequence ladder.id_range_number owned by ladder.id_range.number;
alter table ladder.id_range owner to ladder_admin;
grant select on ladder.id_range to ladder_monitor;
comment on table ladder.id_range is 'On the gateway every range that was ever given, on a shard its own. A number is never given again: rows outlive their shard';

create function ladder.incarnation() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select s.system_identifier || '/' || d.oid from pg_control_system() s, pg_database d where d.datname = current_database()
$$;
alter function ladder.incarnation() owner to ladder_admin;

create function ladder.take_id_range(of_incarnation text, of_server text) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  taken integer;
begin
  perform pg_advisory_xact_lock(1818322020, 90);
  select number into taken from ladder.id_range where incarnation = of_incarnation;
  if taken is null then
    insert into ladder.id_range (number, incarnation, server) values (nextval('ladder.id_range_number'), of_incarnation, of_server)
    returning number into taken;
  end if;
  return taken;
end $$;
alter function ladder.take_id_range(text, text) owner to ladder_admin;
comment on function ladder.take_id_range(text, text) is 'On the gateway: the range of a database, a new one where it has none';
revoke all on function ladder.incarnation(), ladder.take_id_range(text, text) from public;
