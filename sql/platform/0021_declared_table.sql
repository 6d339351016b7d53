-- Table ladder.declared_table: what the configuration declares about tables, and how the upkeep of their partitions goes.
-- Functions ladder.period, ladder.declared_partitioning, ladder.declared_misfit: what a declaration means, and whether the table is like it.
-- View ladder.kept_table: the ones that are partitioned, and not spread over shards: those whose partitions are kept.
create table ladder.declared_table (
  upkept_at timestamptz,
  failing_since timestamptz,
  keep interval check (keep > interval '0'),
  detached_for interval default '7 days',
  ahead integer check (ahead > 0),
  modulus integer check (modulus > 1),
  is_global boolean not null default false,
  plain boolean not null default false,
  name text primary key,
  relation text not null unique,
  kind text check (kind in ('range', 'list', 'hash')),
  partition_column name,
  every text check (every in ('day', 'week', 'month', 'quarter', 'year')),
  list jsonb,
  shard_by name,
  tenant name,
  autovacuum text check (autovacuum in ('hot', 'warm')),
  upkeep_error text,
  check ((kind is null) = (partition_column is null)),
  check (kind is distinct from 'range' or (every is not null and ahead is not null)),
  check ((kind is not distinct from 'list') = (list is not null)),
  check ((kind is not distinct from 'hash') = (modulus is not null))
);
alter table ladder.declared_table owner to ladder_admin;
grant select on ladder.declared_table to ladder_monitor;
comment on column ladder.declared_table.relation is 'The name with its schema, quoted: to_regclass resolves it, also after a swap of tables';
comment on column ladder.declared_table.keep is 'Age at which a partition is detached; null keeps all';
comment on column ladder.declared_table.detached_for is
  'Time after which a detached partition is dropped; null never drops. Not part of the configuration: change it here, it stays';
comment on column ladder.declared_table.list is 'Partition name -> values';
comment on column ladder.declared_table.upkept_at is 'End of the last upkeep of partitions without an error';

create function ladder.period(every text) returns interval
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case every when 'quarter' then interval '3 months' else ('1 ' || every)::interval end
$$;
alter function ladder.period(text) owner to ladder_admin;
comment on function ladder.period(text) is 'Length of a period: day, week, month, quarter, year';

create function ladder.declared_partitioning(declared ladder.declared_table) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select upper(declared.kind) || ' (' || quote_ident(declared.partition_column) || ')'
$$;
alter function ladder.declared_partitioning(ladder.declared_table) owner to ladder_admin;
comment on function ladder.declared_partitioning(ladder.declared_table) is 'What pg_get_partkeydef says of a table that is partitioned as declared';

create view ladder.kept_table as
select p.partrelid::regclass as relation, d as declared
from pg_partitioned_table p
join pg_class c on c.oid = p.partrelid
join pg_namespace n on n.oid = c.relnamespace
join ladder.declared_table d on d.relation = format('%I.%I', n.nspname, c.relname)
where d.kind is not null
  and pg_get_partkeydef(p.partrelid) is distinct from 'HASH (' || quote_ident(d.shard_by) || ')';
alter view ladder.kept_table owner to ladder_admin;
grant select on ladder.kept_table to ladder_monitor;

create function ladder.declared_misfit(declared ladder.declared_table) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when pg_get_partkeydef(p.partrelid) <> ladder.declared_partitioning(declared)
      then format('%s: got a table partitioned by %s, want %s',
        declared.relation, pg_get_partkeydef(p.partrelid), ladder.declared_partitioning(declared))
    when declared.kind = 'range' and a.atttypid not in ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
      then format('%s: got column %I of type %s, want date, timestamp or timestamptz',
        declared.relation, a.attname, format_type(a.atttypid, a.atttypmod))
  end
  from ladder.kept_table k
  join pg_partitioned_table p on p.partrelid = k.relation
  left join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
  where (k.declared).name = declared.name
$$;
alter function ladder.declared_misfit(ladder.declared_table) owner to ladder_admin;
comment on function ladder.declared_misfit(ladder.declared_table) is
  'Why a partitioned table cannot be kept as declared; null when it can, when it is not partitioned, and when it is spread over shards';
revoke all on function ladder.period(text), ladder.declared_partitioning(ladder.declared_table),
  ladder.declared_misfit(ladder.declared_table) from public;
grant execute on function ladder.period(text), ladder.declared_partitioning(ladder.declared_table),
  ladder.declared_misfit(ladder.declared_table) to ladder_monitor;
