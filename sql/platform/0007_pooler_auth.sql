-- Function ladder.pooler_auth: PgBouncer's auth_query. The SCRAM verifier of a role that may come in through the pooler; no row for
-- superusers, replication roles, roles that may not log in, expired passwords, other hashes, and everybody outside ladder_pooled.
create function ladder.pooler_auth(name text, out usename name, out passwd text)
returns setof record
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.rolname, r.rolpassword
  from pg_catalog.pg_authid r
  where r.rolname = $1
    and r.rolcanlogin
    and not r.rolsuper
    and not r.rolreplication
    and r.rolpassword like 'SCRAM-SHA-256$%'
    and (r.rolvaliduntil is null or r.rolvaliduntil > pg_catalog.now())
    and pg_catalog.pg_has_role(r.oid, 'ladder_pooled', 'member')
$$;
alter function ladder.pooler_auth(text) owner to ladder_admin;
revoke all on function ladder.pooler_auth(text) from public;
grant execute on function ladder.pooler_auth(text) to ladder_pooler;
