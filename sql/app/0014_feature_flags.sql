-- Feature flags, switched on for a share of the users: a global table.
create table feature_flags (
  updated_at timestamptz not null default now(),
  percent smallint not null default 0 check (percent between 0 and 100),
  name text primary key check (char_length(name) between 1 and 200),
  description text not null default ''
);
comment on column feature_flags.percent is 'Share of users that see the feature: 0 off, 100 on for all';
