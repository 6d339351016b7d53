-- Function ladder.refresh: refreshes a materialized view, without locking readers out where it has a unique index for that.
create function ladder.refresh(view_name text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '10s'
as $$
declare
  view constant regclass := view_name::regclass;
  online boolean;
begin
  select c.relispopulated and exists (
    select from pg_index i
    where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null)
  into online
  from pg_class c
  where c.oid = view;
  execute format('refresh materialized view %s %s', case when online then 'concurrently' else '' end, view);
  return case when online then 'concurrently' else 'with its readers locked out: it had no rows yet, or has no unique index' end;
end $$;
alter function ladder.refresh(text) owner to ladder_admin;
revoke all on function ladder.refresh(text) from public;
comment on function ladder.refresh(text) is 'Refreshes a materialized view, with the rights of its owner';
