-- Table ladder.move: the steps of climbs and of their ways back. A step is repeatable: one that is found "running" is begun again.
create sequence ladder.move_id;
create table ladder.move (
  id bigint primary key default nextval('ladder.move_id'),
  started timestamptz,
  finished timestamptz,
  run integer not null default 1 check (run > 0),
  position integer not null default 0,
  kind text not null check (kind ~ '^[1-5]-[1-5]$'),
  step text not null,
  state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'undone')),
  detail jsonb not null default '{}',
  error text,
  unique (kind, run, step),
  check (finished is null or started is not null)
);
alter sequence ladder.move_id owned by ladder.move.id;
alter table ladder.move owner to ladder_admin;
grant select on ladder.move to ladder_monitor;
comment on column ladder.move.kind is 'From stage and to stage, for example 1-2';
comment on column ladder.move.run is 'Counts repetitions of the same kind: a stack may climb, go back and climb again';
comment on column ladder.move.position is 'Order of the steps of a run';
comment on column ladder.move.detail is 'What the step has to remember to be repeated: positions in the log, names, counts';
