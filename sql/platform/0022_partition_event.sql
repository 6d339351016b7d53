-- Tables ladder.partition_event and ladder.detached_partition: what the upkeep of partitions did, and what waits to be dropped.
create sequence ladder.partition_event_id;
create table ladder.partition_event (
  id bigint primary key default nextval('ladder.partition_event_id'),
  happened_at timestamptz not null default clock_timestamp(),
  moved_rows bigint,
  what text not null check (what in ('created', 'drained', 'detached', 'dropped', 'failed')),
  relation text not null,
  partition text,
  detail text
);
alter sequence ladder.partition_event_id owned by ladder.partition_event.id;
alter table ladder.partition_event owner to ladder_admin;
create index on ladder.partition_event (happened_at);
grant select on ladder.partition_event to ladder_monitor;
comment on column ladder.partition_event.moved_rows is 'Rows moved out of the default partition';
comment on column ladder.partition_event.detail is 'Bounds of the partition, or the error';

create table ladder.detached_partition (
  detached_at timestamptz not null default now(),
  partition text primary key,
  was text not null,
  relation text not null,
  bounds text not null
);
alter table ladder.detached_partition owner to ladder_admin;
grant select on ladder.detached_partition to ladder_monitor;
comment on table ladder.detached_partition is
  'Partitions that were detached by age, under the name they have now; dropped after ladder.declared_table.detached_for';

create function ladder.note_partition_event(what text, relation text, partition text, detail text, moved_rows bigint default null) returns void
language sql
begin atomic
  insert into ladder.partition_event (what, relation, partition, detail, moved_rows) values (what, relation, partition, detail, moved_rows);
end;
alter function ladder.note_partition_event(text, text, text, text, bigint) owner to ladder_admin;
revoke all on function ladder.note_partition_event(text, text, text, text, bigint) from public;
