-- Extension pg_cron: jobs inside the database. It lives in one database of a cluster only: the one that cron.database_name names.
do $$
begin
  if current_setting('cron.database_name', true) is distinct from current_database()::text then
    raise warning 'pg_cron is not created: cron.database_name is "%", this database is "%"',
      coalesce(current_setting('cron.database_name', true), ''), current_database();
  else
    create extension if not exists pg_cron;
  end if;
end $$;
