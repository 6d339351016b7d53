-- Functions ladder.table_columns, ladder.table_limits and ladder.table_definition (oid): what a table is, as text, to see whether somebody changed it.
create function ladder.table_columns(of oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(format('%I %s %s%s', attname, format_type(atttypid, atttypmod), attcollation, attgenerated), ', ' order by attnum)
    from pg_attribute where attrelid = of and attnum > 0 and not attisdropped
$$;
comment on function ladder.table_columns(oid) is 'Names and types of the columns in their order';

create function ladder.table_limits(of oid) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('NOT NULL of %I', attname) from pg_attribute where attrelid = of and attnum > 0 and not attisdropped and attnotnull
  union all
  select 'PRIMARY KEY' from pg_index where indrelid = of and indisprimary
  union all
  select regexp_replace(pg_get_constraintdef(oid), '( (NOT )?DEFERRABLE.*)?( NOT VALID)?$', '')
    from pg_constraint where conrelid = of and contype in ('c', 'f') and conparentid = 0
  union all
  select format('UNIQUE%s (%s)%s', case when indnullsnotdistinct then ' NULLS NOT DISTINCT' end,
      (select string_agg(pg_get_indexdef(indexrelid, n, true), ', ' order by n) from generate_series(1, indnkeyatts) n),
      ' WHERE ' || pg_get_expr(indpred, indrelid))
    from pg_index where indrelid = of and indisunique and not indisprimary
$$;
comment on function ladder.table_limits(oid) is
  'What rows have to keep to, without names, and without the columns of the primary key, which a conversion adds to';

create function ladder.table_definition(of oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(line, e'\n' order by line) from (
    select 'table ' || row(relowner, relacl, relrowsecurity, relforcerowsecurity, relpersistence, relreplident)::text as line
      from pg_class where oid = of
    union all
    select 'column ' || row(a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.attidentity, a.attgenerated,
                            a.attacl, a.attstorage, pg_get_expr(d.adbin, d.adrelid))::text
      from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = of and a.attnum > 0 and not a.attisdropped
    union all
    select 'constraint ' || row(conname, contype, convalidated, pg_get_constraintdef(oid))::text
      from pg_constraint where conrelid = of and contype <> 't'
    union all
    select 'referenced by ' || row(conname, conrelid)::text from pg_constraint where confrelid = of and contype = 'f'
    union all
    select 'index ' || row(indisvalid, pg_get_indexdef(indexrelid))::text from pg_index where indrelid = of
    union all
    select 'trigger ' || row(tgenabled, pg_get_triggerdef(oid))::text
      from pg_trigger where tgrelid = of and not tgisinternal and tgname not in ('ladder_sync', 'ladder_sync_truncate')
    union all
    select 'policy ' || row(polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))::text
      from pg_policy where polrelid = of
  ) as lines
$$;
comment on function ladder.table_definition(oid) is
  'Columns, constraints, indexes, triggers, policies, grants, owner of a table; without what a conversion adds itself';

alter function ladder.table_columns(oid) owner to ladder_admin;
alter function ladder.table_limits(oid) owner to ladder_admin;
alter function ladder.table_definition(oid) owner to ladder_admin;
revoke execute on function ladder.table_columns(oid), ladder.table_limits(oid), ladder.table_definition(oid) from public;
