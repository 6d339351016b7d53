-- How much each user has posted, and when last, over status updates and the forum: the aggregate behind "most active users".
create function user_posts_rows() returns table (user_id bigint, updates bigint, posts bigint, last_at timestamptz)
language sql stable parallel safe as $$
  select user_id, sum(updates)::bigint, sum(posts)::bigint, max(last_at)
  from (
    select user_id, count(*) as updates, 0 as posts, max(created_at) as last_at from public.status_updates group by user_id
    union all
    select user_id, 0, count(*), max(created_at) from public.posts group by user_id
  ) counted
  group by user_id
$$;
create materialized view user_posts as select * from user_posts_rows();
create unique index idx_user_posts on user_posts (user_id);
create index idx_user_posts_active on user_posts ((updates + posts) desc);
comment on materialized view user_posts is 'refresh: */15 * * * *';
