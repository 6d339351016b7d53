-- Table ladder.shard_map: which shard has which bucket; no row while there is one server only.
-- Functions ladder.require_buckets, ladder.require_shard_map: refuse what is meant for another shard. Function ladder.set_shard_map: the next map.
-- The gateway's copy is what routers follow. As long as they have read it in the last 15 s they ask no shard whether a bucket is still there,
-- unless the map announces it as moving: then they ask in every transaction. Each shard's own copy answers, and whoever asks keeps it from
-- changing until the end of the transaction. So buckets move like this, each step committed: a map that announces them, everywhere, 20 s
-- before; the next map, which announces them still, on the old shard; the new shard catches up and gets it; the other shards; the gateway.
-- In between nobody accepts them, and routers ask again. A last map takes the announcement back when the new shard's replicas have caught up.
create table ladder.shard_map (
  changed timestamptz not null default clock_timestamp(),
  version integer not null check (version > 0),
  single boolean primary key default true check (single),
  here text,
  databases text[] not null check (cardinality(databases) > 0 and array_position(databases, null) is null),
  moving integer[] not null default '{}',
  shards integer[] not null check (
    cardinality(shards) in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) and array_position(shards, null) is null
  ),
  check (0 <= all (moving) and cardinality(shards) > all (moving)),
  check (0 <= all (shards) and cardinality(databases) > all (shards))
);
alter table ladder.shard_map owner to ladder_admin;
grant select on ladder.shard_map to app, app_ro, app_rw, ladder_monitor;
comment on column ladder.shard_map.here is 'The name of this server among the databases; null on the gateway';
comment on column ladder.shard_map.databases is 'Names of the shards at the pooler, shard 0 first: app_shard_0; or app, where the way back has led to one server again';
comment on column ladder.shard_map.moving is 'Buckets that are about to move';
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

create function ladder.set_shard_map(
  version integer, databases text[], shards integer[], here text, moving integer[] default '{}', announced interval default '20 seconds'
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  old ladder.shard_map;
  hasty integer[];
begin
  lock table ladder.shard_map in access exclusive mode;
  select * into old from ladder.shard_map;
  if (old.version, old.databases, old.shards, old.moving) = (set_shard_map.version, set_shard_map.databases, set_shard_map.shards, set_shard_map.moving)
    and old.here is not distinct from set_shard_map.here then
    return;
  end if;
  if old.version >= set_shard_map.version then
    raise exception 'shard map: got version % after version %, want one that is higher', set_shard_map.version, old.version;
  end if;
  select array_agg(n - 1 order by n) into hasty from generate_subscripts(old.shards, 1) n
  where old.databases[old.shards[n] + 1] = old.here and set_shard_map.databases[set_shard_map.shards[n] + 1] is distinct from old.here
    and not (n - 1 = any (old.moving) and old.changed <= clock_timestamp() - announced);
  if hasty is not null then
    raise exception 'shard map: got buckets % leaving %, want them announced as moving for %', hasty, old.here, announced;
  end if;
  insert into ladder.shard_map as m (version, databases, shards, here, moving)
  values (set_shard_map.version, set_shard_map.databases, set_shard_map.shards, set_shard_map.here, set_shard_map.moving)
  on conflict (single) do update set changed = clock_timestamp(), version = excluded.version, databases = excluded.databases,
    shards = excluded.shards, here = excluded.here, moving = excluded.moving;
end $$;
alter function ladder.set_shard_map(integer, text[], integer[], text, integer[], interval) owner to ladder_admin;
comment on function ladder.set_shard_map(integer, text[], integer[], text, integer[], interval) is
  'Waits until no transaction holds the map (set lock_timeout), then replaces it; the same map again changes nothing; buckets leave a shard announced only';

revoke all on function ladder.require_buckets(integer[]), ladder.require_shard_map(integer),
  ladder.set_shard_map(integer, text[], integer[], text, integer[], interval) from public;
grant execute on function ladder.require_buckets(integer[]), ladder.require_shard_map(integer) to app, app_ro, app_rw;
