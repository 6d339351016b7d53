/** The gateway where administration is no superuser, as on a managed server: the whole way there and back. Cannot prove: RDS's own restrictions. */
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildTrees, dropServers, dropTrees, ownSequences, regroup, settleServers, swapOut } from "../../agent/shards/gateway/index.ts";
import { startShards, type TestFleet } from "../support/shards.ts";
import { ACCOUNTS, ask, fillTables, flip, MESSAGES, prepareTables } from "./gateway-setup.ts";

let servers: TestFleet;
let admin: Client;

beforeAll(async () => {
  servers = await startShards({ shards: 2, tables: [MESSAGES, ACCOUNTS] });
  await prepareTables(servers.fleet);
  const superuser = await servers.gateway.server.connect({ user: "postgres", database: "app" });
  await superuser.query(`alter role ladder_admin nosuperuser createrole; alter database app owner to ladder_admin;
    grant app, app_ro, app_rw, pg_monitor to ladder_admin with admin option`);
  admin = await servers.gateway.db.connect();
});
afterAll(() => servers?.stop());

test("trees are built, put in place, guarded, regrouped, changed by the application, taken back and dropped", async () => {
  const { fleet } = servers;
  await admin.query("alter table messages enable row level security; create policy everything on messages to app using (true)");
  for (const _ of [1, 2]) {
    await settleServers(admin, fleet);
    await buildTrees(admin, fleet);
  }
  await flip(admin, fleet);
  await ownSequences(admin, fleet);
  const app = await servers.gateway.db.connect("app");
  await fillTables(app);
  await admin.query("alter table accounts enable row level security; create policy everything on accounts to app using (true)");
  await buildTrees(admin, fleet);
  await admin.query("begin");
  await regroup(admin, fleet, [{ modulus: 1, remainder: 0 }, null]);
  await regroup(admin, fleet, [
    { modulus: 2, remainder: 0 },
    { modulus: 2, remainder: 1 },
  ]);
  await admin.query("commit");
  await app.query("alter table messages add column mood text; alter table messages drop column mood");
  expect(
    await ask(
      app,
      "select (select count(*)::int from recent), (select count(*)::int from accounts), ladder.warm_shards(false), ladder.warm_shards(true)",
    ),
  ).toEqual([[8, 4, 2, 2]]);
  expect(await ask(app, "select count(*)::int, count(umoptions)::int from pg_user_mappings")).toEqual([[6, 0]]);
  await admin.query("begin");
  await swapOut(admin, fleet);
  await admin.query("commit");
  await ownSequences(admin, fleet);
  await dropTrees(admin);
  await dropServers(admin);
  expect(await ask(app, "select (select count(*)::int from recent), (select count(*)::int from accounts)")).toEqual([[0, 0]]);
  expect(await ask(admin, "select count(*)::int from pg_foreign_server")).toEqual([[0]]);
});
