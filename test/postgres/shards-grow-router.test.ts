/** Shards are added and removed while clients write through the router and through the gateway. Cannot prove: what a pooler adds. */
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import type { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { advanceShards, finishShards } from "../../agent/shards/index.ts";
import { isBusy } from "../../agent/shards/session.ts";
import { connect, type Database } from "../../client/index.ts";
import { shardClasses } from "../../plan/shards.ts";
import { ms } from "../../plan/types.ts";
import { folderOf, removeFolder } from "../support/migrations.ts";
import { startShards, type TestFleet } from "../support/shards.ts";
import { Driver, FILES, GLOBALS, install, Load, TABLES } from "./shards-move.ts";

let here: TestFleet;
let folder: string;
let load: Load;
let admins: Client[];
let door: Server;
let db: Database;

/** One port for all databases, as the pooler has it: app is the gateway's, app_shard_0 the first shard's. */
function openDoor(): Promise<Server> {
  const server = createServer((client: Socket) => {
    client.on("error", () => undefined);
    client.once("data", (packet) => {
      const parts = packet.subarray(8).toString().split("\0");
      const at = parts.indexOf("database") + 1;
      const shard = /^app_shard_(\d+)/.exec(parts[at]!)?.[1];
      const { port } = (shard === undefined ? here.gateway : here.shards[Number(shard)]!).server;
      parts[at] = "app";
      const rest = Buffer.from(parts.join("\0"));
      const head = Buffer.from(packet.subarray(0, 8));
      head.writeInt32BE(rest.length + 8);
      const there = dial(port, "127.0.0.1", () => there.write(Buffer.concat([head, rest])));
      there.on("error", () => client.destroy());
      client.pipe(there).pipe(client);
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

beforeAll(async () => {
  [here, folder] = await Promise.all([startShards({ shards: 2, tables: TABLES, globals: GLOBALS }), folderOf(FILES)]);
  await install(here, folder);
  door = await openDoor();
  const { port } = door.address() as { port: number };
  const url = `postgresql://app@127.0.0.1:${port}/app`;
  db = connect({ writeUrl: url, readUrl: url, writeSize: 6, readSize: 4, min: 0, overflow: 0, env: {}, mapLease: 1_000 });
  load = new Load(() => here.gateway.db.connect("app"));
  admins = await Promise.all([here.gateway, ...here.shards].map(({ db: on }) => on.connect()));
}, 120_000);

afterAll(async () => {
  await db?.close();
  door?.close();
  await here?.stop();
  if (folder) await removeFolder(folder);
});

function wanting(count: number): Driver {
  const classes = shardClasses(count);
  const shards = here.fleet.shards.map((shard, index) => ({ ...shard, class: classes[index] ?? shard.class }));
  const driver = new Driver({ ...here.fleet, shards }, folder);
  driver.more = { wanted: classes.map((_, index) => index), announced: ms(2_500) };
  return driver;
}

/** A mover that comes again after a lock that it did not get. */
async function settleBusy(driver: Driver): Promise<void> {
  for (;;)
    try {
      return await driver.settle();
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
}

/** What a client was told of its rows: user and id → hits. */
const ledger = new Map<string, number>();
const failed: string[] = [];
const routes = new Set<string>();
let stopped = false;

async function write(client: number): Promise<void> {
  for (let turn = 0; !stopped && failed.length < 20; turn++) {
    const user = BigInt(100_000 + client * 1_000 + (turn % 97));
    const shard = db.shard(user);
    try {
      const { rows } = await shard.write<{ id: string }>(
        "insert into events (user_id, body, at) values ($1, $2, '2026-05-03Z') returning id::text as id",
        [user, `${turn}`],
      );
      const key = `${user} ${rows[0]!.id}`;
      if (ledger.has(key)) failed.push(`${key} was given twice`);
      ledger.set(key, 0);
      const { count } = await shard.write("update events set hits = hits + 1 where user_id = $1 and id = $2", [user, rows[0]!.id]);
      if (count !== 1) failed.push(`update of ${key} changed ${count} rows`);
      ledger.set(key, 1);
      const seen = await shard.transaction((tx) =>
        tx.query<{ hits: number }>("select hits from events where user_id = $1 and id = $2", [user, rows[0]!.id]),
      );
      if (seen.rows[0]?.hits !== 1) failed.push(`${key}: got ${JSON.stringify(seen.rows)}`);
      routes.add(await shard.name());
    } catch (error) {
      failed.push(`${user}: ${(error as Error).name} ${(error as Error).message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Every row where the map says, once. */
async function differences(servers: readonly Client[]): Promise<string[]> {
  const left = new Map(ledger);
  const found: string[] = [];
  for (const admin of servers) {
    const { rows } = await admin.query<{ key: string; hits: number }>(
      "select user_id || ' ' || id as key, hits from events where user_id >= 100000",
    );
    for (const { key, hits } of rows) {
      if (left.get(key) !== hits) found.push(`${key}: got ${hits}, want ${left.get(key)}`);
      left.delete(key);
    }
  }
  return [...found, ...[...left.keys()].map((key) => `${key}: lost`)];
}

test("writers through the router and through the gateway notice nothing", async () => {
  await load.fill(500);
  await wanting(1).settle();
  await load.start(2);
  const writers = [1, 2, 3].map(write);
  await wanting(2).settle();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect([...routes].sort()).toEqual(["app_shard_0", "app_shard_1"]);
  expect((await db.onAllShards("select 1 from labels")).rows).toHaveLength(100);
  stopped = true;
  await Promise.all(writers);
  expect(failed).toEqual([]);
  expect(await differences(admins.slice(1))).toEqual([]);
  // Without the way back from here on.
  await finishShards(admins[0]!);
  await settleBusy(wanting(2));
  const { rows } = await admins[0]!.query(
    "select relname from pg_class where relnamespace = 'ladder_back'::regnamespace and relkind in ('r', 'p')",
  );
  expect(rows).toEqual([]);
  stopped = false;
  const again = [4, 5, 6].map(write);
  await wanting(1).settle();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  stopped = true;
  await Promise.all([...again, load.stop()]);
  expect(failed).toEqual([]);
  expect(load.failed).toEqual([]);
  expect(await differences(admins.slice(1, 2))).toEqual([]);
  expect((await db.shardMap()).shards).toEqual(["app_shard_0"]);
  await expect(advanceShards(wanting(1).options())).resolves.toBeUndefined();
}, 400_000);
