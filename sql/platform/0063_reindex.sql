-- Functions ladder.ask_reindex and ladder.ask_left_over: tasks that rebuild bloated indexes without blocking writers, and that drop what a
-- rebuild left behind that was cut off.
create function ladder.ask_left_over()
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$
  select count(*) filter (where ladder.ask_task('drop', a.index, a.fix))
  from ladder.index_advice a
  where a.advice = 'invalid' and a.fix like 'drop index concurrently %'
$$;
alter function ladder.ask_left_over() owner to ladder_admin;
revoke all on function ladder.ask_left_over() from public;
comment on function ladder.ask_left_over() is 'Asks for a drop of each invalid index that a REINDEX CONCURRENTLY left behind';

create function ladder.ask_reindex()
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$
  select ladder.ask_left_over() + (
    select count(*) filter (where ladder.ask_task('reindex', a.index, a.fix)) from ladder.index_advice a where a.advice = 'bloated')
$$;
alter function ladder.ask_reindex() owner to ladder_admin;
revoke all on function ladder.ask_reindex() from public;
comment on function ladder.ask_reindex() is 'Asks for a rebuild of each index that ladder.index_advice calls bloated, and for the drop of left-overs';
