-- Extension pgstattuple: measures bloat of tables and indexes.
create extension if not exists pgstattuple schema ladder;
