/** `configure` and `migrate` where AWS keeps the servers: settings are the parameter group's, and the administrator is no superuser. */
import pg from "pg";
import { ROLES } from "../../plan/render/patroni.ts";
import { ms } from "../../plan/types.ts";
import { createDatabase, setRoleParameters } from "../configure.ts";
import { type Context, connectPrimary, exclusively, shardContexts, withClient } from "../connections.ts";
import { applyMigrations } from "../migrate/index.ts";
import { scramVerifier } from "../scram.ts";
import { migrateStack } from "../shards/migrate.ts";
import { connectAs } from "./connect.ts";

const LOCK_TIMEOUT = ms(5_000);
/** PostgreSQL's words for a wrong password, a role without one, a role that may not log in. */
const REFUSED = ["28P01", "28000"];
/** Those for a role that may not enter this database: its password was right. */
const SHUT_OUT = "42501";

/** Shards that are configured at the same time: each takes a connection and a core of its own server, and time of this function. */
const AT_ONCE = 8;

/**
 * Database, platform schema, passwords and parameters of roles, on every cluster. Safe to run twice and while another run is under way.
 *
 * @throws when a cluster could not be configured; a shard that is away holds up no other.
 */
export async function configureManaged(context: Context, platformFolder: string): Promise<void> {
  await exclusively(context, async () => {
    await settle(context, platformFolder);
    const waiting = shardContexts(context).map((shard) => shard.context);
    const failures: string[] = [];
    const work = async () => {
      for (let shard = waiting.shift(); shard; shard = waiting.shift()) {
        const { name } = shard.desired.cluster;
        await settle(shard, platformFolder).catch((error: Error) => failures.push(`${name}: ${error.message}`));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (failures.length > 0) throw new Error(failures.join("\n"));
  });
}

async function settle(context: Context, platformFolder: string): Promise<void> {
  const { desired, log } = context;
  await withClient(connectPrimary(context, "postgres"), async (client) => {
    await createDatabase(client, desired.database, log);
    await createReplication(client, log);
    const connect = () => connectPrimary(context, desired.database);
    await applyMigrations({ connect, folder: platformFolder, set: "platform", lockTimeout: LOCK_TIMEOUT, log });
    // The mover makes and ends its subscriptions, as a superuser may with anybody's.
    await client.query(`grant ladder_apply to ${ROLES.admin} with inherit true`);
    await setPasswords(client, context);
    await setRoleParameters(client, context);
  });
}

/** Whom subscriptions log in as: here a membership stands for the attribute `replication`, which only a superuser gives. */
async function createReplication(client: pg.Client, log: (line: string) => void): Promise<void> {
  const { rowCount } = await client.query("select from pg_roles where rolname = $1", [ROLES.replication]);
  if (rowCount === 1) return;
  await client.query(`create role ${ROLES.replication} login in role rds_replication`);
  log(`role ${ROLES.replication} made`);
}

/** The application's own SQL, then what is declared about its tables; on every server that has them. */
export const migrateManaged = (context: Context, folder: string, linter: string | undefined): Promise<void> =>
  exclusively(context, () => migrateStack(context, { folder, ...(linter === undefined ? {} : { linter }) }));

/** Gives every role its password, as a verifier. Managed servers show no verifiers: a role that can log in has the right one. */
async function setPasswords(client: pg.Client, context: Context): Promise<void> {
  for (const role of Object.keys(context.passwords).filter((name) => name !== ROLES.admin)) {
    if (await canLogIn(context, role)) continue;
    const verifier = scramVerifier(context.passwords[role]!);
    await client.query(`alter role ${client.escapeIdentifier(role)} password ${client.escapeLiteral(verifier)}`);
    context.log(`role ${role}: new password`);
  }
}

async function canLogIn(context: Context, role: string): Promise<boolean> {
  try {
    await withClient(connectAs(context, role), async () => undefined);
    return true;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === SHUT_OUT) return true;
    if (error instanceof pg.DatabaseError && REFUSED.includes(error.code ?? "")) return false;
    throw error;
  }
}
