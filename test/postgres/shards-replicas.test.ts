/** Replicas whose readers hold up a flip: a lock counts there when it is replayed. Cannot prove: what readers see in a whole move (`npm run rehearse`). */
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { advanceShards } from "../../agent/shards/index.ts";
import { mark, replayed } from "../../agent/shards/replication.ts";
import { shardClasses } from "../../plan/shards.ts";
import { folderOf, removeFolder } from "../support/migrations.ts";
import { startShards, type TestFleet } from "../support/shards.ts";
import { Driver, FILES, GLOBALS, install, TABLES } from "./shards-move.ts";

const run = promisify(execFile);
const STANDBY = `pg_basebackup -D /tmp/standby -R -c fast -d 'host=gateway-1 user=ladder_replication' \\
  && exec postgres -D /tmp/standby -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_standby_streaming_delay=-1 \\
    -c max_connections=200 -c max_prepared_transactions=20 -c max_worker_processes=40 -c max_wal_senders=40`;

let here: TestFleet;
let folder: string;
let driver: Driver;
let primary: pg.Client;
let standby: pg.Client;
let name: string;

beforeAll(async () => {
  [here, folder] = await Promise.all([startShards({ shards: 2, tables: TABLES, globals: GLOBALS }), folderOf(FILES)]);
  await install(here, folder);
  driver = new Driver(here.fleet, folder);
  primary = await here.gateway.db.connect();
  await primary.query("create table item (n int); insert into item values (1)");
  name = `${here.gateway.server.name}-standby`;
  const { stdout } = await run("docker", ["inspect", "--format", "{{json .NetworkSettings.Networks}}", here.gateway.server.name]);
  const [network] = Object.keys(JSON.parse(stdout) as object);
  const place = ["--network", network!, "-p", "127.0.0.1::5432", "--user", "postgres", "--entrypoint", "bash"];
  const path = "export PATH=/usr/lib/postgresql/17/bin:$PATH";
  await run("docker", ["run", "-d", "--rm", "--name", name, ...place, process.env.PGLADDER_TEST_IMAGE!, "-c", `${path}; ${STANDBY}`]);
  const port = Number((await run("docker", ["port", name, "5432/tcp"])).stdout.trim().split(":").at(-1));
  for (let tries = 0; tries < 100 && !standby; tries++) {
    const client = new pg.Client({ host: "127.0.0.1", port, user: "postgres", database: "app" });
    client.on("error", () => undefined);
    if (
      await client.connect().then(
        () => true,
        () => false,
      )
    )
      standby = client;
    else await sleep(200);
  }
}, 120_000);

afterAll(async () => {
  await standby?.end();
  await run("docker", ["rm", "-f", name]).catch(() => undefined);
  await here?.stop();
  if (folder) await removeFolder(folder);
});

/** One look of the mover, when so many shards are wanted. */
function look(count: number): Promise<string | undefined> {
  const classes = shardClasses(count, {});
  const shards = here.fleet.shards.map((shard, index) => ({ ...shard, class: classes[index] ?? shard.class }));
  return advanceShards({ ...driver.options(), fleet: { ...here.fleet, shards }, wanted: classes.map((_, index) => index) });
}

test("a lock is replayed when the replica's readers of the table have ended; new ones wait until it ends", async () => {
  expect(await replayed(primary, await mark(primary), 10_000)).toBe(true);
  await standby.query("begin isolation level repeatable read");
  expect((await standby.query("select n from item")).rows).toEqual([{ n: 1 }]);
  await primary.query("begin; lock table item in access exclusive mode");
  expect(await replayed(primary, await mark(primary), 500)).toBe(false);
  await standby.query("commit");
  expect(await replayed(primary, await mark(primary), 10_000)).toBe(true);
  const reading = standby.query("select n from item");
  await primary.query("update item set n = 2; commit");
  expect((await reading).rows).toEqual([{ n: 2 }]);
});

test("a reader on the gateway's replica puts the flip off, and only as long as it reads", async () => {
  while ((await look(1)) !== undefined) await sleep(20);
  await standby.query("begin; lock table accounts in access share mode");
  await expect.poll(() => look(2), { timeout: 60_000, interval: 20 }).toContain("waits for reads on the gateway's replicas");
  expect((await primary.query("select databases from ladder.shard_map where moving <> '{}' and 0 = all (shards)")).rowCount).toBe(1);
  await standby.query("commit");
  while ((await look(2)) !== undefined) await sleep(20);
  expect((await primary.query("select from ladder.shard_map where 1 = any (shards)")).rowCount).toBe(1);
}, 120_000);

test("who follows by logical replication is not waited for", async () => {
  await run("docker", ["rm", "-f", name]);
  await primary.query("select pg_create_logical_replication_slot('other', 'pgoutput')");
  expect(await replayed(primary, await mark(primary), 10_000)).toBe(true);
  await primary.query("select pg_drop_replication_slot('other')");
});
