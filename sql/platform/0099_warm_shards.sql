-- Function ladder.warm_shards: opens this session's connections to the shards, or to their replicas, so that no statement waits for them later.
create function ladder.warm_shards(replicas boolean) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  partition regclass;
  reached integer := 0;
begin
  for partition in
    select min(t.ftrelid)::regclass from pg_foreign_table t
    join pg_class c on c.oid = t.ftrelid join pg_foreign_server s on s.oid = t.ftserver
    where c.relnamespace = 'ladder_shards'::regnamespace and s.srvname ~ case when replicas then '^shard_[0-9]+_read$' else '^shard_[0-9]+$' end
    group by s.oid order by s.oid
  loop
    begin
      -- Connects, and reads nothing.
      execute format('select from %s limit 0', partition);
      reached := reached + 1;
    exception when sqlclient_unable_to_establish_sqlconnection or connection_failure then
      null;
    end;
  end loop;
  return reached;
end $$;
alter function ladder.warm_shards(boolean) owner to ladder_admin;
revoke all on function ladder.warm_shards(boolean) from public;
grant execute on function ladder.warm_shards(boolean) to ladder_pooled;
comment on function ladder.warm_shards(boolean) is 'Number of shards that this session is connected to now';
