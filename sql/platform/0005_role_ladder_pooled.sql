-- Role ladder_pooled: a group; its members may come in through the pooler. Give it to further login roles that should.
do $$
begin
  create role ladder_pooled nologin;
exception when duplicate_object or unique_violation then
  null;
end $$;
alter role ladder_pooled nosuperuser nocreaterole nocreatedb noreplication;
grant ladder_pooled to app, app_ro;
