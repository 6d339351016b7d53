import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type pg from "pg";
import { type PatroniDynamic, ROLES } from "../plan/render/patroni.ts";
import { ms } from "../plan/types.ts";
import { type Context, connectPooler, connectPrimary, exclusively, shardContexts, until, withClient } from "./connections.ts";
import { putBack } from "./haproxy.ts";
import { reload } from "./logins.ts";
import { applyMigrations } from "./migrate/index.ts";
import { Patroni } from "./patroni.ts";
import { pausedDatabases, resume } from "./pooler.ts";
import { scramMatches, scramVerifier } from "./scram.ts";
import { readsLeave } from "./vacate.ts";

/** The cluster-wide configuration with its own hash in it, so that a node can be asked whether it runs with it. */
export function withGeneration(dynamic: PatroniDynamic): { generation: string; config: PatroniDynamic } {
  const generation = createHash("sha256").update(JSON.stringify(dynamic)).digest("hex").slice(0, 16);
  const parameters = { ...dynamic.postgresql.parameters, "ladder.generation": generation };
  return { generation, config: { ...dynamic, postgresql: { ...dynamic.postgresql, parameters } } };
}

/**
 * Makes every cluster what `desired` says, as far as that needs no restart: settings, database, platform schema, passwords,
 * the pooler's files. Safe to run twice and while another run is under way.
 *
 * @throws when a cluster could not be configured; a shard that is away holds up no other.
 */
export async function configure(context: Context, platformFolder: string): Promise<void> {
  const shards = shardContexts(context).map((each) => each.context);
  const failures: string[] = [];
  const eachShard = async (all: readonly Context[], work: (shard: Context) => Promise<void>): Promise<Context[]> => {
    const results = await Promise.allSettled(all.map(work));
    return all.filter((shard, i) => {
      const result = results[i]!;
      if (result.status === "rejected") failures.push(`${shard.desired.cluster.name}: ${(result.reason as Error).message}`);
      return result.status === "fulfilled";
    });
  };
  await reach(context);
  const there = await eachShard(shards, reach);
  await exclusively(context, async () => {
    await settle(context, platformFolder);
    const settled = await eachShard(there, (shard) => settle(shard, platformFolder));
    await withClient(connectPooler(context), reload);
    await resume(context, await pausedDatabases(context));
    // One after another: what they pause is paused for all of the pooler's new connections.
    for (const each of [context, ...settled]) await openDoors(each);
  });
  if (failures.length > 0) throw new Error(failures.join("\n"));
}

/** Waits for a primary and for the pooler's way to it, and hands over the settings. */
async function reach(context: Context): Promise<void> {
  const patroni = new Patroni(context.desired.cluster.nodes, context.files);
  await until("a primary", 300_000, () => patroni.leader());
  await applySettings(context, patroni);
  await until("the pooler's way to the primary", 60_000, () => withClient(connectPrimary(context, "postgres"), async () => true));
}

async function settle(context: Context, platformFolder: string): Promise<void> {
  const { desired, log } = context;
  // Patroni may be handing over just now, and a busy machine may need more than one try.
  const reachable = (database: string) => until("a connection to the primary", 60_000, () => connectPrimary(context, database));
  await withClient(reachable("postgres"), async (client) => {
    await completeBootstrap(client);
    await createDatabase(client, desired.database, log);
    const connect = () => reachable(desired.database);
    await applyMigrations({ connect, folder: platformFolder, set: "platform", lockTimeout: ms(5_000), log });
    await setPasswords(client, context);
    await setRoleParameters(client, context);
  });
}

/** Nodes that go get no reads, those that are there get them again and read their files. */
async function openDoors(context: Context): Promise<void> {
  const { nodes } = context.desired.cluster;
  const patroni = new Patroni(nodes, context.files);
  for (const { name } of await patroni.members()) {
    if (!nodes.includes(name)) await readsLeave(context, name);
  }
  for (const node of nodes) {
    await putBack(context, node);
    await patroni.reload(node).catch((error: Error) => context.log(`${node} will read its files when it is up: ${error.message}`));
  }
}

async function applySettings({ desired, log }: Context, patroni: Patroni): Promise<void> {
  const { config, generation } = withGeneration(desired.cluster.dynamic);
  if (isDeepStrictEqual(await patroni.config(), config)) return log(`settings ${generation}: in place`);
  await patroni.replaceConfig(config);
  log(`settings ${generation}: given to Patroni`);
}

/** Patroni makes these roles when it bootstraps; a node that was killed in the middle of that goes on without them. */
export async function completeBootstrap(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ role: string }>("select rolname as role from pg_roles");
  const missing = (role: string) => !rows.some((row) => row.role === role);
  if (missing(ROLES.replication)) await client.query(`create role ${ROLES.replication} login replication`);
  if (missing(ROLES.rewind)) await client.query(`create role ${ROLES.rewind} login`);
  for (const name of [
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
  ])
    await client.query(`grant execute on function pg_catalog.${name} to ${ROLES.rewind}`);
}

export async function createDatabase(client: pg.Client, database: string, log: (line: string) => void): Promise<void> {
  const { rowCount } = await client.query("select from pg_database where datname = $1", [database]);
  if (rowCount === 1) return;
  await client.query(`create database ${client.escapeIdentifier(database)}`);
  log(`database ${database} made`);
}

export async function setRoleParameters(client: pg.Client, { desired }: Context): Promise<void> {
  for (const [role, parameters] of Object.entries(desired.roleSettings)) {
    for (const [name, value] of Object.entries(parameters)) {
      await client.query(
        `alter role ${client.escapeIdentifier(role)} set ${client.escapeIdentifier(name)} = ${client.escapeLiteral(value)}`,
      );
    }
  }
}

/** Gives every role its password, as a verifier; a role that has it already is left alone. */
async function setPasswords(client: pg.Client, { passwords, log }: Context): Promise<void> {
  const { rows } = await client.query<{ role: string; verifier: string | null }>(
    "select rolname as role, rolpassword as verifier from pg_authid where rolname = any($1)",
    [Object.keys(passwords)],
  );
  for (const { role, verifier } of rows) {
    const password = passwords[role];
    if (password === undefined || scramMatches(verifier, password)) continue;
    await client.query(`alter role ${client.escapeIdentifier(role)} password ${client.escapeLiteral(scramVerifier(password))}`);
    log(`role ${role}: new password`);
  }
}
