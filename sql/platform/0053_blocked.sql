-- View ladder.blocked: who waits for whose lock, and who stands at the head of that queue.
create view ladder.blocked as
with recursive waits as (
  select a.pid, b.blocker
  from pg_catalog.pg_stat_activity a
  cross join lateral pg_catalog.unnest(pg_catalog.pg_blocking_pids(a.pid)) b (blocker)
  where a.wait_event_type = 'Lock'
),
chain as (
  select w.pid, w.blocker as root, 1 as depth, array[w.pid, w.blocker] as path
  from waits w
  union all
  select c.pid, w.blocker, c.depth + 1, c.path || w.blocker
  from chain c
  join waits w on w.pid = c.root
  where w.blocker <> all (c.path)
),
root as (
  select distinct on (c.pid) c.pid, c.root, c.depth
  from chain c
  order by c.pid, c.root in (select w.pid from waits w), c.depth desc
)
select
  a.pid,
  a.usename::text as "user",
  round(extract(epoch from pg_catalog.clock_timestamp() - coalesce(l.waitstart, a.query_start)))::bigint as blocked_seconds,
  l.mode as wants,
  case when l.relation is null then l.locktype else coalesce((select pg_catalog.format('%I.%I', n.nspname, c.relname)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = l.relation), l.relation::text) end as object,
  pg_catalog.left(a.query, 300) as query,
  pg_catalog.pg_blocking_pids(a.pid) as blocked_by,
  r.root as root_pid,
  b.usename::text as root_user,
  b.state as root_state,
  round(extract(epoch from pg_catalog.clock_timestamp() - b.xact_start))::bigint as root_transaction_seconds,
  pg_catalog.left(b.query, 300) as root_query,
  case when r.root = 0 then 'a prepared transaction: see ladder.long_transactions'
    else pg_catalog.format('select pg_terminate_backend(%s)', r.root) end as fix
from root r
join pg_catalog.pg_stat_activity a on a.pid = r.pid
left join pg_catalog.pg_stat_activity b on b.pid = r.root
left join lateral (select k.* from pg_catalog.pg_locks k where k.pid = a.pid and not k.granted limit 1) l on true
order by blocked_seconds desc;
alter view ladder.blocked owner to ladder_admin;
grant select on ladder.blocked to ladder_monitor;
comment on view ladder.blocked is 'Sessions that wait for a lock, who blocks them, and the root of the queue';
