-- Table ladder.health_check, function ladder.run_health_checks, view ladder.health: one line for each check, or for each thing that it finds.
create table ladder.health_check (
  name text primary key,
  needs text,
  query text not null
);
alter table ladder.health_check owner to ladder_admin;
grant select on ladder.health_check to ladder_monitor;
comment on table ladder.health_check is 'Checks of ladder.health. A query answers level, value, object, fix; no row is ok. Limits: ladder.threshold';
comment on column ladder.health_check.needs is 'Relation without which the check does not exist';

insert into ladder.health_check (name, needs, query) values
('connections', null, $$
  select ladder.level('connections_percent', c.used_percent), format('%s of %s, %s %%', c.total, c.max_connections, c.used_percent), null,
    'see ladder.connections; a larger pool, or fewer clients past the pooler'
  from ladder.connections c where c."user" = '(all)'
$$),
('cache hit', null, $$
  select case when c.blocks_hit + c.blocks_read < t.warning then 'ok' else ladder.level('cache_hit_percent', c.hit_percent) end,
    format('%s %%', c.hit_percent), null, 'see ladder.cache_hit; more memory, or an index for what reads whole tables'
  from ladder.cache_hit c join ladder.threshold t on t.name = 'cache_accesses' where c."table" = '(database)'
$$),
('replication lag', null, $$
  select case when r.measured_by = 'replay' and ladder.level('replication_bytes', r.lag_bytes) = 'critical'
        or ladder.level('replication_seconds', r.lag_seconds) = 'critical' then 'critical'
      when r.measured_by = 'replay' and ladder.level('replication_bytes', r.lag_bytes) = 'warning'
        or ladder.level('replication_seconds', r.lag_seconds) = 'warning' or r.state <> 'streaming' then 'warning'
      else 'ok' end,
    concat_ws(', ', r.state, pg_size_pretty(r.lag_bytes), r.lag_seconds || ' s'), r.node, 'see ladder.replication'
  from ladder.replication r
$$),
('replication slots', null, $$
  select case when s.wal_status in ('unreserved', 'lost') then 'critical' else ladder.level('slot_bytes', s.kept_bytes) end,
    concat_ws(', ', s.wal_status, 'keeps ' || pg_size_pretty(s.kept_bytes), case when not s.active then 'inactive' end), s.slot,
    coalesce('nobody reads it: ' || s.fix, 'its reader is too slow')
  from ladder.replication_slots s
  where s.wal_status in ('unreserved', 'lost') or ladder.level('slot_bytes', s.kept_bytes) <> 'ok'
$$),
('heartbeat', null, $$
  select case when pg_is_in_recovery() then 'ok' else ladder.level('heartbeat_seconds', extract(epoch from clock_timestamp() - h.beat)) end,
    format('%s s old', round(extract(epoch from clock_timestamp() - h.beat), 1)), null, 'see ladder.jobs: ladder-heartbeat runs every five seconds'
  from ladder.heartbeat h where exists (select from ladder.cron_jobs() j where j.name = 'ladder-heartbeat')
$$),
('statements', 'ladder.pg_stat_statements', $$
  select ladder.level('statement_p99_ms', s.p99_ms), format('p99 %s ms (estimated), %s calls', round(s.p99_ms), s.calls), left(s.query, 100),
    format('explain (analyze, buffers) it; query_id %s in ladder.slow_statements', s.query_id)
  from ladder.slow_statements s
  join pg_roles r on r.rolname = s."user" and not r.rolsuper and pg_has_role(r.oid, 'ladder_pooled', 'member')
  join ladder.threshold t on t.name = 'statement_calls' and s.calls >= t.warning
  order by s.p99_ms desc limit 5
$$),
('dead rows', null, $$
  select ladder.level('dead_rows', d.dead_rows), format('%s, %s %%', d.dead_rows, d.dead_percent), d."table",
    format('vacuum (analyze) %s; autovacuum: hot for it; see ladder.long_transactions', d."table")
  from ladder.dead_tuples d where d.dead_rows > 0 order by d.dead_rows desc limit 3
$$),
('long transactions', null, $$
  select ladder.level('transaction_seconds', t.transaction_seconds), format('%s for %s s', t.state, t.transaction_seconds),
    coalesce('pid ' || t.pid, 'prepared'), t.fix
  from ladder.long_transactions t where ladder.level('transaction_seconds', t.transaction_seconds) <> 'ok'
$$),
('blocked', null, $$
  select ladder.level('blocked_seconds', b.blocked_seconds), format('waits %s s for %s', b.blocked_seconds, b.object), 'pid ' || b.pid, b.fix
  from ladder.blocked b where ladder.level('blocked_seconds', b.blocked_seconds) <> 'ok'
$$),
('transaction numbers', null, $$
  select ladder.level('transaction_ids', greatest(age(d.datfrozenxid), mxid_age(d.datminmxid))),
    greatest(age(d.datfrozenxid), mxid_age(d.datminmxid))::text, d.datname, 'vacuum (freeze); see ladder.long_transactions and ladder.replication_slots'
  from pg_database d where d.datallowconn order by 2 desc limit 1
$$),
('sequences', null, $$
  select ladder.level('sequence_percent', u.percent), format('%s of %s, %s %%', u.last_value, u.most, u.percent), u.name,
    'a bigint column and sequence: docs/guide on expand and contract'
  from (
    select format('%I.%I', s.schemaname, s.sequencename) as name, s.last_value, m.most, round(100.0 * s.last_value / m.most, 1) as percent
    from pg_sequences s
    left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = format('%I.%I', s.schemaname, s.sequencename)::regclass
      and d.deptype in ('a', 'i') and d.refobjsubid > 0
    left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    cross join lateral (select least(s.max_value, case a.atttypid when 'int4'::regtype then 2147483647 when 'int2'::regtype then 32767 else s.max_value end) as most) m
    where s.increment_by > 0 and not s.cycle
  ) u where ladder.level('sequence_percent', u.percent) <> 'ok'
$$),
('invalid indexes', null, $$
  select 'warning', 'no query uses it', format('%I.%I', n.nspname, c.relname),
    format(case when c.relname ~ '_cc(new|old)\d*$' then 'drop index concurrently %I.%I' else 'reindex index concurrently %I.%I' end, n.nspname, c.relname)
  from pg_index i
  join pg_class c on c.oid = i.indexrelid and c.relkind = 'i'
  join pg_namespace n on n.oid = c.relnamespace
  where not i.indisvalid and not exists (select from pg_stat_progress_create_index p where p.relid = i.indrelid)
$$),
('jobs', null, $$
  select case when j.failing_since is null then 'warning'
      when extract(epoch from now() - j.failing_since) / 3600 >= t.critical then 'critical' else 'warning' end,
    case when j.failing_since is null then concat_ws(': ', j.state, j.message)
      else format('%s failures since %s: %s', j.failures, date_trunc('second', j.failing_since), j.message) end,
    j.job, case when j.state = 'not scheduled' then 'select ladder.ensure_jobs()' else j.command end
  from ladder.jobs j join ladder.threshold t on t.name = 'job_failing_hours'
  where j.failing_since is not null or j.state = 'not scheduled' and to_regclass('cron.job') is not null
$$),
('tasks', null, $$
  select 'warning', t.message, format('%s %s', t.kind, t.object), t.statement
  from ladder.task t where t.state = 'failed' and t.finished > now() - interval '7 days'
    and not exists (select from ladder.task n where n.kind = t.kind and n.object = t.object and n.id > t.id and n.state = 'done')
$$),
('partitions', 'ladder.partition_problems', $$
  select p.level, p.problem, p.object, p.fix from ladder.partition_problems p
$$),
('settings', null, $$
  select 'warning', s.problem, s.name, 'the mover restarts the node by itself: bin/ladder status' from ladder.settings_pending s
$$),
('checksums', null, $$
  select 'critical', format('%s blocks fail their checksum', d.checksum_failures), d.datname, 'the disk or the memory is broken: fail over, then restore the node'
  from pg_stat_database d where d.checksum_failures > 0
$$),
('archiving', null, $$
  select 'critical', format('fails since %s: %s', a.last_failed_time, a.last_failed_wal), null, 'see the server''s log: WAL stays and fills the disk'
  from pg_stat_archiver a where a.last_failed_time > coalesce(a.last_archived_time, '-infinity')
$$);

-- A check that cannot be made is a warning, and the others still answer. None waits for a table that somebody has locked.
create function ladder.run_health_checks(out "check" text, out level text, out value text, out object text, out fix text)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '300ms'
as $$
declare
  due ladder.health_check;
begin
  for due in select * from ladder.health_check order by name loop
    "check" := due.name;
    continue when due.needs is not null and to_regclass(due.needs) is null;
    begin
      return query execute format('select %L, a.level::text, a.value::text, a.object::text, a.fix::text from (%s) a (level, value, object, fix)', due.name, due.query);
      if not found then
        level := 'ok';
        value := null;
        object := null;
        fix := null;
        return next;
      end if;
    exception when others then
      level := 'warning';
      value := 'cannot be checked: ' || sqlerrm;
      object := null;
      fix := null;
      return next;
    end;
  end loop;
end $$;
alter function ladder.run_health_checks() owner to ladder_admin;
revoke all on function ladder.run_health_checks() from public;
grant execute on function ladder.run_health_checks() to ladder_monitor;

create view ladder.health as
select h."check", h.level, h.value, h.object, case when h.level <> 'ok' then h.fix end as fix
from ladder.run_health_checks() h
order by case h.level when 'critical' then 1 when 'warning' then 2 else 3 end, h."check", h.object;
alter view ladder.health owner to ladder_admin;
grant select on ladder.health to ladder_monitor;
comment on view ladder.health is 'One line for each check: ok, warning or critical, and what to do';
