-- View ladder.shard_move: the last move of rows between the primary and shards, or between shards: where it is, how far, and what it waits for.
create view ladder.shard_move as
with last as (
  select kind, run from ladder.move where kind in ('3-4', '4-3', '4-4') order by id desc limit 1
), steps as (
  select m.* from ladder.move m join last using (kind, run)
), now as (
  select s.* from steps s where s.state in ('running', 'failed', 'waiting') order by s.state = 'waiting', s.position desc limit 1
)
select (select min(started) from steps) as started, coalesce(n.started, (select max(finished) from steps)) as since, l.run,
  (select count(*) from steps where state = 'done')::integer as steps_done, (select count(*) from steps)::integer as steps_total,
  (n.detail ->> 'rowsDone')::float8 as rows_done, (n.detail ->> 'rowsTotal')::float8 as rows_total,
  (n.detail ->> 'left')::float8 as seconds_left, l.kind, coalesce(n.step, 'done') as step, n.error as problem, n.detail ->> 'waits' as waits
from last l left join now n on true;
alter view ladder.shard_move owner to ladder_admin;
grant select on ladder.shard_move to ladder_monitor;
comment on view ladder.shard_move is 'Kind 3-4 is the climb to shards, 4-3 the way back, 4-4 growing and shrinking; step "kept": moved, and the way back is open until ladder finish';
