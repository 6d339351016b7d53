-- Roles ladder_gateway, ladder_gateway_ro: the gateway as the shards see it, writing and reading. They may enter a database only once
-- ladder.open_to_gateway was called in it, and reach the tables that it was called with.
do $$
declare
  role text;
begin
  foreach role in array array['ladder_gateway', 'ladder_gateway_ro'] loop
    begin
      execute format('create role %I login', role);
    exception when duplicate_object or unique_violation then
      null;
    end;
    execute format('alter role %I nosuperuser nocreaterole nocreatedb noreplication', role);
    -- A deadlock over two shards is seen by none of them: a lock that does not come in time ends it. Below the application's own lock_timeout.
    execute format('alter role %I set lock_timeout = %L', role, '5s');
    -- The application's statement_timeout holds on the gateway, which cancels what runs here: a last resort above the longest of them.
    execute format('alter role %I set statement_timeout = %L', role, '13h');
    -- A transaction here is idle while the gateway works elsewhere for the same one: the gateway's own limit has to come first.
    execute format('alter role %I set idle_in_transaction_session_timeout = %L', role, '2h');
    -- A gateway that vanished without a word.
    execute format('alter role %I set tcp_keepalives_idle = %L', role, '10s');
    execute format('alter role %I set tcp_keepalives_interval = %L', role, '5s');
    execute format('alter role %I set tcp_keepalives_count = %L', role, '3');
  end loop;
end $$;
alter role ladder_gateway_ro set default_transaction_read_only = on;
