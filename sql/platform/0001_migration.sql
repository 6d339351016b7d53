-- Schema ladder: everything the platform keeps in the application's database. Nobody but ladder_admin may create in it.
-- Table ladder.migration: the ledger of applied migration files, the platform's own and the application's.
create schema if not exists ladder authorization ladder_admin;
revoke all on schema ladder from public;

create table ladder.migration (
  applied_at timestamptz not null default clock_timestamp(),
  duration interval,
  statements integer not null default 0,
  set text not null check (set in ('platform', 'app')),
  file text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  state text not null default 'applied' check (state in ('started', 'applied')),
  by text not null default session_user,
  error text,
  primary key (set, file)
);
alter table ladder.migration owner to ladder_admin;
comment on table ladder.migration is 'Applied migration files. state "started": a file that runs without a transaction and has not ended';
comment on column ladder.migration.statements is 'Finished statements of a file that runs without a transaction';
