-- Functions ladder.take_rows and ladder.put_rows: rows out of one partition and into another one, in the caller's transaction. They run as
-- ladder_upkeep; the caller grants it what it needs, and sees to it that triggers do not fire: a moved row is neither deleted nor new.
create function ladder.take_rows(source regclass, condition text) returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
  taken bigint;
begin
  execute format('create temporary table ladder_moving (like %s) on commit drop', source);
  execute format('with gone as (delete from only %s where %s returning *) insert into pg_temp.ladder_moving select * from gone', source, condition);
  get diagnostics taken = row_count;
  return taken;
end $$;

create function ladder.put_rows(target regclass) returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
  columns text := (
    select string_agg(quote_ident(attname), ', ' order by attnum)
    from pg_attribute where attrelid = target and attnum > 0 and not attisdropped and attgenerated = '');
  put bigint;
begin
  execute format('insert into %s (%s) overriding system value select %2$s from pg_temp.ladder_moving', target, columns);
  get diagnostics put = row_count;
  drop table pg_temp.ladder_moving;
  return put;
end $$;

revoke all on function ladder.take_rows(regclass, text), ladder.put_rows(regclass) from public;
grant execute on function ladder.take_rows(regclass, text), ladder.put_rows(regclass) to ladder_admin;
grant create on schema ladder to ladder_upkeep;
alter function ladder.take_rows(regclass, text) owner to ladder_upkeep;
alter function ladder.put_rows(regclass) owner to ladder_upkeep;
revoke create on schema ladder from ladder_upkeep;
