-- Table ladder.index_use and function ladder.note_index_use: when each index was last scanned, on every node, across crashes and
-- fail-overs. PostgreSQL's own counters are a node's own: an index that only replicas use looks unused on the primary.
create table ladder.index_use (
  index oid not null,
  first_seen timestamptz not null default clock_timestamp(),
  last_scan timestamptz,
  node text not null,
  primary key (index, node)
);
alter table ladder.index_use owner to ladder_admin;
grant select on ladder.index_use to ladder_monitor;

create function ladder.note_index_use(node text, seen jsonb default null)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  noted bigint;
begin
  delete from ladder.index_use u where not exists (select from pg_class c where c.oid = u.index and c.relkind = 'i');
  insert into ladder.index_use as u (index, node, last_scan)
  select s.indexrelid, note_index_use.node, s.last_idx_scan
  from pg_stat_user_indexes s
  where seen is null
  union all
  select e.index, note_index_use.node, e.last_scan
  from jsonb_to_recordset(seen) e (index oid, last_scan timestamptz)
  where exists (select from pg_class c where c.oid = e.index and c.relkind = 'i')
  on conflict on constraint index_use_pkey do update set last_scan = greatest(u.last_scan, excluded.last_scan)
    where excluded.last_scan > u.last_scan or u.last_scan is null and excluded.last_scan is not null;
  get diagnostics noted = row_count;
  return noted;
end $$;
alter function ladder.note_index_use(text, jsonb) owner to ladder_admin;
revoke all on function ladder.note_index_use(text, jsonb) from public;
comment on function ladder.note_index_use(text, jsonb) is
  'Takes down when indexes were last scanned: this server''s own, or those that the agent brings from a replica ([{index, last_scan}])';
