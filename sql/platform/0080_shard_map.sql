-- Table ladder.shard_map: which shard has which bucket; no row while there is one server only.
-- Functions ladder.require_buckets, ladder.require_shard_map: refuse what is meant for another shard. Function ladder.set_shard_map: the next map.
-- The gateway's copy is what routers follow. Each shard's own copy decides what it accepts: whoever reads it keeps it from changing until
-- the end of the transaction. So a bucket moves like this, each step committed: the old shard gets the new map, the new shard has caught up
-- and gets it, then the other shards, then the gateway. In between nobody accepts the bucket, and routers ask again.
create table ladder.shard_map (
  changed timestamptz not null default clock_timestamp(),
  version integer not null check (version > 0),
  single boolean primary key default true check (single),
  here text,
  databases text[] not null check (cardinality(databases) > 0 and array_position(databases, null) is null),
  shards integer[] not null check (
    cardinality(shards) in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) and array_position(shards, null) is null
  ),
  check (0 <= all (shards) and cardinality(databases) > all (shards))
);
alter table ladder.shard_map owner to ladder_admin;
grant select on ladder.shard_map to app, app_ro, app_rw, ladder_monitor;
comment on column ladder.shard_map.here is 'The name of this server among the databases; null on the gateway';
comment on column ladder.shard_map.databases is 'Names of the shards at the pooler, shard 0 first: app_shard_0; or app, where the way back has led to one server again';
comment on column ladder.shard_map.shards is 'The shard of each bucket, bucket 0 first; as many as there are buckets, a power of two up to 1,024';

create function ladder.require_buckets(wanted integer[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  map ladder.shard_map;
  bucket integer;
begin
  select * into map from ladder.shard_map;
  foreach bucket in array wanted loop
    if map.databases[map.shards[bucket + 1] + 1] is distinct from map.here or map.here is null then
      raise exception using errcode = 'LB001', message = format('bucket %s: got a statement for it on %s, want %s (shard map version %s)',
        bucket, coalesce(map.here, 'a server that is no shard'), coalesce(map.databases[map.shards[bucket + 1] + 1], 'a shard map first'),
        coalesce(map.version, 0));
    end if;
  end loop;
end $$;
alter function ladder.require_buckets(integer[]) owner to ladder_admin;
comment on function ladder.require_buckets(integer[]) is 'Fails with LB001 where one of the buckets is not on this shard; holds the map until the transaction ends';

create function ladder.require_shard_map(wanted integer) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  got integer := (select version from ladder.shard_map);
begin
  if got is distinct from wanted then
    raise exception using errcode = 'LB001', message = format('shard map: got version %s, want %s', coalesce(got, 0), wanted);
  end if;
end $$;
alter function ladder.require_shard_map(integer) owner to ladder_admin;
comment on function ladder.require_shard_map(integer) is 'Fails with LB001 where the shard has another version of the map';

create function ladder.set_shard_map(version integer, databases text[], shards integer[], here text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  lock table ladder.shard_map in access exclusive mode;
  insert into ladder.shard_map as m (version, databases, shards, here)
  values (set_shard_map.version, set_shard_map.databases, set_shard_map.shards, set_shard_map.here)
  on conflict (single) do update set changed = clock_timestamp(), version = excluded.version, databases = excluded.databases,
    shards = excluded.shards, here = excluded.here
    where m.version < excluded.version;
  if not found and not exists (
    select from ladder.shard_map m where (m.version, m.databases, m.shards) = (set_shard_map.version, set_shard_map.databases, set_shard_map.shards)
      and m.here is not distinct from set_shard_map.here
  ) then
    raise exception 'shard map: got version % again or after a newer one, want one that is higher', set_shard_map.version;
  end if;
end $$;
alter function ladder.set_shard_map(integer, text[], integer[], text) owner to ladder_admin;
comment on function ladder.set_shard_map(integer, text[], integer[], text) is
  'Waits until no transaction holds the map (set lock_timeout), then replaces it; the same map again changes nothing';

revoke all on function ladder.require_buckets(integer[]), ladder.require_shard_map(integer),
  ladder.set_shard_map(integer, text[], integer[], text) from public;
grant execute on function ladder.require_buckets(integer[]), ladder.require_shard_map(integer) to app, app_ro, app_rw;
