-- Rights: of schema ladder, applications get what they need and nothing more. test/postgres/exposed.test.ts holds the exact list.
-- Extensions hand their functions and views to everybody.
revoke all on ladder.pg_stat_statements, ladder.pg_stat_statements_info from public;
revoke all on function ladder.pg_stat_statements(boolean), ladder.pg_stat_statements_info() from public;
grant execute on function ladder.pg_stat_statements(boolean), ladder.pg_stat_statements_info() to ladder_monitor;
revoke all on function ladder.pgaudit_ddl_command_end(), ladder.pgaudit_sql_drop() from public;

-- Constraints are for the owner of the tables; batches of rows for those who may keep their progress.
revoke all on procedure ladder.alter_quickly(regclass, text), ladder.add_constraint(regclass, name, text), ladder.add_check(regclass, name, text),
  ladder.add_foreign_key(regclass, name, text), ladder.add_not_null(regclass, name) from public;
grant execute on procedure ladder.alter_quickly(regclass, text), ladder.add_constraint(regclass, name, text), ladder.add_check(regclass, name, text),
  ladder.add_foreign_key(regclass, name, text), ladder.add_not_null(regclass, name) to app;
revoke all on function ladder.backfill_statement(regclass, text, text, integer, jsonb), ladder.backfill_begin(regclass, text, text) from public;
grant execute on function ladder.backfill_statement(regclass, text, text, integer, jsonb), ladder.backfill_begin(regclass, text, text)
  to app, ladder_all_tenants;
revoke all on procedure ladder.backfill(regclass, text, text, integer, interval, bigint) from public;
grant execute on procedure ladder.backfill(regclass, text, text, integer, interval, bigint) to app, ladder_all_tenants;
revoke all on function ladder.replica_backlog() from app_ro, app_rw;
