-- Procedures ladder.add_check, ladder.add_foreign_key, ladder.add_not_null: constraints on filled tables without a long lock. Each adds the
-- constraint NOT VALID, commits, then validates; called again, it goes on where it stopped. They run with the caller's rights.
create procedure ladder.alter_quickly(relation regclass, actions text)
language plpgsql
as $$
declare
  tries integer := 0;
begin
  loop
    begin
      perform pg_catalog.set_config('lock_timeout', '2s', true);
      execute pg_catalog.format('alter table %s %s', relation, actions);
      exit;
    exception when lock_not_available or deadlock_detected then
      tries := tries + 1;
      if tries >= 10 then
        raise;
      end if;
    end;
    -- Nothing is locked while it waits: those who queued up behind go first.
    commit;
    perform pg_catalog.pg_sleep(0.25 * tries);
  end loop;
  commit;
end $$;
alter procedure ladder.alter_quickly(regclass, text) owner to ladder_admin;

create procedure ladder.add_constraint(relation regclass, constraint_name name, definition text)
language plpgsql
as $$
declare
  found pg_catalog.pg_constraint;
begin
  select * into found from pg_catalog.pg_constraint c where c.conrelid = relation and c.conname = constraint_name;
  if found.oid is null then
    call ladder.alter_quickly(relation, pg_catalog.format('add constraint %I %s not valid', constraint_name, definition));
    select * into found from pg_catalog.pg_constraint c where c.conrelid = relation and c.conname = constraint_name;
  end if;
  if not found.convalidated then
    -- PostgreSQL validates with the eyes of its caller: rows that policies hide would count as good.
    if found.contype = 'f' and (pg_catalog.row_security_active(relation) or pg_catalog.row_security_active(found.confrelid)) then
      raise insufficient_privilege using
        message = pg_catalog.format('constraint %I: got %s to validate it, want a role that sees all rows of both tables', constraint_name, current_user),
        hint = 'It holds for new rows already. Call the procedure again as ladder_admin';
    end if;
    -- Takes a lock that lets everybody read and write.
    execute pg_catalog.format('alter table %s validate constraint %I', relation, constraint_name);
    commit;
  end if;
end $$;
alter procedure ladder.add_constraint(regclass, name, text) owner to ladder_admin;

create procedure ladder.add_check(relation regclass, constraint_name name, expression text)
language plpgsql
as $$
begin
  call ladder.add_constraint(relation, constraint_name, pg_catalog.format('check (%s)', expression));
end $$;
alter procedure ladder.add_check(regclass, name, text) owner to ladder_admin;
comment on procedure ladder.add_check(regclass, name, text) is 'call ladder.add_check(''posts'', ''posts_short'', ''char_length(content) < 10000'')';

create procedure ladder.add_foreign_key(relation regclass, constraint_name name, definition text)
language plpgsql
as $$
begin
  call ladder.add_constraint(relation, constraint_name, pg_catalog.format('foreign key %s', definition));
end $$;
alter procedure ladder.add_foreign_key(regclass, name, text) owner to ladder_admin;
comment on procedure ladder.add_foreign_key(regclass, name, text) is
  'call ladder.add_foreign_key(''bots'', ''bots_tenant'', ''(tenant_id) references tenants (id)'')';

create procedure ladder.add_not_null(relation regclass, column_name name)
language plpgsql
as $$
declare
  constraint_name name := pg_catalog.left(column_name, 44) || '_ladder_not_null';
  missing boolean;
begin
  select not a.attnotnull into missing from pg_catalog.pg_attribute a
    where a.attrelid = relation and a.attname = column_name and a.attnum > 0 and not a.attisdropped;
  if missing is null then
    raise undefined_column using message = pg_catalog.format('column: got %I, want a column of %s', column_name, relation);
  end if;
  if missing then
    call ladder.add_constraint(relation, constraint_name, pg_catalog.format('check (%I is not null)', column_name));
    -- The validated check spares the look at every row.
    call ladder.alter_quickly(relation, pg_catalog.format('alter column %I set not null', column_name));
  end if;
  if exists (select from pg_catalog.pg_constraint c where c.conrelid = relation and c.conname = constraint_name) then
    call ladder.alter_quickly(relation, pg_catalog.format('drop constraint %I', constraint_name));
  end if;
end $$;
alter procedure ladder.add_not_null(regclass, name) owner to ladder_admin;
comment on procedure ladder.add_not_null(regclass, name) is 'call ladder.add_not_null(''posts'', ''language'')';
