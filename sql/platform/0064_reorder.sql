-- Functions ladder.ask_reorder, clean_reorder and foreign_code: tasks that write hot tables anew in the order of an index, without locking them (pg_repack).
-- CLUSTER would lock them for its whole run.
create function ladder.foreign_code(relation regclass)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(distinct pg_describe_object(d.refclassid, d.refobjid, 0), ', ')
  from pg_index k
  join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = k.indexrelid
  left join pg_proc f on d.refclassid = 'pg_proc'::regclass and f.oid = d.refobjid
  left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
  left join pg_opclass c on d.refclassid = 'pg_opclass'::regclass and c.oid = d.refobjid
  left join pg_type y on d.refclassid = 'pg_type'::regclass and y.oid = d.refobjid
  join pg_roles r on r.oid = coalesce(f.proowner, o.oprowner, c.opcowner, y.typowner) and not r.rolsuper
  where k.indrelid = relation
$$;
alter function ladder.foreign_code(regclass) owner to ladder_admin;
revoke all on function ladder.foreign_code(regclass) from public;
comment on function ladder.foreign_code(regclass) is
  'What the indexes of a table use that no superuser owns. pg_repack would run it as administrator; null is nothing';

create function ladder.ask_reorder(only_table regclass default null)
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$
  with hot as (
    select p.oid, only_table is not null as asked_for
    from (
      select to_regclass(d.relation) as root from ladder.declared_table d where d.autovacuum = 'hot' and only_table is null
      union
      select i.indrelid::regclass from pg_index i where i.indisclustered and i.indrelid >= 16384 and only_table is null
      union
      select only_table
    ) t
    cross join lateral (select t.root::oid as oid union select r.relid from pg_partition_tree(t.root) r) p
  ),
  sorted as (
    -- The index that ALTER TABLE … CLUSTER ON marks, else the primary key. pg_repack needs a primary key or its like.
    select distinct on (c.oid) c.oid, h.asked_for, format('%I.%I', n.nspname, c.relname) as name, i.indkey[0] as first_column,
      (select string_agg(pg_get_indexdef(i.indexrelid, k, true)
          || case when i.indoption[k - 1] & 1 = 1 then ' desc' else '' end
          || case i.indoption[k - 1] & 3 when 2 then ' nulls first' when 1 then ' nulls last' else '' end, ', ' order by k)
       from generate_series(1, i.indnkeyatts) k) as columns
    from hot h
    join pg_class c on c.oid = h.oid and c.relkind = 'r' and c.relpersistence = 'p'
    join pg_namespace n on n.oid = c.relnamespace and n.nspname not in ('pg_catalog', 'ladder', 'cron', 'partman', 'repack')
    join pg_index i on i.indrelid = c.oid and i.indisvalid and i.indpred is null and i.indexprs is null and (i.indisclustered or i.indisprimary)
    join pg_class x on x.oid = i.indexrelid
    join pg_am m on m.oid = x.relam and m.amname = 'btree'
    where exists (select from pg_index k where k.indrelid = c.oid and k.indisprimary) and ladder.foreign_code(c.oid) is null
    order by c.oid, i.indisclustered desc
  )
  select count(*) filter (where ladder.ask_task('reorder', s.name, s.columns))
  from sorted s
  where s.asked_for or pg_table_size(s.oid) >= 8388608 and not exists (
    -- Rows that are in order already stay where they are.
    select from pg_stats st
    join pg_attribute a on a.attname = st.attname and a.attrelid = s.oid and a.attnum = s.first_column
    where format('%I.%I', st.schemaname, st.tablename) = s.name and st.correlation > 0.9)
$$;
alter function ladder.ask_reorder(regclass) owner to ladder_admin;
revoke all on function ladder.ask_reorder(regclass) from public;
comment on function ladder.ask_reorder(regclass) is
  'Asks for a rewrite of the tables that are declared hot or marked by CLUSTER ON, as far as their rows are not in order; or of one table in any case';

create function ladder.clean_reorder()
returns setof text
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  left_over record;
begin
  for left_over in
    select c.oid, format('%I.%I', n.nspname, c.relname) as name
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'repack_trigger')
      or to_regclass(format('repack.log_%s', c.oid)) is not null
      or to_regclass(format('repack.table_%s', c.oid)) is not null
    order by 2
  loop
    -- Trigger, log, key type and copy of the table, in the order in which pg_repack makes them.
    perform repack.repack_drop(left_over.oid, 4);
    return next left_over.name;
  end loop;
end $$;
alter function ladder.clean_reorder() owner to ladder_admin;
revoke all on function ladder.clean_reorder() from public;
comment on function ladder.clean_reorder() is
  'Removes what a pg_repack that was cut off left on its table: a trigger and a log that grows for ever. Not while one is at work';
