/** The application's schema at stage 4: on a new shard, and file by file on all servers. Cannot prove: locks under an application's load. */
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copyPartitions, partitionTable } from "../../agent/shards/partitions.ts";
import { giveRanges } from "../../agent/shards/sequences.ts";
import type { Fleet } from "../../agent/shards/types.ts";
import { ID_RANGE } from "../../plan/shards.ts";
import { addFiles, folderOf, migrate, removeFolder } from "../support/migrations.ts";
import { startShards, type TestFleet } from "../support/shards.ts";
import { define, errorOf, HISTORY, lines, MESSAGES, rowsOf } from "./shards-schema.ts";
import { fleetTests } from "./shards-schema-fleet.ts";

let servers: TestFleet;
let fleet: Fleet;
let gateway: Client;
let shards: Client[];
let folder: string;
const log: string[] = [];

beforeAll(async () => {
  servers = await startShards({
    shards: 2,
    tables: [MESSAGES],
    globals: [{ schema: "public", table: "plans" }],
    log: (line) => log.push(line),
  });
  fleet = servers.fleet;
  folder = await folderOf(HISTORY);
  gateway = await servers.gateway.db.connect();
  shards = await Promise.all(servers.shards.map(({ db }) => db.connect()));
  expect((await migrate(servers.gateway.db, folder)).error).toBeUndefined();
}, 60_000);
afterAll(async () => {
  await servers?.stop();
  await removeFolder(folder);
});

const TABLES = ["notes", "plans", "copies", "bodies", "made_by_do", "messages"];

describe("definitions on a shard", () => {
  test("everything is there but rows; nothing is done twice", async () => {
    expect((await define(fleet.shards[0]!, folder, "app_shard_0")).applied).toEqual(Object.keys(HISTORY));
    expect(await rowsOf(shards[0]!, TABLES)).toEqual({ notes: 0, plans: 0, copies: 0, bodies: 0, made_by_do: 0, messages: 0 });
    expect(await rowsOf(gateway, TABLES)).toEqual({ notes: 1, plans: 1, copies: 1, bodies: 1, made_by_do: 0, messages: 0 });
    expect(
      await lines(
        shards[0]!,
        "select concat_ws(' ', relispopulated, obj_description(oid)) as line from pg_class where relname = 'note_counts'",
      ),
    ).toEqual(["f"]);
    expect(await lines(shards[0]!, "select tableowner as line from pg_tables where tablename in ('copies', 'messages')")).toEqual([
      "app",
      "app",
    ]);
    expect(await define(fleet.shards[0]!, folder, "app_shard_0")).toEqual({ applied: [], already: 3 });
    await define(fleet.shards[1]!, folder, "app_shard_1");
  });

  test("a block that changes rows which are there fails, and names server and place", async () => {
    await shards[0]!.query("insert into notes values (9, 'mine')");
    await addFiles(folder, { "004_block.sql": "create table block_one (id int);\ndo $$ begin update notes set body = 'd'; end $$;\n" });
    expect((await errorOf(define(fleet.shards[0]!, folder, "app_shard_0"))).replaceAll(folder, "sql")).toBe(
      [
        "sql/004_block.sql:2:1: on app_shard_0: the block changes rows of public.notes, which a shard gets from the gateway",
        "  2 | do $$ begin update notes set body = 'd'; end $$;",
        "      ^",
        "want: the statements that change rows outside of DO blocks, where they run on the gateway only",
      ].join("\n"),
    );
    expect(await lines(shards[0]!, "select to_regclass('block_one')::text as line")).toEqual([null]);
    await shards[0]!.query("delete from notes");
    await removeFolder(`${folder}/004_block.sql`);
  });
});

describe("partitions and ids", () => {
  const parts = (client: Client) =>
    lines(
      client,
      "select concat_ws(' ', c.relname, pg_get_userbyid(c.relowner), pg_get_expr(c.relpartbound, c.oid)) as line from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'public.messages'::regclass order by 1",
    );

  test("a shard's table is split as the gateway's is, with the same partitions and keys", async () => {
    await gateway.query("insert into messages (user_id, body, created_at) values (1, 'old', '2020-01-15'), (2, 'new', now())");
    await partitionTable(
      fleet.gateway,
      MESSAGES,
      { kind: "range", by: "created_at", every: "year", ahead: 1, keep: null },
      () => undefined,
    );
    await gateway.query("set timezone = 'UTC'");
    for (const shard of shards) await shard.query("set timezone = 'UTC'");
    for (const shard of fleet.shards) await copyPartitions(fleet.gateway, shard, fleet);
    const wanted = await parts(gateway);
    expect(wanted[0]).toBe("messages_default app DEFAULT");
    expect(wanted[1]).toBe("messages_p20200101 app FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2021-01-01 00:00:00+00')");
    for (const shard of shards) expect(await parts(shard)).toEqual(wanted);
    await gateway.query(
      "create table messages_list partition of messages for values from ('2040-01-01') to ('2041-01-01') partition by list (user_id)",
    );
    await gateway.query("create table messages_seven partition of messages_list for values in (7); drop table messages_p20210101");
    const before = log.length;
    for (const shard of fleet.shards) await copyPartitions(fleet.gateway, shard, fleet);
    expect(log.slice(before)).toEqual([
      'app_shard_0: "public"."messages": 2 partitions made',
      'app_shard_1: "public"."messages": 2 partitions made',
    ]);
    for (const shard of shards)
      expect(await parts(shard)).toEqual((await parts(gateway)).map((line) => line!.replace("ladder_admin", "app")));
    const [key] = await lines(
      gateway,
      "select pg_get_constraintdef(oid) as line from pg_constraint where conrelid = 'messages'::regclass and contype = 'p'",
    );
    expect(
      await lines(
        shards[0]!,
        "select pg_get_constraintdef(oid) as line from pg_constraint where conrelid = 'messages'::regclass and contype = 'p'",
      ),
    ).toEqual([key]);
  });

  test("each shard draws from a range of its own, and keeps it; the gateway stays below", async () => {
    expect([await giveRanges(fleet.gateway, fleet.shards[0]!, fleet), await giveRanges(fleet.gateway, fleet.shards[1]!, fleet)]).toEqual([
      1, 2,
    ]);
    const draw = (client: Client) => lines(client, "select nextval('messages_id')::text as line");
    expect([await draw(shards[0]!), await draw(shards[1]!), await draw(gateway)].flat()).toEqual([
      String(ID_RANGE),
      String(2 * ID_RANGE),
      "1003",
    ]);
    expect(await giveRanges(fleet.gateway, fleet.shards[0]!, fleet)).toBe(1);
    expect(await draw(shards[0]!)).toEqual([String(ID_RANGE + 1)]);
    await gateway.query(`select setval('messages_id', ${ID_RANGE - 1})`);
    expect(await errorOf(draw(gateway))).toBe(`nextval: reached maximum value of sequence "messages_id" (${ID_RANGE - 1})`);
    await gateway.query("select setval('messages_id', 2000)");
  });

  test("columns that are too narrow are refused", async () => {
    await shards[0]!.query("create table narrow (id serial primary key)");
    const narrow = { tables: [{ ...MESSAGES, table: "narrow" }] };
    await gateway.query("create table narrow (id serial primary key)");
    expect(await errorOf(giveRanges(fleet.gateway, fleet.shards[0]!, narrow))).toBe(
      'sequences: 1 problem\n  public.narrow.id: got "type integer, filled by public.narrow_id_seq", want bigint: every shard draws from a range of its own',
    );
    for (const client of [gateway, shards[0]!]) await client.query("drop table narrow");
  });
});

describe("migrations of a fleet", () => fleetTests(() => ({ servers, gateway, shards, folder })));
