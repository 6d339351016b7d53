/** Tasks of kind reorder: pg_repack writes a table anew in the order of an index while it is read and written. */
import { spawn } from "node:child_process";
import type pg from "pg";
import { ROLES } from "../../plan/render/patroni.ts";
import { type Context, connectPrimary, withClient } from "../connections.ts";

/** Where pg_repack connects to, as libpq's environment takes it. */
export type Connection = Readonly<Record<string, string>>;

/** Key of the advisory lock in the application's database that lets one pg_repack work at a time. */
const REORDER_LOCK = 7_215_111;
/** Name of pg_repack's sessions. */
const APPLICATION = "ladder reorder";
/** Time that pg_repack tries to get its two short exclusive locks; then it gives up, nobody is cancelled. */
const LOCK_PATIENCE_S = 60;
/** Changes that are left for the moment of the exclusive lock: with 100, the default, it never catches up with a busy table. */
const LAST_CHANGES = 2_000;
/** Changes that are carried over in one transaction; has to be more than the last ones. */
const CHANGES_AT_ONCE = 10_000;

interface Task {
  id: string;
  object: string;
  columns: string;
}

/** The way to the primary, wherever it is. */
export function connectionOf({ files, desired, passwords }: Context): Connection {
  return {
    PGHOST: desired.pooler.host,
    PGPORT: String(desired.cluster.doors.write),
    PGDATABASE: desired.database,
    PGUSER: ROLES.admin,
    PGPASSWORD: passwords[ROLES.admin] ?? "",
    // HAProxy passes TLS through, so the certificate is a node's and its name cannot be known beforehand.
    PGSSLMODE: "verify-ca",
    PGSSLROOTCERT: `${files}/ca.crt`,
  };
}

/**
 * Does the oldest task of kind reorder.
 *
 * @returns what happened, for the log; undefined when there is none, or another one is at work
 */
export async function reorderNext(client: pg.Client, connection: Connection): Promise<string | undefined> {
  const { rows } = await client.query<{ held: boolean }>("select pg_try_advisory_lock($1) as held", [REORDER_LOCK]);
  if (!rows[0]?.held) return undefined;
  try {
    // Sessions of one whose agent was killed go on for a while.
    const alive = await client.query("select from pg_stat_activity where application_name = $1", [APPLICATION]);
    if (alive.rowCount !== 0) return undefined;
    const cleaned = await client.query<{ name: string }>("select * from ladder.clean_reorder() as name");
    const task = await nextTask(client);
    const before = cleaned.rows.map(({ name }) => `${name}: what a reordering left behind that was cut off is removed`);
    if (!task) return before.length > 0 ? before.join("; ") : undefined;
    return [...before, await reorder(client, connection, task)].join("; ");
  } finally {
    await client.query("select pg_advisory_unlock($1)", [REORDER_LOCK]).catch(() => undefined);
  }
}

/**
 * A task that is found running was begun by an agent that is gone. A table that is being converted waits: pg_repack's trigger would be a
 * change of its definition, with which the conversion begins again.
 */
async function nextTask(client: pg.Client): Promise<Task | undefined> {
  const { rows } = await client.query<Task>(
    `update ladder.task set state = 'running', started = clock_timestamp()
     where id = (select min(t.id) from ladder.task t where t.kind = 'reorder' and t.state in ('waiting', 'running') and not exists (
       select from ladder.conversion c where c.state not in ('blocked', 'kept', 'done', 'failed', 'undone')
         and to_regclass(format('%I.%I', c.schema_name, c.table_name)) in (to_regclass(t.object), pg_partition_root(to_regclass(t.object)))))
     returning id, object, statement as columns`,
  );
  return rows[0];
}

async function reorder(client: pg.Client, connection: Connection, { id, object, columns }: Task): Promise<string> {
  // Asked for long ago, perhaps: its indexes may be others now.
  const { rows } = await client.query<{ foreign: string | null }>("select ladder.foreign_code(to_regclass($1)) as foreign", [object]);
  const foreign = rows[0]?.foreign;
  const { code, said } = foreign ? { code: 1, said: `ERROR: its indexes use ${foreign}` } : await repack(connection, object, columns);
  const message = said.split("\n").filter((line) => /^(ERROR|WARNING|DETAIL)/.test(line));
  const failed = code !== 0 || message.some((line) => line.startsWith("ERROR"));
  await client.query("update ladder.task set state = $2, finished = clock_timestamp(), message = nullif($3, '') where id = $1", [
    id,
    failed ? "failed" : "done",
    failed ? message.join("; ") || `pg_repack ended with exit code ${code}: ${said.trim().slice(-300)}` : message.join("; "),
  ]);
  return failed ? `${object} is not in order: ${message.join("; ") || `exit code ${code}`}` : `${object} is in order by ${columns}`;
}

function repack(connection: Connection, table: string, columns: string): Promise<{ code: number | null; said: string }> {
  const flags = [
    "--no-password",
    "--no-superuser-check",
    "--no-kill-backend",
    `--wait-timeout=${LOCK_PATIENCE_S}`,
    `--apply-count=${CHANGES_AT_ONCE}`,
    `--switch-threshold=${LAST_CHANGES}`,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn("pg_repack", [...flags, `--table=${table}`, `--order-by=${columns}`], {
      env: { ...process.env, ...connection, PGAPPNAME: APPLICATION },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-20_000)));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, said }));
  });
}

/** One task, with a connection of its own. */
export const reorderOnce = (context: Context): Promise<string | undefined> =>
  withClient(connectPrimary(context, context.desired.database), (client) => reorderNext(client, connectionOf(context)));
