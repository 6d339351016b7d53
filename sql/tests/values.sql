-- The checks of the SMALLINT columns accept the documents' numbers and no others.
do $$
declare
  want record;
  expression text;
  accepted smallint[];
begin
  for want in
    select * from (values
      ('conversations', 'channel', '{0,1,2,3,4,5,6,7,8,9}'::smallint[]), ('user_sessions', 'channel', '{0,1,2,3,4,5,6,7,8,9}'),
      ('message_history', 'role', '{1,2,3,4,9,10}'), ('agent_memories', 'role', '{1,2,3,4,9,10}'),
      ('messages', 'message_type', '{0,1,2,3,4,5,6,7,8}'), ('message_history', 'message_type', '{0,1,2,3,4,5,6,7,8}'),
      ('bots', 'llm_provider', '{0,1,2,3,4,5,6,7,8,9}'), ('auto_tasks', 'status', '{0,1,2,3,4,5,6,7}'),
      ('auto_tasks', 'priority', '{0,1,2,3,4}'), ('auto_tasks', 'execution_mode', '{0,1,2}'), ('auto_tasks', 'risk_level', '{0,1,2,3,4}'),
      ('auto_tasks', 'intent_type', '{0,1,2,3,4,5,6,7,8}'), ('task_approvals', 'status', '{0,1,2,3,4}'),
      ('agent_memories', 'memory_type', '{0,1,2,3,4}'), ('message_history', 'sync_status', '{0,1,2,3,4}')
    ) as t (name, col, numbers)
  loop
    select pg_get_expr(c.conbin, c.conrelid) into expression
    from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and c.conkey = array[a.attnum]
    where c.contype = 'c' and c.conrelid = want.name::regclass and a.attname = want.col;
    execute format('select array_agg(%1$I order by %1$I) from (select n::smallint as %1$I from generate_series(-1, 12) n) s where %2$s',
      want.col, expression) into accepted;
    assert accepted = want.numbers, format('%s.%s accepts %s', want.name, want.col, accepted);
  end loop;
end $$;
