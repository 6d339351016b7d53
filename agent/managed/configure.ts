/** `configure` and `migrate` where AWS keeps the servers: settings are the parameter group's, and the administrator is no superuser. */
import pg from "pg";
import { ROLES } from "../../plan/render/patroni.ts";
import { ms } from "../../plan/types.ts";
import { createDatabase, setRoleParameters } from "../configure.ts";
import { type Context, connectPrimary, exclusively, withClient } from "../connections.ts";
import { applyMigrations } from "../migrate/index.ts";
import { scramVerifier } from "../scram.ts";
import { settleTables } from "../tables/index.ts";
import { connectAs } from "./connect.ts";

const LOCK_TIMEOUT = ms(5_000);
/** PostgreSQL's words for a wrong password, a role without one, a role that may not log in. */
const REFUSED = ["28P01", "28000"];

/** Database, platform schema, passwords and parameters of roles. Safe to run twice and while another run is under way. */
export async function configureManaged(context: Context, platformFolder: string): Promise<void> {
  const { desired, log } = context;
  await exclusively(context, async (client) => {
    await createDatabase(client, desired.database, log);
    const connect = () => connectPrimary(context, desired.database);
    await applyMigrations({ connect, folder: platformFolder, set: "platform", lockTimeout: LOCK_TIMEOUT, log });
    await setPasswords(client, context);
    await setRoleParameters(client, context);
  });
}

/** The application's own SQL, then what is declared about its tables. */
export async function migrateManaged(context: Context, folder: string, linter: string | undefined): Promise<void> {
  const { desired, log } = context;
  const connect = () => connectPrimary(context, desired.database);
  await exclusively(context, async () => {
    await applyMigrations({
      ...{ connect, folder, set: "app", role: desired.users.write, lockTimeout: LOCK_TIMEOUT, log },
      ...(linter === undefined ? {} : { linter }),
    });
    await withClient(connect(), (client) => settleTables(client, desired, log));
  });
}

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
    if (error instanceof pg.DatabaseError && REFUSED.includes(error.code ?? "")) return false;
    throw error;
  }
}
