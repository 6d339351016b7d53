/** Where statements run once rows are on shards. Cannot prove: that servers accept them. */
import { describe, expect, test } from "vitest";
import { definitionsOf, onGateway } from "../../agent/migrate/place.ts";
import { parseScript } from "../../agent/migrate/script.ts";

const parse = (text: string) => parseScript({ name: "1.sql", path: "1.sql", text, sha256: "", repeatable: false });
const onShard = async (text: string) => definitionsOf(await parse(text)).statements.map((statement) => statement.text.trim());
const gateway = async (text: string) => onGateway((await parse(text)).statements[0]!.node, new Set(["public.messages", "crm.deals"]));

describe("on a shard", () => {
  test.each([
    "insert into a values (1)",
    "with x as (delete from a returning *) select * from x",
    "select setval('a_id', 5)",
    "select set_config('a.b', 'c', false) from a",
    "merge into a using b on a.x = b.x when matched then delete",
    "truncate a",
    "call fill()",
    "refresh materialized view a",
    "alter sequence a_id restart with 5",
    "comment on materialized view a is 'refresh: 5 * * * *'",
    "explain analyze insert into a values (1)",
  ])("%s: left out", async (text) => {
    expect(await onShard(text)).toEqual([]);
  });

  test.each([
    ["create table a (x int)", "create table a (x int)"],
    ["select set_config('search_path', '', false)", "select set_config('search_path', '', false)"],
    ["alter sequence a_id owned by a.x", "alter sequence a_id owned by a.x"],
    ["comment on materialized view a is 'daily'", "comment on materialized view a is 'daily'"],
    ["create table b as select * from a", "create table b as select * from a\nwith no data"],
    ["create materialized view b as select 1 with data -- all", "create materialized view b as select 1 -- all\nwith no data"],
    ["create materialized view b as select 1 WITH DATA", "create materialized view b as select 1\nwith no data"],
    ["create table b as select 1 with no data", "create table b as select 1 with no data"],
    ["select x into s.b from a", 'select x into s.b from a\n;truncate "s"."b"'],
    ["do $$ begin perform 1; end $$", "do $$ begin perform 1; end $$"],
  ])("%s: %s", async (text, wanted) => {
    expect(await onShard(text)).toEqual([wanted]);
  });

  test("a DO block of a file without a transaction is row work", async () => {
    expect(await onShard("-- ladder: no transaction\ndo $$ begin update a set x = 1; commit; end $$;\nvacuum a")).toEqual(["vacuum a"]);
  });

  test("the hash is that of the definitions, whatever rows and comments are around them", async () => {
    const hash = async (text: string) => definitionsOf(await parse(text)).file.sha256;
    expect(await hash("create table a (x int);\ninsert into a values (1);")).toBe(await hash("create table a (x int);\n\nselect 1;"));
    expect(await hash("create table a (x int)")).not.toBe(await hash("create table a (x bigint)"));
  });
});

describe("on the gateway", () => {
  test.each([
    "alter table messages add column x int default 5 check (x > 0), alter column y drop not null",
    "alter table crm.deals add constraint c check (x > 0) not valid",
    "alter table messages rename column a to b",
    "alter table messages enable row level security",
    "alter table other set (fillfactor = 50), add column x bigserial",
    "create index on other (x)",
    "create policy p on messages using (true)",
    "drop table messages",
    "update messages set x = 1",
  ])("%s: runs", async (text) => {
    expect(await gateway(text)).toBe("run");
  });

  test.each([
    "create index concurrently i on messages (x)",
    "alter table messages add primary key (id), set (fillfactor = 50)",
    "alter table messages add constraint f foreign key (x) references plans (id)",
    "alter table messages replica identity full",
    "alter table crm.deals attach partition crm.deals_1 for values in (1)",
    "create table messages_1 partition of messages for values in (1)",
    "create trigger t before insert on messages for each row execute function f()",
    "create statistics s on a, b from messages",
    "analyze messages, crm.deals",
    "cluster messages using i",
    "reindex table messages",
  ])("%s: left out", async (text) => {
    expect(await gateway(text)).toBe("skip");
  });

  test.each([
    [
      "drop index a, s.b",
      [
        { kind: "index", table: undefined, name: '"a"' },
        { kind: "index", table: undefined, name: '"s"."b"' },
      ],
    ],
    ["alter index i rename to j", [{ kind: "index", table: undefined, name: '"i"' }]],
    ["drop trigger t on crm.deals", [{ kind: "trigger", table: '"crm"."deals"', name: "t" }]],
    ["alter table messages validate constraint c", [{ kind: "constraint", table: '"messages"', name: "c" }]],
    ["alter table messages alter constraint c deferrable", [{ kind: "constraint", table: '"messages"', name: "c" }]],
    ["alter table messages rename constraint c to d", [{ kind: "constraint", table: '"messages"', name: "c" }]],
    ["comment on constraint c on messages is 'x'", [{ kind: "constraint", table: '"messages"', name: "c" }]],
  ])("%s: where it is there", async (text, named) => {
    expect(await gateway(text)).toEqual({ named });
  });

  test("a dropped constraint with a new one has to be there", async () => {
    expect(await gateway("alter table messages drop constraint c, add constraint c check (x > 1)")).toEqual({
      named: [{ kind: "constraint", table: '"messages"', name: "c" }],
      more: true,
    });
  });

  test.each([
    [
      "alter table messages add column n int generated always as identity",
      "an identity column on a table that is on shards: each shard would begin with 1",
    ],
    ["alter table messages add column n int references plans (id)", "a key in the definition of a new column of a table that is on shards"],
    ["alter table messages set schema crm", "a table that is on shards is moved to another schema"],
    [
      "alter table messages add column x int, set (fillfactor = 50)",
      "columns of a table that is on shards are changed together with what only shards have",
    ],
  ])("%s: refused", async (text, message) => {
    expect(await gateway(text)).toMatchObject({ message });
  });
});
