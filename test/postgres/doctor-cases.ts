/** Schemas that the doctor has something to say about. */
import type { WrittenTable } from "../../plan/config/schema.ts";
import { tableConfig } from "../../plan/config/tables.ts";

export const configs = (tables: Readonly<Record<string, WrittenTable>>) =>
  Object.fromEntries(Object.entries(tables).map(([name, written]) => [name, tableConfig(written)]));
export const TABLES = configs({ orders: { shardBy: "user_id" }, lines: { shardBy: "user_id" }, kinds: { global: true } });

/** A schema in which nothing stands in the way. */
export const GOOD = `
set local role app;
create sequence ids;
create table kinds (id bigint primary key, name text);
create table orders (user_id bigint not null, id bigint not null default nextval('ids'), kind bigint references kinds, email text, primary key (user_id, id));
alter sequence ids owned by orders.id;
create table lines (user_id bigint not null, id bigint, order_id bigint, primary key (user_id, id));
create index on orders (email);
reset role;
`;

/** A name; what is changed in the good schema; the finding; the declarations, where they are others. */
type Case = [string, string, string, Readonly<Record<string, WrittenTable>>?];

/** What blocks, and goes away with its own fix. */
export const MENDED: readonly Case[] = [
  [
    "a key that accepts NULL",
    "alter table lines drop constraint lines_pkey, alter user_id drop not null; create unique index on lines (user_id, id); alter table lines add k bigint; alter table lines add primary key (k, id)",
    'public.lines."user_id": the shard key accepts NULL, and no row without a key has a shard; alter table public.lines add constraint ladder_not_null check ("user_id" is not null) not valid; ' +
      'alter table public.lines validate constraint ladder_not_null; alter table public.lines alter "user_id" set not null; alter table public.lines drop constraint ladder_not_null',
  ],
  [
    "a key of type smallint",
    "alter table lines alter user_id type smallint",
    'public.lines."user_id": the shard key\'s type is smallint; alter table public.lines alter "user_id" type integer',
  ],
  [
    "a key whose collation is not deterministic",
    "create collation loose (provider = icu, locale = 'und', deterministic = false); alter table lines alter user_id type text collate loose",
    'public.lines."user_id": its collation is not deterministic: equal texts would lie on different shards; alter table public.lines alter "user_id" type text collate "default"',
  ],
  [
    "no primary key",
    "alter table lines drop constraint lines_pkey",
    "public.lines: it has no primary key: a move could neither bring over its changes nor prove that nothing is missing; " +
      'create sequence "public"."lines_row"; alter table public.lines add column "row_id" bigint not null default nextval(\'"public"."lines_row"\'), ' +
      'add primary key ("user_id", "row_id") -- writes the table anew under a lock; or a key of columns that it has',
  ],
  [
    "a primary key without the shard key",
    "alter table lines drop constraint lines_pkey, add primary key (id)",
    'public.lines, lines_pkey: the primary key has no "user_id" in it: it cannot hold over all shards, nor can updates be replicated; ' +
      'create unique index concurrently "lines_shard_key" on public.lines ("user_id", "id"); alter table public.lines drop constraint "lines_pkey", ' +
      'add constraint "lines_pkey" primary key using index "lines_shard_key"',
  ],
  [
    "a unique constraint without the shard key",
    "alter table orders add constraint orders_email unique (email)",
    'public.orders, orders_email: unique without "user_id" in it: each shard would see its own rows only; ' +
      'alter table public.orders drop constraint "orders_email"; what has to be unique over all shards gets a table of its own without shardBy',
  ],
  [
    "a unique index on an expression",
    "create unique index orders_lower on orders (lower(email))",
    'public.orders, orders_lower: unique without "user_id" in it: each shard would see its own rows only; ' +
      'drop index "public"."orders_lower"; what has to be unique over all shards gets a table of its own without shardBy',
  ],
  [
    "an exclusion constraint",
    "alter table orders add constraint orders_x exclude using btree (user_id with =, email with =)",
    'public.orders, orders_x: an exclusion constraint holds on one shard only; alter table public.orders drop constraint "orders_x"',
  ],
  [
    "no replica identity",
    "alter table orders replica identity nothing",
    "public.orders: its replica identity is nothing; alter table public.orders replica identity default",
  ],
  [
    "a replica identity without the key",
    "alter table orders alter email set not null; create unique index orders_email on orders (email); alter table orders replica identity using index orders_email; drop index orders_email",
    'public.orders: its replica identity is an index without "user_id"; alter table public.orders replica identity default',
  ],
  [
    "ids of type integer",
    "alter table orders alter id type integer",
    'public.orders."id": ids of type integer: the shards draw theirs from ranges of 2^43; ' +
      'alter table public.orders alter "id" type bigint -- writes the table anew under a lock; without one: a new column, ladder.backfill, another name',
  ],
  [
    "a sequence of type integer",
    "alter sequence ids as integer",
    "public.ids: the sequence ends at 2147483647, before the shards' ranges; alter sequence public.ids as bigint no maxvalue",
  ],
  [
    "a sequence that begins again",
    "alter sequence ids cycle",
    "public.ids: the sequence counts downwards or begins again; alter sequence public.ids increment 1 no cycle",
  ],
  [
    "an unlogged table",
    "alter table lines set unlogged",
    "public.lines: it is unlogged: its changes are not replicated; alter table public.lines set logged",
  ],
  ["inheritance", "create table more () inherits (lines)", "public.lines: more inherits from it; alter table more no inherit public.lines"],
  [
    "a trigger for replicated rows",
    "create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger t before insert on lines for each row execute function f(); alter table lines enable always trigger t",
    'public.lines, t: the trigger fires for replicated rows as well: once here, once more on the shard; alter table public.lines enable trigger "t"',
  ],
  ["a rule", "create rule r as on delete to lines do instead nothing", 'public.lines, r: a rule; drop rule "r" on public.lines'],
  [
    "a large object",
    "alter table lines add doc oid",
    'public.lines."doc": its type is oid: a large object stays behind on the gateway; keep the contents in a bytea column, or outside of the database; a number: ' +
      'alter table public.lines alter "doc" type bigint',
  ],
  [
    "a publication of all tables",
    "create publication everything for all tables",
    'public.orders, publication everything: it would publish nothing more: the rows change on the shards; drop publication "everything"',
  ],
  [
    "a publication of the table",
    "create publication few for table lines, kinds",
    'public.lines, publication few: it would publish nothing more: the rows change on the shards; alter publication "few" drop table public.lines',
  ],
  [
    "a foreign key between shards",
    "create unique index on orders (id, user_id); alter table lines add foreign key (order_id, id) references orders (id, user_id)",
    "public.lines, lines_order_id_id_fkey: a foreign key to public.orders without the shard key of both in it: the other row may be on another shard; " +
      'alter table public.lines drop constraint "lines_order_id_id_fkey"; or the shard key in both tables, and in the foreign key',
  ],
  [
    "a foreign key from the gateway",
    "create table notes (u bigint, o bigint, foreign key (u, o) references orders)",
    "public.notes, notes_u_o_fkey: a foreign key to public.orders, whose rows are on the shards, from a table that is on the gateway; " +
      'pgladder:tables: { notes: { shardBy: u } }; or alter table public.notes drop constraint "notes_u_o_fkey"',
  ],
  [
    "a foreign key from a global table",
    "alter table kinds add u bigint, add o bigint, add foreign key (u, o) references orders",
    'public.kinds, kinds_u_o_fkey: a foreign key to public.orders, whose rows are on the shards, from a table that is on every server; alter table public.kinds drop constraint "kinds_u_o_fkey"',
  ],
  [
    "a foreign key to a table on the gateway",
    "create table plans (id bigint primary key); alter table lines add plan bigint references plans",
    'public.lines, lines_plan_fkey: a foreign key to public.plans, which is on the gateway only; pgladder:tables: { plans: { global: true } }; or alter table public.lines drop constraint "lines_plan_fkey"',
  ],
  [
    "a foreign key that deletes",
    "alter table lines add kind bigint references kinds on delete cascade",
    "public.lines, lines_kind_fkey: it acts on rows when public.kinds changes (ON DELETE, ON UPDATE), and a replicated change of a global table does not set that off; " +
      'alter table public.lines drop constraint "lines_kind_fkey"; make it again without the action, and let the application delete its rows first',
  ],
  [
    "a materialized view",
    "create materialized view m as select count(*) from lines",
    "materialized view m: it reads public.lines by its identity, and would go on reading the old table; " +
      "drop materialized view public.m; make it again on a function in a string that reads public.lines: it looks the name up at each refresh",
  ],
  [
    "a global table without a key",
    "alter table orders drop constraint orders_kind_fkey; alter table kinds drop constraint kinds_pkey",
    "public.kinds: a global table without a primary key: its updates cannot be replicated; alter table public.kinds add primary key (…)",
  ],
  [
    "an unlogged global table",
    "alter table orders drop constraint orders_kind_fkey; alter table kinds set unlogged",
    "public.kinds: it is unlogged: its changes are not replicated; alter table public.kinds set logged",
  ],
];

/** What blocks, and needs more than a statement. */
export const BLOCKING: readonly Case[] = [
  [
    "no such table",
    "select",
    "nowhere: it is declared, and there is no such table; make it by a migration, or take it out of pgladder:tables",
    { nowhere: { shardBy: "id" } },
  ],
  [
    "no such column",
    "select",
    'public.lines."uid": there is no such column; shardBy: one of user_id, id, order_id',
    { lines: { shardBy: "uid" } },
  ],
  [
    "a key of another type",
    "alter table lines alter user_id type numeric",
    'public.lines."user_id": the shard key\'s type is numeric; shardBy: a column of type bigint, integer, uuid, text or varchar',
  ],
  [
    "a domain",
    "create domain uid as bigint; alter table lines alter user_id type uid",
    'public.lines."user_id": the shard key\'s type is uid; shardBy: a column of type bigint, integer, uuid, text or varchar',
  ],
  [
    "a view",
    "create view shown as select 1 as id",
    "public.shown: it is a view; declare the tables that it reads",
    { shown: { shardBy: "id" } },
  ],
  [
    "a partition",
    "create table whole (id bigint primary key) partition by hash (id); create table part partition of whole for values with (modulus 1, remainder 0)",
    "public.part: it is a partition of whole; declare the parent",
    { part: { shardBy: "id" } },
  ],
  [
    "a generated key",
    "create table gen (id bigint primary key, k bigint generated always as (id + 1) stored not null)",
    'public.gen."k": the shard key is a generated column; a column that is stored as it is written',
    { gen: { shardBy: "k" } },
  ],
  [
    "a generated column in the key",
    "create table gen (id bigint, k bigint generated always as (id + 1) stored, primary key (id, k))",
    'public.gen."k": a generated column in the primary key is not replicated; a key of stored columns',
    { gen: { shardBy: "id" } },
  ],
  [
    "a sequence beyond the gateway's range",
    "select setval('ids', 8796093022208)",
    "public.ids: the sequence has reached 8796093022208: the gateway's ids end at 2^43 = 8796093022208, where the shards' begin; " +
      "give the rows smaller ids, then setval; ids of another kind (time-based ones) must not come from a sequence: uuid",
  ],
  [
    "a view that groups by the key",
    "create view v as select user_id, id, email from orders group by user_id, id",
    "view v: its GROUP BY relies on the primary key of public.orders, which the gateway's table does not have; name all columns in GROUP BY",
  ],
  [
    "a function with a body of its own",
    "create function n() returns bigint return (select count(*) from lines)",
    "function n(): it is bound to the identity of public.lines, and would stay with the old table; " +
      "drop it, and make it again; a function with its body in a string and columns in place of the row type",
  ],
  [
    "a function of the row type",
    "create function n(lines) returns bigint language sql as 'select 1::bigint'",
    "function n(lines): it is bound to the identity of public.lines, and would stay with the old table; " +
      "drop it, and make it again; a function with its body in a string and columns in place of the row type",
  ],
  [
    "two schemas",
    "create schema two; create table two.lines (user_id bigint primary key)",
    "two.lines: another sharded table of this name is in another schema; alter table two.lines rename to …",
    { lines: { shardBy: "user_id" }, "two.lines": { shardBy: "user_id" } },
  ],
  [
    "partitions that are to come",
    "create table events (id bigint, at timestamptz, primary key (id, at))",
    "public.events: it is not partitioned by at yet; wait: bin/ladder conversions",
    { events: { shardBy: "id", partition: { by: "at" } } },
  ],
  [
    "a conversion under way",
    "insert into ladder.conversion (schema_name, table_name, direction, state) values ('public', 'lines', 'partition', 'copying')",
    "public.lines: it is being converted (copying); wait; or take the declaration of its partitions back: bin/ladder conversions",
  ],
  [
    "a conversion's old table",
    "insert into ladder.conversion (schema_name, table_name, direction, state) values ('public', 'lines', 'partition', 'kept')",
    "public.lines: the old table of its conversion is kept, and gets every write; bin/ladder finish",
  ],
];

export const COSTLY: readonly Case[] = [
  [
    "a trigger",
    "create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger t before insert on lines for each row execute function f()",
    "public.lines, t: the trigger runs on the shard and sees that shard's rows only; none runs on the gateway; it may read its own row, its shard key's rows and global tables",
  ],
  [
    "a view",
    "create view v as select email from orders",
    "view v: it reads public.orders: it is made again in the flip, and asks the shards from then on; its owner, grants and options stay",
  ],
  [
    "a foreign key on one shard",
    "alter table lines add foreign key (user_id, order_id) references orders",
    "public.lines, lines_user_id_order_id_fkey: both rows are on the same shard, which checks the foreign key; the gateway does not know of it; ",
  ],
  [
    "rows in the default partition",
    "create table events (id bigint, at date, primary key (id, at)) partition by range (at); create table events_rest partition of events default; insert into events values (1, '2020-01-01')",
    "events_rest: rows in the default partition: no partition of the shards is made for them; make the partition that they belong to",
    { events: { shardBy: "id", partition: { by: "at" } } },
  ],
  [
    "partitions of another kind",
    "create table events (id bigint primary key, at date) partition by hash (id)",
    "public.events: it is partitioned by hash of id, and declared by range of at; it stays as it is, on the shards too; declare what it is",
    { events: { shardBy: "id", partition: { by: "at" } } },
  ],
  [
    "a policy of the application",
    "create policy mine on lines using (true)",
    "public.lines, mine: the policy holds on the gateway, and on each shard for what comes straight to it; it sees that shard's rows only; it may read its own row and global tables",
  ],
  [
    "small tables that nobody declared",
    "create table plans (id bigint); create table notes (id bigint)",
    "public.notes, public.plans: stay on the gateway: less than 1 MB each; joins with sharded tables are made there; pgladder:tables: { <table>: { shardBy: … }, or { global: true } }",
  ],
  [
    "a large table that nobody declared",
    "create table plans (id bigint, t text); insert into plans select n, repeat('x', 100) from generate_series(1, 20000) n; analyze plans",
    "public.plans: stays on the gateway: 20,000 rows, 2.7 MB; joins with sharded tables are made there; pgladder:tables: { plans: { shardBy: … }, or { global: true } }",
  ],
];
