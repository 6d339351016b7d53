-- View ladder.database_size: the size of each database.
create view ladder.database_size as
select
  d.datname::text as database,
  pg_catalog.pg_database_size(d.oid) as size_bytes,
  d.datname = pg_catalog.current_database() as this_one
from pg_catalog.pg_database d
where d.datallowconn
order by size_bytes desc;
alter view ladder.database_size owner to ladder_admin;
grant select on ladder.database_size to ladder_monitor;
comment on view ladder.database_size is 'Size of each database';
