-- Profiles: one row a user, beside the user on the same shard.
create table profiles (
  user_id bigint primary key,
  updated_at timestamptz not null default now(),
  location_lng double precision check (location_lng between -180 and 180),
  location_lat double precision check (location_lat between -90 and 90),
  display_name text not null default '',
  interests jsonb not null default '[]'
);
create index idx_profile_interests on profiles using gin (interests);
create index idx_location on profiles using gist (point(location_lng, location_lat));
