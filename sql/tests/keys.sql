-- The example schema can climb: keys hold the shard key and the month, ids come from sequences, nothing ties sharded tables together.
do $$
declare
  want record;
  key text[];
begin
  for want in
    select * from (values
      ('users', '{id}'::text[]), ('profiles', '{user_id}'), ('conversations', '{id}'), ('conversation_members', '{user_id}'),
      ('messages', '{user_id,inserted_at}'), ('reactions', '{user_id}'), ('user_sessions', '{user_id}'),
      ('message_history', '{user_id,created_at}'), ('auto_tasks', '{user_id}'), ('task_approvals', '{user_id}'),
      ('status_updates', '{user_id,created_at}'), ('forum_threads', '{user_id,region}'), ('posts', '{user_id,created_at}'),
      ('analytics_events', '{user_id,created_at}'), ('tvl_data', '{protocol_id,timestamp}'), ('transactions', '{protocol_id}'),
      ('agent_memories', '{user_id}'), ('embeddings', '{user_id}')
    ) as t (name, columns)
  loop
    select array_agg(a.attname::text) into key
    from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = want.name::regclass and i.indisprimary;
    assert key @> want.columns, format('%s: primary key %s lacks one of %s', want.name, key, want.columns);
  end loop;

  assert not exists (select from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and i.indisunique and not i.indisprimary),
    'a unique index beside a primary key';
  assert not exists (select from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and (a.attidentity <> '' or a.attgenerated <> '')),
    'an identity or generated column';
  assert not exists (select from information_schema.columns where table_schema = 'public' and data_type = 'timestamp without time zone'),
    'a timestamp without time zone';
  assert (select array_agg(conrelid::regclass::text || ' to ' || confrelid::regclass::text) from pg_constraint
    where contype = 'f' and connamespace = 'public'::regnamespace) = '{bots to tenants}', 'foreign keys';
  assert not exists (select from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    and not exists (select from pg_index where indrelid = c.oid and indisprimary)), 'a table without primary key';
  assert not exists (select from pg_sequence s join pg_class c on c.oid = s.seqrelid
    where c.relnamespace = 'public'::regnamespace and s.seqtypid <> 'bigint'::regtype), 'a sequence that is not bigint';
end $$;
