/**
 * The agent's functions as they are packed for Lambda, in their Node version, against a primary and a replica that are like RDS: the
 * administrator is no superuser. Cannot prove: the VPC, IAM, Lambda's own runtime, what RDS refuses beyond test/support/managed.ts.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { packagesOf, RUNTIME } from "../../components/aws/package.ts";
import { readSchema } from "../../components/schema.ts";
import { eventOf, type LambdaCommand, type LambdaEvent, managedDesired } from "../../plan/lambda.ts";
import { plan } from "../../plan/topology.ts";
import { gib } from "../../plan/types.ts";
import { parse } from "../support/config.ts";
import { type Answer, type LambdaBench, lambdaBench } from "../support/lambda.ts";
import { type Managed, startManaged } from "../support/managed.ts";

const NOTES = "create table notes (id bigint generated always as identity primary key, text text not null);\n";
const BROKEN = "create table tags (id bigint primary key);\n\ninsert into tags (id, label) values (1, 'a');\n";
const FIXED = "create table tags (id bigint primary key, label text);\n\ninsert into tags (id, label) values (1, 'a');\n";

let managed: Managed;
let bench: LambdaBench;
const arnOf = (role: string) => `arn:aws:secretsmanager:us-east-1:123456789012:secret:${role}`;

function event(command: LambdaCommand): LambdaEvent {
  const topology = plan(parse({ stage: 3, target: "aws", tables: { messages: { partition: { by: "inserted_at" } } } }), undefined, {
    cores: 2,
    memory: gib(8),
  });
  const nodes = [
    { name: "main-1", cluster: "main", identifier: "stack-main-1", role: "primary", host: managed.primary.host },
    { name: "main-2", cluster: "main", identifier: "stack-main-2", role: "replica", host: managed.replica.host },
  ] as const;
  const secrets = Object.fromEntries([...Object.keys(managed.passwords), "ladder_agent", "cache_app"].map((role) => [role, arnOf(role)]));
  return eventOf(command, { desired: managedDesired(topology, nodes, 5432), nodes, poolers: [], authority: "", release: false, secrets });
}

const invoke = (command: LambdaCommand, schema: Record<string, string> = {}, limit?: number): Promise<Answer> => {
  const { common, application } = packagesOf(schema);
  return bench.invoke(["migrate", "move"].includes(command) ? application : common, event(command), limit);
};
const give = (changed: Record<string, string> = {}) =>
  bench.give(
    Object.fromEntries(Object.entries({ ...managed.passwords, ladder_agent: "x", ...changed }).map(([role, its]) => [arnOf(role), its])),
  );
interface Figures extends Record<string, unknown> {
  _aws: { CloudWatchMetrics: { Metrics: { Name: string }[] }[] };
}
/** The lines of the log that are metrics. */
const figures = ({ lines }: Answer) =>
  lines.filter((line) => line.startsWith('{"_aws"')).map((line): Figures => JSON.parse(line) as Figures);
const query = (text: string) => managed.sql("primary", text, "app");

beforeAll(async () => {
  managed = await startManaged();
  bench = lambdaBench(`${managed.primary.ca}\n${managed.replica.ca}\n`);
  give();
});
afterAll(async () => {
  bench?.end();
  await managed?.stop();
});

test("configure installs the platform as an administrator who is no superuser, and gives roles their passwords", async () => {
  const answer = await invoke("configure");
  expect(answer.error).toBeUndefined();
  expect(answer.result).toEqual({ done: "configure" });
  expect(RUNTIME).toBe(`nodejs${answer.version.slice(1).split(".")[0]}.x`);
  expect(await query("select rolsuper from pg_roles where rolname = 'ladder_admin'")).toBe("f");
  expect(await query("select count(*) > 60 from ladder.migration where set = 'platform'")).toBe("t");
  for (const role of ["app", "app_ro", "ladder_monitor"]) await (await managed.connect(role, managed.passwords[role]!)).end();
  await expect(managed.connect("app", "wrong")).rejects.toThrow("password authentication failed");
  // Passwords are neither in the log nor, as text, in what the server was sent.
  expect(answer.lines.join("\n")).not.toContain("password-of");
});

test("configure again changes nothing; a rotated password is the only one that is right afterwards", async () => {
  const again = await invoke("configure");
  expect(again.error).toBeUndefined();
  expect(again.lines.filter((line) => line.includes("new password"))).toEqual([]);
  give({ app: "rotated" });
  const rotated = await invoke("configure");
  expect(rotated.lines.filter((line) => line.includes("new password"))).toEqual(["role app: new password"]);
  await (await managed.connect("app", "rotated")).end();
  await expect(managed.connect("app", managed.passwords.app!)).rejects.toThrow("password authentication failed");
});

test("a broken migration reaches the caller with file, line and PostgreSQL's message; the fixed one works in the next invocation", async () => {
  const broken = await invoke("migrate", { "0001_notes.sql": NOTES, "0002_tags.sql": BROKEN });
  expect(broken.result).toBeUndefined();
  expect(broken.error).toMatchObject({ errorType: "CommandFailed", trace: [""] });
  const message = broken.error!.errorMessage;
  expect(message).toMatch(/^migrate: /);
  expect(message).toContain("schema/0002_tags.sql:3");
  expect(message).toContain('column "label" of relation "tags" does not exist');
  expect(message).toContain("2 to apply");
  expect(await query("select to_regclass('public.notes') is null and to_regclass('public.tags') is null")).toBe("t");

  const fixed = await invoke("migrate", { ...readSchema(".", "sql/app"), "0901_tags.sql": FIXED });
  expect(fixed.error).toBeUndefined();
  expect(fixed.result).toEqual({ done: "migrate" });
  expect(await query("select tableowner from pg_tables where tablename = 'tags'")).toBe("app");
  expect(await query("select label from tags")).toBe("a");
  expect(await query("select schedule from cron.job where jobname = 'ladder-heartbeat' and username = 'ladder_admin'")).toBe("5 seconds");
});

test("move partitions a declared table of the example application, and says when there is nothing left to do; only one works at a time", async () => {
  const holder = await managed.connect("ladder_admin", managed.passwords.ladder_admin!);
  await holder.query("select ladder.ask_task('reorder', 'public.users', 'id'), pg_advisory_lock(7215112)");
  expect((await invoke("move")).result).toEqual({ phase: "moving", moving: "another run is at work" });
  await holder.end();
  const answer = await invoke("move", {}, 100_000);
  expect(answer.error).toBeUndefined();
  expect(answer.result).toEqual({ phase: "settled", moving: null });
  expect(await query("select relkind from pg_class where oid = 'public.messages'::regclass")).toBe("p");
  expect(await query("select state, message from ladder.task where kind = 'reorder'")).toBe(
    "failed|on RDS the agent has no pg_repack: run pg_repack -k --table from a host in the VPC",
  );
  expect(await query(`select count(*) > 0 from ladder.index_use where node = '${managed.replica.host}'`)).toBe("t");
});

test("every job of the platform can be done by an administrator who is no superuser", async () => {
  const client = await managed.connect("ladder_admin", managed.passwords.ladder_admin!);
  const { rows } = await client.query<{ name: string; command: string }>("select name, command from ladder.job order by name");
  expect(rows.map(({ name }) => name)).toContain("ladder-heartbeat");
  for (const { name, command } of rows)
    await expect(
      client.query(command).then(() => "done"),
      name,
    ).resolves.toBe("done");
  await client.end();
});

test("metrics says what the alarms look at, a line a node, as CloudWatch reads it", async () => {
  const answer = await invoke("metrics");
  expect(answer.error).toBeUndefined();
  const lines = figures(answer);
  expect(lines.map(({ DBInstanceIdentifier }) => DBInstanceIdentifier)).toEqual(["stack-main-1", "stack-main-2"]);
  const names = (line: Figures) =>
    line._aws.CloudWatchMetrics[0]!.Metrics.map(({ Name }) => Name).filter((name) => !["CacheHitPercent", "StatementP99"].includes(name));
  expect(names(lines[0]!)).toEqual(["HeartbeatAge", "DeadRows", "LongestTransaction", "FailedJobs", "HealthCritical"]);
  expect(names(lines[1]!)).toEqual(["HeartbeatAge", "LongestTransaction", "ReplicationLagBytes"]);
  expect(lines[0]!).toMatchObject({ FailedJobs: 0, LongestTransaction: 0 });
  expect(lines[0]!.HeartbeatAge).toBeLessThan(60);
  expect(lines[1]!.ReplicationLagBytes).toBeGreaterThanOrEqual(0);
});

test("metrics publishes what it can, a replica that hangs too, and fails with what it cannot", async () => {
  await managed.sql("replica", "select pg_wal_replay_pause()");
  await query("create table filler as select repeat('x', 1000) from generate_series(1, 2000)");
  const all = event("metrics");
  const poolers = [{ region: "us-east-1", group: "stack-pooler", host: "db.test", processes: 2, adminPort: 6500 }];
  const gone = { name: "main-3", cluster: "main", identifier: "stack-main-3", role: "replica", host: "127.0.0.1" } as const;
  const answer = await bench.invoke(packagesOf({}).common, { ...all, nodes: [...all.nodes, gone], poolers });
  expect(answer.error!.errorMessage).toBe(
    "metrics: main-3: connect ECONNREFUSED 127.0.0.1:5432; poolers of us-east-1: got no answer from 0 processes",
  );
  const [, replica, ...more] = figures(answer);
  expect(replica!.ReplicationLagBytes).toBeGreaterThan(2_000_000);
  expect(more).toEqual([]);
});
