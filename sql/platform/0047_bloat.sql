-- Table ladder.bloat_sample, procedure ladder.measure_bloat, view ladder.bloat: space that a rebuild of a table or index would give back.
create table ladder.bloat_sample (
  relation oid primary key,
  measured timestamptz not null default clock_timestamp(),
  size_bytes bigint not null,
  wasted_bytes bigint not null,
  method text not null
);
alter table ladder.bloat_sample owner to ladder_admin;
grant select on ladder.bloat_sample to ladder_monitor;

-- It commits after each relation, so that it never holds back vacuum; that is why it has no search_path of its own and names all in full.
create procedure ladder.measure_bloat(smallest bigint default 1048576, budget interval default '10 minutes')
language plpgsql
as $$
declare
  stop_at constant timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) budget;
  part record;
begin
  delete from ladder.bloat_sample s where not exists (select from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) s.relation);
  commit;
  for part in
    select c.oid, c.relkind
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    join pg_catalog.pg_am a on a.oid operator(pg_catalog.=) c.relam
    left join pg_catalog.pg_index i on i.indexrelid operator(pg_catalog.=) c.oid
    left join ladder.bloat_sample s on s.relation operator(pg_catalog.=) c.oid
    where n.nspname operator(pg_catalog.<>) all (array['pg_catalog', 'pg_toast', 'information_schema'])
      and c.relpersistence operator(pg_catalog.=) 'p'
      and (c.relkind in ('r', 'm') and a.amname operator(pg_catalog.=) 'heap'
        or c.relkind operator(pg_catalog.=) 'i' and a.amname operator(pg_catalog.=) 'btree' and i.indisvalid)
      and pg_catalog.pg_relation_size(c.oid) operator(pg_catalog.>=) smallest
    order by s.measured nulls first
  loop
    exit when pg_catalog.clock_timestamp() operator(pg_catalog.>) stop_at;
    call ladder.measure_relation_bloat(part.oid, part.relkind);
    commit;
  end loop;
end $$;

-- A B-tree's fresh leaf pages are filled to its fillfactor, 90 unless it says otherwise; everything else in it is waste.
create procedure ladder.measure_relation_bloat(relation oid, kind "char")
language plpgsql
set search_path = pg_catalog, ladder, pg_temp
set lock_timeout = '2s'
as $$
declare
  size bigint;
  wasted numeric;
begin
  if kind = 'i' then
    select b.index_size,
      b.index_size - 8192 * (1 + b.internal_pages + b.leaf_pages * b.avg_leaf_density / coalesce(
        (select o.option_value::numeric from pg_class c, pg_options_to_table(c.reloptions) o
         where c.oid = relation and o.option_name = 'fillfactor'), 90))
    into size, wasted
    from pgstatindex(relation::regclass) b
    where b.avg_leaf_density <> 'NaN';
  else
    select a.table_len, a.approx_free_space + a.dead_tuple_len into size, wasted from pgstattuple_approx(relation::regclass) a;
  end if;
  insert into ladder.bloat_sample as s (relation, size_bytes, wasted_bytes, method)
  values (relation, coalesce(size, 0), greatest(coalesce(wasted, 0), 0)::bigint, case kind when 'i' then 'pgstatindex' else 'pgstattuple_approx' end)
  on conflict on constraint bloat_sample_pkey do update set
    measured = clock_timestamp(), size_bytes = excluded.size_bytes, wasted_bytes = excluded.wasted_bytes, method = excluded.method;
exception when lock_not_available or undefined_table or undefined_object then
  raise notice 'bloat of % is not measured now: %', relation::regclass, sqlerrm;
end $$;

create view ladder.bloat as
select
  c.oid as relation_oid,
  case c.relkind when 'i' then 'index' else 'table' end as kind,
  pg_catalog.format('%I.%I', n.nspname, c.relname) as relation,
  coalesce(s.size_bytes, pg_catalog.pg_relation_size(c.oid)) as size_bytes,
  coalesce(s.wasted_bytes, e.wasted)::bigint as wasted_bytes,
  round(100.0 * coalesce(s.wasted_bytes, e.wasted) / nullif(coalesce(s.size_bytes, pg_catalog.pg_relation_size(c.oid)), 0), 1) as bloat_percent,
  coalesce(s.method, 'dead rows') as method,
  s.measured
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join ladder.bloat_sample s on s.relation = c.oid
left join lateral (
  select pg_catalog.pg_relation_size(c.oid) * t.n_dead_tup::numeric / nullif(t.n_live_tup + t.n_dead_tup, 0) as wasted
  from pg_catalog.pg_stat_user_tables t
  where t.relid = c.oid
) e on true
where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
  and (c.relkind in ('r', 'm') or c.relkind = 'i' and s.relation is not null)
order by wasted_bytes desc nulls last;

alter procedure ladder.measure_bloat(bigint, interval) owner to ladder_admin;
alter procedure ladder.measure_relation_bloat(oid, "char") owner to ladder_admin;
revoke all on procedure ladder.measure_bloat(bigint, interval), ladder.measure_relation_bloat(oid, "char") from public;
alter view ladder.bloat owner to ladder_admin;
grant select on ladder.bloat to ladder_monitor;
comment on procedure ladder.measure_bloat(bigint, interval) is 'Measures tables and B-tree indexes of at least `smallest` bytes, longest unmeasured first';
comment on view ladder.bloat is 'Space that a rebuild would give back, as the job ladder-bloat measured it; unmeasured tables by their dead rows';
comment on column ladder.bloat.method is 'pgstatindex (exact), pgstattuple_approx (skips pages that are all visible), dead rows (an estimate from the statistics)';
