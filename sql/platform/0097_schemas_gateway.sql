-- Schemas of the climb to stage 4: ladder_new (trees over the shards until the flip), ladder_back (the tables that they replace, until the way
-- back is given up), ladder_shards (partitions on the shards), ladder_read (trees over the shards' replicas). None is the application's.
create schema ladder_new;
create schema ladder_back;
create schema ladder_shards;
create schema ladder_read;
revoke all on schema ladder_new, ladder_back, ladder_shards, ladder_read from public;
alter schema ladder_new owner to ladder_admin;
alter schema ladder_back owner to ladder_admin;
alter schema ladder_shards owner to ladder_admin;
alter schema ladder_read owner to ladder_admin;
grant usage on schema ladder_read to app_ro;

-- Table ladder.disowned_sequence: sequences that belong to a column, while its table changes places: one that is owned would move along.
create table ladder.disowned_sequence (
  sequence oid primary key,
  schema name not null,
  relation name not null,
  attribute name not null
);
alter table ladder.disowned_sequence owner to ladder_admin;
grant select on ladder.disowned_sequence to ladder_monitor;
