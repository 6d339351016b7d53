/** What an `up` makes true about maintenance: pg_cron's jobs, and autovacuum settings of declared tables. */
import type pg from "pg";
import { finishShards } from "../shards/finish.ts";
import type { Settler } from "../tables/index.ts";

/** Jobs as ladder.job and the comments on materialized views say. */
export const settleJobs: Settler = async (client, _desired, log) => {
  const { rows } = await client.query<{ change: string }>("select * from ladder.ensure_jobs() as change");
  for (const { change } of rows) log(`jobs: ${change}`);
};

/** Runs one maintenance command by hand; returns what to say. */
export async function maintain(client: pg.Client, command: string, object: string): Promise<string[]> {
  const run = COMMANDS[command];
  if (!run) throw new Error(`maintain: got ${JSON.stringify(command)}, want one of ${Object.keys(COMMANDS).join(", ")}`);
  return run(client, object);
}

const COMMANDS: Readonly<Record<string, (client: pg.Client, object: string) => Promise<string[]>>> = {
  vacuum,
  reorder,
  run: runJob,
  finish,
};

async function tableNamed(client: pg.Client, name: string): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = to_regclass($1) and c.relkind in ('r', 'p', 'm')`,
    [name],
  );
  if (!rows[0]) throw new Error(`got ${JSON.stringify(name)}, want a table's name, with its schema unless that is public`);
  return rows[0].name;
}

async function vacuum(client: pg.Client, name: string): Promise<string[]> {
  const table = await tableNamed(client, name);
  const said: string[] = [];
  client.on("notice", ({ message }) => said.push(message ?? ""));
  await client.query(`vacuum (verbose, analyze) ${table}`);
  return said;
}

async function reorder(client: pg.Client, name: string): Promise<string[]> {
  const table = await tableNamed(client, name);
  const before = await client.query<{ id: string }>("select coalesce(max(id), 0) as id from ladder.task");
  await client.query("select ladder.ask_reorder($1::regclass)", [table]);
  const { rows } = await client.query<{ object: string; columns: string }>(
    "select object, statement as columns from ladder.task where kind = 'reorder' and (id > $1 or state in ('waiting', 'running')) order by id",
    [before.rows[0]!.id],
  );
  if (rows.length === 0)
    throw new Error(`${table}: cannot be put in order: it has no primary key, or its indexes use functions that no superuser owns`);
  return [...rows.map(({ object, columns }) => `${object}: asked for, by ${columns}`), "the mover does it in the background"];
}

async function runJob(client: pg.Client, name: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string; command: string }>("select name, command from ladder.job order by name");
  const job = rows.find((row) => row.name === name || row.name === `ladder-${name}`);
  if (!job) throw new Error(`run: got ${JSON.stringify(name)}, want one of ${rows.map((row) => row.name).join(", ")}`);
  await client.query(job.command);
  return [`${job.name}: done (${job.command})`];
}

/** Ends the way back of every conversion that still has one, and that of shards; one statement each, so that one that fails undoes no other. */
async function finish(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ table: string }>(`select "table" from ladder.conversions where state = 'kept' order by 1`);
  const said: string[] = [];
  for (const { table } of rows) {
    const { rows: done } = await client.query<{ line: string }>("select ladder.finish_conversion($1::regclass) as line", [table]);
    said.push(done[0]!.line);
  }
  const shards = await finishShards(client);
  return shards === undefined ? said : [...said, shards];
}
