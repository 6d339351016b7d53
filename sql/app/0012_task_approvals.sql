-- Approvals that tasks wait for, sharded by the task's user.
create sequence task_approvals_id;
create table task_approvals (
  id bigint not null default nextval('task_approvals_id'),
  user_id bigint not null,
  task_id bigint not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  decided_at timestamptz,
  status smallint not null default 0 check (status between 0 and 4),
  primary key (user_id, id)
);
alter sequence task_approvals_id owned by task_approvals.id;
comment on column task_approvals.status is '0 pending, 1 approved, 2 rejected, 3 expired, 4 skipped';

create index idx_approvals_pending on task_approvals (task_id, expires_at) where status = 0;
