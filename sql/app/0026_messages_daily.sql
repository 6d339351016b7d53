-- Messages and their senders by day (UTC) and type: what a dashboard would otherwise count over the largest table.
create function messages_daily_rows() returns table (day date, message_type smallint, messages bigint, senders bigint)
language sql stable parallel safe as $$
  select (inserted_at at time zone 'UTC')::date, message_type, count(*), count(distinct user_id)
  from public.messages group by 1, 2
$$;
create materialized view messages_daily as select * from messages_daily_rows();
create unique index idx_messages_daily on messages_daily (day, message_type);
comment on materialized view messages_daily is 'refresh: 20 3 * * *';
