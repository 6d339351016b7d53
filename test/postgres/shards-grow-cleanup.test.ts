/** Rows that have left a shard: hidden, deleted without the way back hearing of it, and everything as it was. Cannot prove: what RDS allows. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  deleteHidden,
  endDeletion,
  hiddenClass,
  hideClass,
  prepareDeletion,
  requireClass,
  showClass,
  validateClass,
} from "../../agent/shards/cleanup.ts";
import { confirmed, letApply, letConnect, letCopy, makeSlot, mark, publish, subscribe } from "../../agent/shards/replication.ts";
import { inTransaction, prepare } from "../../agent/shards/session.ts";
import { classCondition, connectionString } from "../../agent/shards/sql.ts";
import type { ShardedTable } from "../../agent/shards/types.ts";
import { startShards, type TestFleet } from "../support/shards.ts";

const table = (name: string): ShardedTable => ({ schema: "public", table: name, key: "user_id", keyType: "bigint" });
const TABLES = ["post", "answer", "note", "secret"].map(table);
const [POST, ANSWER, NOTE] = TABLES as [ShardedTable, ShardedTable, ShardedTable];
const WAS = { modulus: 2, remainder: 0 };
const OWN = { modulus: 4, remainder: 0 };
const LEFT = { modulus: 4, remainder: 2 };
const BACK = "ladder_back_0";

/** post: months, no row security. answer: a foreign key to it. note: kept apart by tenant. secret: row security that its owner need not obey. */
const SCHEMA = `
  create table post (user_id bigint, id bigint, at date, body text, primary key (user_id, id, at)) partition by range (at);
  create table post_1 partition of post for values from ('2026-01-01') to ('2026-02-01');
  create table post_2 partition of post for values from ('2026-02-01') to ('2026-03-01');
  create table answer (user_id bigint, id bigint, post bigint, at date, primary key (user_id, id),
    foreign key (user_id, post, at) references post (user_id, id, at) on delete cascade);
  create table note (user_id bigint, id bigint, tenant_id bigint, primary key (user_id, id));
  create table secret (user_id bigint, id bigint, open boolean, primary key (user_id, id));
  alter table secret enable row level security;
  create policy reader on secret for select to app_ro using (open);
  grant select on post, answer, note, secret to app_ro;
  grant usage on schema public to ladder_gateway;
  grant select, insert, update, delete on post, answer, note, secret to ladder_gateway;
  create table told (what text); grant insert on told to app;
  create function tell() returns trigger language plpgsql as $$ begin insert into told values (tg_table_name); return null; end $$;
  create trigger tell after delete on note for each row execute function tell();
  alter table post owner to app; alter table answer owner to app; alter table note owner to app; alter table secret owner to app`;

let fleet: TestFleet;
let [shard, gateway, app] = [] as unknown as [Client, Client, Client];

const count = async (client: Client, name: string, where = "true") =>
  (await client.query<{ n: number }>(`select count(*)::int as n from ${name} where ${where}`)).rows[0]!.n;

async function counts(client: Client, where: (one: ShardedTable) => string = () => "true"): Promise<number[]> {
  const found = [];
  for (const one of TABLES) found.push(await count(client, one.table, where(one)));
  return found;
}

/** All that hiding and checking may touch. */
async function catalog(): Promise<unknown[]> {
  const { rows } = await shard.query(`select relname, relrowsecurity, relforcerowsecurity,
    (select array_agg(row(polname, polcmd, polpermissive, polroles::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))::text order by polname)
       from pg_policy where polrelid = c.oid) as policies from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1`);
  return rows;
}

const hide = () =>
  inTransaction(shard, async () => {
    for (const one of TABLES) {
      await hideClass(shard, one, LEFT);
      await requireClass(shard, one, OWN);
    }
  });

beforeAll(async () => {
  fleet = await startShards({ shards: 1, tables: TABLES });
  shard = await prepare(await fleet.shards[0]!.db.connect());
  gateway = await prepare(await fleet.gateway.db.connect());
  for (const client of [shard, gateway]) {
    await client.query(`set search_path = public; ${SCHEMA}`);
    await client.query("select ladder.declare_tenant_table('note', 'tenant_id')");
  }
  for (const one of TABLES) await requireClass(shard, one, WAS);
  const mine = (key: string) => classCondition({ key, keyType: "bigint" }, WAS);
  await shard.query(`
    insert into post select u, i, date '2026-01-01' + (u + i) % 59, repeat('x', 400) from generate_series(1, 2000) u, generate_series(1, 10) i where ${mine("u")};
    insert into answer select user_id, id, id, at from post where id = 1;
    insert into note select u, 1, 1 + u % 2 from generate_series(1, 2000) u where ${mine("u")};
    insert into secret select u, 1, u % 3 = 0 from generate_series(1, 2000) u where ${mine("u")}`);
  await letConnect(shard);
  await letCopy(
    shard,
    TABLES.map((one) => `public.${one.table}`),
  );
  await publish(
    shard,
    BACK,
    TABLES.map((one) => ({ relation: `public.${one.table}` })),
  );
  await makeSlot(shard, BACK);
  await letApply(
    gateway,
    TABLES.map((one) => `public.${one.table}`),
  );
  const host = { hosts: fleet.fleet.shards[0]!.hosts, connect: fleet.fleet.shards[0]!.connect };
  await subscribe(gateway, BACK, {
    connection: connectionString(host, { ...fleet.fleet, passwords: { ...fleet.fleet.passwords } }),
    copy: true,
  });
  app = await fleet.shards[0]!.db.connect("app");
  for (let ready = 0; ready < 4; await sleep(50)) ready = await count(gateway, "pg_subscription_rel", "srsubstate = 'r'");
});
afterAll(() => fleet?.stop());

describe("rows that have left a shard", () => {
  let before: unknown[];

  it("are hidden from all but who bypasses row security, in tables with policies of their own too", async () => {
    before = await catalog();
    const own = async (name: string, more = "true") => count(shard, name, `${classCondition(POST, OWN)} and ${more}`);
    const all = await count(shard, "post");
    await hide();
    await hide();
    expect(await count(shard, "post")).toBe(all);
    expect(await own("post")).toBeLessThan(all);
    expect(await count(app, "post")).toBe(await own("post"));
    expect(await count(app, "answer")).toBe(await own("answer"));
    await app.query("begin; select ladder.set_tenant(1::bigint)");
    expect(await count(app, "note")).toBe(await own("note", "tenant_id = 1"));
    await app.query("commit");
    expect(await count(app, "secret")).toBe(await own("secret"));
    await shard.query("set row_security = on; set role ladder_gateway");
    expect(await count(shard, "post")).toBe(await count(app, "post"));
    await shard.query("set role app_ro");
    expect(await count(shard, "post")).toBe(await count(app, "post"));
    expect(await count(shard, "secret")).toBe(await count(app, "secret", "open"));
    await shard.query("reset role; set row_security = off");
  });

  it("cannot be written, and new ones are refused by the CHECK; the shard's own can", async () => {
    const { rows } = await shard.query<{ user_id: string; own: string }>(
      `select min(user_id) filter (where ${classCondition(POST, LEFT)}) as user_id, min(user_id) filter (where ${classCondition(POST, OWN)}) as own from post`,
    );
    const { user_id: left, own } = rows[0]!;
    expect((await app.query("update post set body = 'no' where user_id = $1", [left])).rowCount).toBe(0);
    expect((await app.query("delete from answer where user_id = $1", [left])).rowCount).toBe(0);
    await expect(app.query("insert into post values ($1, 77, '2026-01-05')", [left])).rejects.toMatchObject({
      code: "23514",
      constraint: "ladder_bucket",
    });
    await app.query("insert into post values ($1, 77, '2026-01-05')", [own]);
    await app.query("insert into answer values ($1, 77, 77, '2026-01-05')", [own]);
    await expect(app.query("insert into answer values ($1, 78, 78, '2026-01-05')", [own])).rejects.toMatchObject({ code: "23503" });
    await app.query("delete from post where user_id = $1 and id = 77", [own]);
    expect(await count(shard, "answer", "id = 77")).toBe(0);
  });

  it("are deleted in pieces, without triggers, and the way back keeps them", async () => {
    const kept = await counts(gateway);
    const gone = await counts(shard, (one) => classCondition(one, LEFT));
    const first = await prepare(await fleet.shards[0]!.db.connect());
    expect(await prepareDeletion(first)).toBe(true);
    const { deleted, done } = await deleteHidden(first, POST, 0);
    expect(done).toBe(false);
    expect(deleted).toBeGreaterThan(0);
    expect(await hiddenClass(shard, POST)).toMatchObject({ modulus: 4, remainder: 2, part: "public.post_1", block: 128 });
    await first.end();

    const second = await prepare(await fleet.shards[0]!.db.connect());
    const busy = (error: { code: string }) => {
      expect(error.code).toBe("55006");
      return false;
    };
    while (!(await prepareDeletion(second).catch(busy))) await sleep(20);
    const rest = [];
    for (const one of TABLES) rest.push(await deleteHidden(second, one));
    expect(rest.map((one) => one.done)).toEqual([true, true, true, true]);
    expect(rest.map((one) => one.deleted)).toEqual([gone[0]! - deleted, ...gone.slice(1)]);
    await endDeletion(second, true);
    await second.end();
    expect(await count(shard, "pg_replication_origin", "roname = 'ladder_cleanup'")).toBe(0);
    expect(await count(shard, "told")).toBe(0);

    await app.query("begin; select ladder.set_tenant(1::bigint); delete from note where user_id = (select min(user_id) from note); commit");
    expect(await confirmed(shard, [BACK], await mark(shard), 10_000)).toBe(true);
    expect(await counts(gateway)).toEqual(kept.map((n, at) => (TABLES[at] === NOTE ? n - 1 : n)));
    expect(await count(shard, "told")).toBe(1);
  });

  it("leave nothing behind: the CHECK is valid, row security is as it was", async () => {
    expect(await validateClass(shard, POST, 0)).toBe(false);
    for (const one of TABLES) {
      expect(await validateClass(shard, one)).toBe(true);
      await showClass(shard, one);
      await showClass(shard, one);
    }
    expect(await catalog()).toEqual(before);
    expect(await count(shard, "pg_constraint", "conname = 'ladder_bucket' and not convalidated")).toBe(0);
    expect(await count(shard, "pg_constraint", "conname = 'ladder_bucket'")).toBe(6);
    expect(await count(shard, "ladder.hidden_class")).toBe(0);
  });
});

describe("rows that are about to come", () => {
  it("come by replication only, and nobody sees them", async () => {
    await inTransaction(shard, async () => {
      await hideClass(shard, ANSWER, LEFT);
      await requireClass(shard, ANSWER, OWN, LEFT);
    });
    const { rows } = await gateway.query<{ user_id: string }>(
      `select min(user_id) as user_id from post where ${classCondition(POST, LEFT)}`,
    );
    const key = rows[0]!.user_id;
    const insert = "insert into answer (user_id, id) values ($1, 5)";
    await expect(app.query(insert, [key])).rejects.toMatchObject({ constraint: "ladder_bucket" });
    await shard.query("set session_replication_role = replica");
    await shard.query(insert, [key]);
    await shard.query("set session_replication_role = origin");
    expect(await count(app, "answer", `user_id = ${key}`)).toBe(0);
    await inTransaction(shard, async () => {
      await requireClass(shard, ANSWER, WAS);
      await showClass(shard, ANSWER);
    });
    expect(await count(app, "answer", `user_id = ${key}`)).toBe(1);
    expect(await validateClass(shard, ANSWER)).toBe(true);
  });

  it("cannot be hidden where a restrictive policy would hold for more roles than before", async () => {
    await shard.query("create policy narrow on secret as restrictive for all to public using (open)");
    await expect(hideClass(shard, TABLES[3]!, LEFT)).rejects.toMatchObject({
      message: "public.secret: got a restrictive policy that does not hold for all roles, want row security forced",
      hint: "alter table public.secret enable row level security, force row level security, or drop the policy",
    });
    await shard.query("alter table secret force row level security");
    await hideClass(shard, TABLES[3]!, LEFT);
    expect(await count(shard, "pg_policy", "polname like 'ladder_bucket%' and polrelid = 'secret'::regclass")).toBe(1);
    await showClass(shard, TABLES[3]!);
    expect(await count(shard, "pg_class", "relname = 'secret' and relrowsecurity and relforcerowsecurity")).toBe(1);
  });
});
