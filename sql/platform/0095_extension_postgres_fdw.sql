-- Extension postgres_fdw: how the gateway reaches the shards from stage 4 on. What it connects to is administration's business.
create extension if not exists postgres_fdw schema ladder;
revoke all on function ladder.postgres_fdw_get_connections(), ladder.postgres_fdw_disconnect(text), ladder.postgres_fdw_disconnect_all(),
  ladder.postgres_fdw_handler(), ladder.postgres_fdw_validator(text[], oid) from public;
