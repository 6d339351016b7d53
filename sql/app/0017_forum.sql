-- The forum: threads by region, which can be split by list, and posts, which grow with time.
create sequence forum_threads_id;
create table forum_threads (
  id bigint not null default nextval('forum_threads_id'),
  user_id bigint not null,
  created_at timestamptz not null default now(),
  votes integer not null default 0,
  region text not null check (region in ('US', 'EU', 'ASIA')),
  title text not null check (char_length(title) between 1 and 200),
  primary key (user_id, id, region)
);
alter sequence forum_threads_id owned by forum_threads.id;
create index idx_forum_threads_ranking on forum_threads (region, votes desc);

create sequence posts_id;
create table posts (
  id bigint not null default nextval('posts_id'),
  user_id bigint not null,
  thread_id bigint not null,
  created_at timestamptz not null default now(),
  content text not null,
  primary key (user_id, id, created_at)
);
alter sequence posts_id owned by posts.id;
create index idx_posts_thread on posts (thread_id, created_at);
