-- Rows of ladder.health_check: conversions that are blocked or failed, and old tables that were kept for more than a week.
insert into ladder.health_check (name, needs, query) values
('conversions', 'ladder.conversions', $$
  select 'warning', concat_ws(': ', c.state, case when c.state = 'kept' then 'every write is made twice since ' || date_trunc('second', c.swapped) else c.problem end),
    c."table", c.fix
  from ladder.conversions c
  where c.state in ('blocked', 'failed') or c.state = 'kept' and c.swapped < now() - interval '7 days'
$$);
