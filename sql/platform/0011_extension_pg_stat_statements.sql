-- Extension pg_stat_statements: what each statement costs. Its library is preloaded by the node's settings.
create extension if not exists pg_stat_statements schema ladder;
grant select on ladder.pg_stat_statements, ladder.pg_stat_statements_info to ladder_monitor;
