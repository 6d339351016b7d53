/**
 * Stage 4 where AWS keeps the servers, as far as servers like RDS' can show it (test/support/managed.ts): the functions' `configure` on a gateway and
 * a shard, and the mover's climb as an administrator who is no superuser. Cannot prove: the VPC, that RDS' authorities are where AWS says, what RDS itself refuses.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Context } from "../../agent/connections.ts";
import { shards } from "../../agent/managed/shards.ts";
import { packagesOf } from "../../components/aws/package.ts";
import { eventOf, type LambdaCommand, type LambdaEvent, managedDesired } from "../../plan/lambda.ts";
import { plan, toOutputs } from "../../plan/topology.ts";
import { gib, ms } from "../../plan/types.ts";
import { parse } from "../support/config.ts";
import { type Answer, type LambdaBench, lambdaBench } from "../support/lambda.ts";
import { type Managed, startManaged } from "../support/managed.ts";

let managed: Managed;
let bench: LambdaBench;
const authorities = () => [managed.primary, managed.replica, managed.shard!].map(({ ca }) => ca).join("\n");
const arnOf = (role: string) => `arn:aws:secretsmanager:us-east-1:123456789012:secret:${role}`;

const SCHEMA = {
  "0001_items.sql": `create table items (user_id bigint not null, id bigserial, body text not null, primary key (user_id, id));
create table kinds (id int primary key, name text not null);
create table notes (id int primary key);
insert into items (user_id, body) select n % 50, 'x' from generate_series(1, 500) n;
insert into kinds values (1, 'a');
`,
};
const TABLES = { items: { shardBy: "user_id" }, kinds: { global: true } };

function event(command: LambdaCommand, stage: 3 | 4 = 4): LambdaEvent {
  const host = { cores: 2, memory: gib(8) };
  const four = plan(parse({ stage: 4, target: "aws", shards: { count: 1, replicas: 0 }, tables: TABLES }), undefined, host);
  const topology = stage === 4 ? four : plan(parse({ stage: 3, target: "aws", tables: TABLES }), toOutputs(four), host);
  const nodes = [
    { name: "main-1", cluster: "main", identifier: "stack-main-1", role: "primary", host: managed.primary.host },
    { name: "shard-0-1", cluster: "shard-0", identifier: "stack-shard-0-1", role: "primary", host: managed.shard!.host },
    { name: "main-2", cluster: "main", identifier: "stack-main-2", role: "replica", host: managed.replica.host },
  ] as const;
  const secrets = Object.fromEntries([...Object.keys(managed.passwords), "ladder_agent", "cache_app"].map((role) => [role, arnOf(role)]));
  return eventOf(command, { desired: managedDesired(topology, nodes, 5432), nodes, poolers: [], authority: "", release: false, secrets });
}

const invoke = (command: LambdaCommand, stage: 3 | 4 = 4, limit?: number): Promise<Answer> => {
  const { common, application } = packagesOf(SCHEMA);
  return bench.invoke(["migrate", "move"].includes(command) ? application : common, event(command, stage), limit);
};

beforeAll(async () => {
  managed = await startManaged({ shard: true });
  bench = lambdaBench(authorities());
  bench.give(Object.fromEntries(Object.entries({ ...managed.passwords, ladder_agent: "x" }).map(([role, its]) => [arnOf(role), its])));
});
afterAll(async () => {
  bench?.end();
  await managed?.stop();
});

test("configure makes the gateway and the shard ready, and a second run finds every password right", async () => {
  const first = await invoke("configure");
  expect(first.error).toBeUndefined();
  for (const server of ["primary", "shard"] as const) {
    expect(await managed.sql(server, "select count(*) > 60 from ladder.migration where set = 'platform'", "app")).toBe("t");
    const member = "pg_has_role('ladder_replication', 'rds_replication', 'member')";
    expect(await managed.sql(server, `select rolcanlogin, ${member} from pg_roles where rolname = 'ladder_replication'`)).toBe("t|t");
  }
  const again = await invoke("configure");
  expect(again.error).toBeUndefined();
  expect(again.lines.filter((line) => /new password|made/.test(line))).toEqual([]);
  // A role that may not enter the database yet has its password all the same.
  await expect(managed.connect("ladder_gateway", managed.passwords.ladder_gateway!, managed.shard!)).rejects.toThrow(
    "permission denied for database",
  );
  await expect(managed.connect("ladder_gateway", "wrong", managed.shard!)).rejects.toThrow("password authentication failed");
});

test("a shard that is away fails configure by its name, after the gateway is done", async () => {
  const { common } = packagesOf({});
  const all = event("configure");
  const away = { ...all.desired.shards[0]!, nodes: ["127.0.0.1"] };
  const answer = await bench.invoke(common, { ...all, desired: { ...all.desired, shards: [away] } });
  expect(answer.error!.errorMessage).toMatch(/^configure: shard-0: connect ECONNREFUSED 127\.0\.0\.1:5432/);
});

test("metrics measures a shard by its own primary", async () => {
  const answer = await invoke("metrics");
  expect(answer.error).toBeUndefined();
  const lines = answer.lines.filter((line) => line.startsWith('{"_aws"')).map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.map(({ DBInstanceIdentifier }) => DBInstanceIdentifier)).toEqual(["stack-main-1", "stack-shard-0-1", "stack-main-2"]);
});

/** Runs what `move` does between the servers until there is nothing left, without its wait for routers. */
async function moved(stage: 3 | 4): Promise<string[]> {
  const { desired } = event("move", stage);
  const folder = mkdtempSync(join(tmpdir(), "pgladder-move-"));
  try {
    writeFileSync(join(folder, "ca.crt"), authorities());
    for (const [name, text] of Object.entries(SCHEMA)) writeFileSync(join(folder, name), text);
    const said: string[] = [];
    const log = (line: string) => void said.push(line);
    const context: Context = { files: folder, desired, passwords: managed.passwords, log, managed: desired.pooler };
    const work = shards(folder, { announced: ms(100), recheck: 0 });
    for (let looks = 0; looks < 200; looks++) {
      const moving = await work.advance(context, log);
      if (moving === undefined) return said;
      said.push(moving);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`move: ${said.slice(-5).join("; ")}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const rows = (server: "primary" | "shard", table: string) => managed.sql(server, `select count(*) from ${table}`, "app");
const kindOfItems = () => managed.sql("primary", "select relkind from pg_class where oid = 'public.items'::regclass", "app");

describe("rows come onto the shard by an administrator who is no superuser", () => {
  beforeAll(async () => {
    expect((await invoke("migrate")).error).toBeUndefined();
    // What membership in rds_replication stands for there.
    for (const server of ["primary", "shard"] as const)
      for (const role of ["ladder_replication", "ladder_admin"]) await managed.sql(server, `alter role ${role} replication`);
  });

  test("a table with row security is refused, with what to do", async () => {
    await managed.sql("primary", "alter table kinds enable row level security", "app");
    const { error, result } = await invoke("move", 4, 62_000);
    expect(error).toBeUndefined();
    expect(JSON.stringify(result)).toContain("kinds: its row security cannot be passed on RDS");
    await managed.sql("primary", "alter table kinds disable row level security", "app");
  });

  test("they are there, reached by TLS from the gateway, whose passwords the application does not see", async () => {
    await moved(4);
    expect([await kindOfItems(), await rows("shard", "items"), await rows("shard", "kinds")]).toEqual(["p", "500", "1"]);
    const app = await managed.connect("app", managed.passwords.app!);
    await app.query("insert into items (user_id, body) values (7, 'y')");
    expect((await app.query("select count(*)::int as n from items")).rows).toEqual([{ n: 501 }]);
    expect(await rows("shard", "items")).toBe("501");
    expect((await app.query("select max(umoptions::text) as shown from pg_user_mappings")).rows).toEqual([{ shown: null }]);
    const tls = "select count(*) > 0 and bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'ladder_gateway'";
    expect(await managed.sql("shard", tls)).toBe("t");
    expect(
      await managed.sql(
        "primary",
        "select srvoptions::text ~ 'sslmode=verify-full' from pg_foreign_server where srvname = 'shard_0'",
        "app",
      ),
    ).toBe("t");
    await app.end();
  });

  test("another number of shards is refused while rows are on them", async () => {
    const { common } = packagesOf({});
    const all = event("move");
    const [first] = all.desired.shards;
    const second = { ...first!, index: 1, name: "shard-1", pools: { write: "app_shard_1", read: "app_shard_1_read" } };
    const { error, result } = await bench.invoke(common, { ...all, desired: { ...all.desired, shards: [first!, second] } }, 61_000);
    expect(error).toBeUndefined();
    expect(result).toEqual({
      phase: "moving",
      moving: "shards: got 2, want 1, where the rows are: on RDS another number goes by way of stage 3",
    });
  });

  test("and back, with what was written meanwhile", async () => {
    await moved(3);
    expect([await kindOfItems(), await rows("primary", "items")]).toEqual(["r", "501"]);
  });
});
