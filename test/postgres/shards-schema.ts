/** A small application for the tests of schema on shards: what its folder holds, and a fleet that has climbed with it. */
import type { Client } from "pg";
import { migrateFleet } from "../../agent/migrate/fleet.ts";
import { buildTrees, settleServers } from "../../agent/shards/gateway/index.ts";
import { globalsCaughtUp, settleGlobals } from "../../agent/shards/globals.ts";
import { applyDefinitions } from "../../agent/shards/schema.ts";
import { rangeSequences } from "../../agent/shards/sequences.ts";
import { dropStaleTrees } from "../../agent/shards/settle.ts";
import type { Fleet, Server, Shard, ShardedTable } from "../../agent/shards/types.ts";
import { ms } from "../../plan/types.ts";

export const MESSAGES: ShardedTable = { schema: "public", table: "messages", key: "user_id", keyType: "bigint" };
export const ORDERS: ShardedTable = { schema: "public", table: "orders", key: "user_id", keyType: "bigint" };

export const HISTORY = {
  "001_tables.sql": `select pg_catalog.set_config('search_path', 'public', false);
create table plans (id bigint primary key, name text not null, old text);
insert into plans values (1, 'free', 'x');
create sequence messages_id;
create table messages (id bigint not null default nextval('messages_id'), user_id bigint not null, plan_id bigint references plans (id), body text not null,
  created_at timestamptz not null default now(), spare text, primary key (user_id, id, created_at));
alter sequence messages_id owned by messages.id;
alter sequence messages_id restart with 500;
create index messages_body on messages (body);
create table notes (id bigint primary key, body text);
`,
  "002_rows.sql": `insert into notes values (1, 'a');
create table copies as select * from notes;
select body into bodies from notes;
create materialized view note_counts as select count(*) as n from notes with data;
comment on materialized view note_counts is 'refresh: 0 * * * *';
refresh materialized view note_counts;
do $$ begin insert into notes values (2, 'b'); create table made_by_do (id int); end $$;
select setval('messages_id', 1000);
with gone as (delete from notes where id = 1 returning *) select count(*) from gone;
`,
  "003_outside.sql": `-- ladder: no transaction
create index concurrently notes_body on notes (body);
do $$ begin update notes set body = 'c'; commit; end $$;
`,
};

/** Runs a server's definitions. */
export const define = (shard: Server, folder: string, server: string, log: (line: string) => void = () => undefined) =>
  applyDefinitions({ connect: shard.connect, folder, role: "app", lockTimeout: ms(2_000), log, server });

export interface Migrated {
  applied: string[];
  globalsChanged: boolean;
  error: string | undefined;
}

/** As the agent migrates a stack at stage 4. */
export async function migrateShards(fleet: Fleet, folder: string, moving?: string, only?: readonly Shard[]): Promise<Migrated> {
  try {
    const { applied, globalsChanged } = await migrateFleet({
      gateway: { name: "app", connect: fleet.gateway.connect },
      shards: (only ?? fleet.shards).map(({ database, connect }) => ({ name: database, connect })),
      folder,
      role: "app",
      lockTimeout: ms(2_000),
      log: fleet.log,
      sharded: fleet.tables.map(({ schema, table }) => `${schema}.${table}`),
      globals: fleet.globals.map(({ schema, table }) => `${schema}.${table}`),
      moveUnderWay: () => Promise.resolve(moving),
      globalsCaughtUp,
      onGateway: dropStaleTrees,
      onShard: (shard) => rangeSequences(shard, fleet.tables),
      tries: 2,
    });
    const admin = await fleet.gateway.connect();
    await settleServers(admin, fleet);
    await admin.end();
    if (globalsChanged) await settleGlobals(fleet, { again: true });
    return { applied, globalsChanged, error: undefined };
  } catch (error) {
    return { applied: [], globalsChanged: false, error: (error as Error).message.replaceAll(folder, "sql") };
  }
}

/** The trees anew, as after migrations. */
export async function treesAnew(fleet: Fleet, tables: Fleet["tables"]): Promise<void> {
  const admin = await fleet.gateway.connect();
  await buildTrees(admin, { ...fleet, tables });
  await admin.end();
}

/** What a schema is made of, without rows: to compare two servers. */
export async function schemaOf(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(`
    select line from (
      select format('%s %s %s %s', c.oid::regclass, c.relkind, c.relispopulated, obj_description(c.oid, 'pg_class')) as line from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind <> 't'
      union all
      select format('%s.%s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
        from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'm') left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
      union all
      select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint where connamespace = 'public'::regnamespace
      union all
      select format('%s %s', file, state) from ladder.migration where set = 'app') lines order by line`);
  return rows.map(({ line }) => line);
}

/** Numbers of rows by table. */
export async function rowsOf(client: Client, tables: readonly string[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of tables) counts[table] = (await client.query<{ n: number }>(`select count(*)::int as n from ${table}`)).rows[0]!.n;
  return counts;
}

export const errorOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (error: Error) => error.message,
  );

export const lines = async (client: Client, sql: string): Promise<(string | null)[]> =>
  (await client.query<{ line: string | null }>(sql)).rows.map(({ line }) => line);
