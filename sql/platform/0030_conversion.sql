-- Table ladder.conversion: tables that become partitioned, or whole again, while they are in use. One row a run; see docs/guide/conversion.md.
create sequence ladder.conversion_id;
create table ladder.conversion (
  id bigint primary key default nextval('ladder.conversion_id'),
  started timestamptz not null default clock_timestamp(),
  changed timestamptz not null default clock_timestamp(),
  swapped timestamptz,
  finished timestamptz,
  rows_total bigint not null default 0,
  rows_done bigint not null default 0,
  rate real,
  batch integer not null default 500 check (batch > 0),
  source oid,
  target oid,
  paused boolean not null default false,
  direction text not null check (direction in ('partition', 'plain')),
  state text not null default 'checking' check (state in
    ('checking', 'blocked', 'measuring', 'building', 'syncing', 'copying', 'verifying', 'swapping', 'kept', 'done', 'failed', 'undone')),
  schema_name text not null,
  table_name text not null,
  declaration jsonb,
  cursor text[],
  problems jsonb not null default '[]',
  detail jsonb not null default '{}',
  error text
);
create unique index conversion_unfinished on ladder.conversion (schema_name, table_name) where state not in ('done', 'failed', 'undone');
alter sequence ladder.conversion_id owned by ladder.conversion.id;
alter table ladder.conversion owner to ladder_admin;
grant select on ladder.conversion to ladder_monitor;
comment on column ladder.conversion.changed is 'End of the last piece of work';
comment on column ladder.conversion.rows_done is 'Rows that the present state has gone through';
comment on column ladder.conversion.rate is 'Rows a second of the last piece of work, pauses between pieces included';
comment on column ladder.conversion.batch is 'Rows that are locked and copied at a time';
comment on column ladder.conversion.source is 'The table as it was; after the swap it is in schema ladder_kept_<id>';
comment on column ladder.conversion.target is 'The table as it becomes; until the swap it is in schema ladder_convert_<id>';
comment on column ladder.conversion.declaration is 'What was declared; another declaration, or none, ends a conversion that has not swapped';
comment on column ladder.conversion.cursor is 'The key up to which the present state has come';
comment on column ladder.conversion.problems is 'What the check found: object, level (blocks or costs), why, fix';
comment on column ladder.conversion.detail is 'What a later step has to know: keys, period, definition of the source, its triggers';
