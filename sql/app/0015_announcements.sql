-- Announcements to everybody: a global table.
create sequence announcements_id;
create table announcements (
  id bigint primary key default nextval('announcements_id'),
  starts_at timestamptz not null default now(),
  ends_at timestamptz check (ends_at > starts_at),
  title text not null check (char_length(title) between 1 and 200),
  body text not null default ''
);
alter sequence announcements_id owned by announcements.id;
create index idx_announcements_starts on announcements (starts_at desc);
