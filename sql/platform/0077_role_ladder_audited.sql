-- Role ladder_audited: a group for people: what its members write is in the audit log. Superusers are audited without it.
do $$
begin
  create role ladder_audited nologin;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role ladder_audited nosuperuser nocreaterole nocreatedb noreplication;
