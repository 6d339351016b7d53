-- Functions ladder.set_tenant and ladder.tenant: the tenant of this transaction. The setting carries the transaction's start, so one that an
-- earlier transaction left on a pooled connection is worth nothing; plain `set ladder.tenant` has no such stamp and is worth nothing either.
create function ladder.tenant() returns text
language sql stable parallel safe
begin atomic
  select case when starts_with(current_setting('ladder.tenant', true), extract(epoch from transaction_timestamp())::text || ' ')
    then substr(current_setting('ladder.tenant', true), length(extract(epoch from transaction_timestamp())::text) + 2) end;
end;
alter function ladder.tenant() owner to ladder_admin;
comment on function ladder.tenant() is 'The tenant that ladder.set_tenant gave to this transaction; null without one';

create function ladder.set_tenant(tenant text) returns void
language plpgsql parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
  if tenant = '' then
    raise invalid_parameter_value using message = 'tenant: got an empty text, want the value of the tenant column, or null for none';
  end if;
  perform set_config('ladder.tenant', coalesce(extract(epoch from transaction_timestamp())::text || ' ' || tenant, ''), true);
end $$;
alter function ladder.set_tenant(text) owner to ladder_admin;
comment on function ladder.set_tenant(text) is 'Gives this transaction its tenant, until it ends; null takes it away';

create function ladder.set_tenant(tenant bigint) returns void
language sql
begin atomic
  select ladder.set_tenant(tenant::text);
end;
alter function ladder.set_tenant(bigint) owner to ladder_admin;

create function ladder.set_tenant(tenant uuid) returns void
language sql
begin atomic
  select ladder.set_tenant(tenant::text);
end;
alter function ladder.set_tenant(uuid) owner to ladder_admin;
