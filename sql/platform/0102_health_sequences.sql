-- Row of ladder.health_check: a sequence is judged by its own range, because a shard's begins far above 1.
update ladder.health_check set query = $$
  select ladder.level('sequence_percent', u.percent), format('%s of %s%s, %s %%', u.last_value, case when u.least > 1 then u.least || ' to ' end, u.most, u.percent), u.name,
    'a bigint column and sequence: docs/guide on expand and contract'
  from (
    select format('%I.%I', s.schemaname, s.sequencename) as name, s.last_value, m.least, m.most,
      round(100.0 * (s.last_value - m.least + 1) / greatest(m.most - m.least + 1, 1), 1) as percent
    from pg_sequences s
    left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = format('%I.%I', s.schemaname, s.sequencename)::regclass
      and d.deptype in ('a', 'i') and d.refobjsubid > 0
    left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    cross join lateral (
      select greatest(s.min_value, 1) as least,
        least(s.max_value, case a.atttypid when 'int4'::regtype then 2147483647 when 'int2'::regtype then 32767 else s.max_value end)::numeric as most
    ) m
    where s.increment_by > 0 and not s.cycle
  ) u where ladder.level('sequence_percent', u.percent) <> 'ok'
$$ where name = 'sequences';
