-- Closing value and range of each protocol and day (UTC), as a materialized view. It and the next ones stand on a function that looks
-- its tables up by name at every refresh: a view is bound to the table it was made on, and another one takes the name when a table
-- becomes partitioned. The unique index lets a refresh run without locking readers out.
create function tvl_daily_rows() returns table (protocol_id bigint, day date, closing numeric, lowest numeric, highest numeric)
language sql stable parallel safe as $$
  select protocol_id, (timestamp at time zone 'UTC')::date, (array_agg(tvl order by timestamp desc, id desc))[1], min(tvl), max(tvl)
  from public.tvl_data group by 1, 2
$$;
create materialized view tvl_daily as select * from tvl_daily_rows();
create unique index idx_tvl_daily on tvl_daily (protocol_id, day);
comment on materialized view tvl_daily is 'refresh: 5 * * * *';
