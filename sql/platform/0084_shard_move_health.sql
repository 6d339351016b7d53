-- Rows of ladder.health_check: moves between servers that cannot go on, and a way back that was kept for more than a week.
insert into ladder.health_check (name, needs, query) values
('shards', 'ladder.shard_move', $$
  select 'warning', concat_ws(': ', m.step, coalesce(m.problem, 'every write on the shards is made on the gateway too since ' || date_trunc('second', m.since))),
    'shards', case when m.problem is null then 'bin/ladder finish, or back to stage 3' else 'the agent''s log says more; it is tried again by itself' end
  from ladder.shard_move m
  where m.problem is not null or m.step = 'kept' and m.since < now() - interval '7 days'
$$);
