/** Streams of rows between two servers: a publication, a slot and a subscription of one name. Each piece may be asked for again. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { unseen } from "../unseen.ts";

/** A published table, and which of its rows. */
export interface Published {
  /** Qualified, as SQL. */
  relation: string;
  /** A condition on columns of its replica identity; undefined for all rows. */
  where?: string;
}

const SLOT_TRIES = 50;

/** Offers tables under the names of their roots. Must be there before the slot. */
export async function publish(client: pg.Client, name: string, tables: readonly Published[]): Promise<void> {
  const { rowCount } = await client.query("select from pg_publication where pubname = $1", [name]);
  if (rowCount !== 0 || tables.length === 0) return;
  const list = tables.map(({ relation, where }) => `${relation}${where === undefined ? "" : ` where (${where})`}`).join(", ");
  await client.query(`create publication ${pg.escapeIdentifier(name)} for table ${list} with (publish_via_partition_root = true)`);
}

export async function dropPublication(client: pg.Client, name: string): Promise<void> {
  await client.query(`drop publication if exists ${pg.escapeIdentifier(name)}`);
}

/** Keeps the log from now on for one subscriber, past a fail-over too. */
export async function makeSlot(client: pg.Client, name: string): Promise<void> {
  const { rowCount } = await client.query("select from pg_replication_slots where slot_name = $1", [name]);
  if (rowCount === 0) await client.query("select pg_create_logical_replication_slot($1, 'pgoutput', failover => true)", [name]);
}

export interface Slot {
  name: string;
  /** Bytes of log that the server keeps for it. */
  retained: number;
  /** Bytes that the subscriber has not confirmed. */
  behind: number;
  /** The log that it needs is gone. */
  lost: boolean;
}

/** The slots that there are, of those named. */
export async function readSlots(client: pg.Client, names: readonly string[]): Promise<Slot[]> {
  const { rows } = await client.query<Slot>(
    `select slot_name as name, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::float8 as retained,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::float8 as behind,
       wal_status = 'lost' or invalidation_reason is not null as lost
     from pg_replication_slots where slot_name = any ($1) order by slot_name`,
    [names],
  );
  return rows;
}

/** Drops a slot; who still uses it is cut off. */
export async function dropSlot(client: pg.Client, name: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { rows } = await client.query<{ pid: number | null }>("select active_pid as pid from pg_replication_slots where slot_name = $1", [
      name,
    ]);
    const slot = rows[0];
    if (!slot) return;
    try {
      if (slot.pid !== null) await client.query("select pg_terminate_backend($1)", [slot.pid]);
      await client.query("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1", [name]);
      return;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.code !== "55006" || tries >= SLOT_TRIES) throw error;
      await sleep(100);
    }
  }
}

export interface SubscribeOptions {
  /** libpq's, to the publisher. */
  connection: string;
  /** Copy the rows that are there. */
  copy: boolean;
}

/**
 * Takes what the publisher offers under this name, whose slot is there already. Only what was written there: nothing comes back to where it
 * was first written. Applied as ladder_apply, past row security; not as the administrator, because triggers and expressions of the tables
 * are the application's. It needs rights on the tables: see letApply.
 */
export async function subscribe(client: pg.Client, name: string, { connection, copy }: SubscribeOptions): Promise<void> {
  const id = pg.escapeIdentifier(name);
  const read = () =>
    client.query<{ enabled: boolean; superuser: boolean }>(
      `select subenabled as enabled, current_setting('is_superuser') = 'on' as superuser from pg_subscription
       where subname = $1 and subdbid = (select oid from pg_database where datname = current_database())`,
      [name],
    );
  if ((await read()).rowCount === 0)
    await unseen(
      client,
      `create subscription ${id} connection ${pg.escapeLiteral(connection)} publication ${id} with (create_slot = false,
         slot_name = ${pg.escapeLiteral(name)}, copy_data = ${copy}, enabled = false, origin = none, run_as_owner = true)`,
    );
  const { enabled, superuser } = (await read()).rows[0]!;
  if (enabled) return;
  if (superuser) await client.query(`alter subscription ${id} set (password_required = false)`);
  await client.query(`alter subscription ${id} owner to ladder_apply`);
  await client.query(`alter subscription ${id} enable`);
}

/** Gives the role that applies changes its rights on tables and their partitions, of which there may be new ones. */
export async function letApply(client: pg.Client, relations: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ sql: string }>(
    `select format('grant select, insert, update, delete, truncate on table %I.%I to ladder_apply', n.nspname, c.relname) as sql
     from unnest($1::text[]) r, pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and c.oid in (select relid from pg_partition_tree(to_regclass(r)) union select to_regclass(r))
       and not (has_table_privilege('ladder_apply', c.oid, 'insert') and has_table_privilege('ladder_apply', c.oid, 'delete'))
     union all select distinct format('grant usage on schema %I to ladder_apply', n.nspname)
     from unnest($1::text[]) r join pg_class c on c.oid = to_regclass(r) join pg_namespace n on n.oid = c.relnamespace
     where not has_schema_privilege('ladder_apply', n.oid, 'usage')`,
    [relations],
  );
  for (const { sql } of rows) await client.query(sql);
}

/** The role by which servers read each other's log. */
export const REPLICATION_ROLE = "ladder_replication";

/** Lets the role that reads the log into the database. */
export async function letConnect(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ sql: string }>(
    "select format('grant connect on database %I to %I', current_database(), $1::text) as sql where not has_database_privilege($1, current_database(), 'connect')",
    [REPLICATION_ROLE],
  );
  for (const { sql } of rows) await client.query(sql);
}

/** Lets it read tables of a publisher, all their rows. */
export async function letCopy(client: pg.Client, relations: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ schema: string; secured: boolean; bypass: boolean }>(
    `select distinct n.nspname as schema, c.relrowsecurity as secured, (select rolbypassrls or rolsuper from pg_roles where rolname = $2) as bypass
     from unnest($1::text[]) r join pg_class c on c.oid = to_regclass(r) join pg_namespace n on n.oid = c.relnamespace`,
    [relations, REPLICATION_ROLE],
  );
  const id = REPLICATION_ROLE;
  for (const schema of new Set(rows.map((row) => row.schema)))
    await client.query(`grant usage on schema ${pg.escapeIdentifier(schema)} to ${id}`);
  if (relations.length > 0) await client.query(`grant select on table ${relations.join(", ")} to ${id}`);
  if (rows.some(({ secured, bypass }) => secured && !bypass)) await client.query(`alter role ${id} bypassrls`);
}

/** Makes the subscriber tell at once how far it has come: for the moments before a flip. */
export async function confirmPromptly(client: pg.Client, name: string): Promise<void> {
  const { rowCount } = await client.query("select from pg_subscription where subname = $1 and subsynccommit <> 'on'", [name]);
  if (rowCount !== 0) await client.query(`alter subscription ${pg.escapeIdentifier(name)} set (synchronous_commit = on)`);
}

/** Ends a subscription, reachable as its publisher may be or not; its slot stays there. */
export async function unsubscribe(client: pg.Client, name: string): Promise<void> {
  const { rowCount } = await client.query("select from pg_subscription where subname = $1", [name]);
  if (rowCount === 0) return;
  const id = pg.escapeIdentifier(name);
  await client.query(`alter subscription ${id} disable`);
  await client.query(`alter subscription ${id} set (slot_name = none)`);
  await client.query(`drop subscription ${id}`);
}

/** Ends a stream on both ends, with what copies have left. */
export async function endStream(publisher: pg.Client, subscriber: pg.Client, name: string): Promise<void> {
  const { rows } = await subscriber.query<{ pattern: string }>(
    "select format('pg_%s_sync_%%', oid) as pattern from pg_subscription where subname = $1",
    [name],
  );
  await unsubscribe(subscriber, name);
  for (const { pattern } of rows) {
    const left = await publisher.query<{ name: string }>("select slot_name as name from pg_replication_slots where slot_name like $1", [
      pattern.replaceAll("_", "\\_"),
    ]);
    for (const slot of left.rows) await dropSlot(publisher, slot.name);
  }
  await dropSlot(publisher, name);
  await dropPublication(publisher, name);
}

/** Writes a mark into the publisher's log, flushed: what is committed before comes before it. Answers its place. */
export async function mark(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ lsn: string }>("select pg_logical_emit_message(false, 'ladder', 'flip', true)::text as lsn");
  return rows[0]!.lsn;
}

/** Whether all slots have confirmed the place; waits for it up to `patience` ms. */
export const confirmed = (client: pg.Client, names: readonly string[], lsn: string, patience: number): Promise<boolean> =>
  within(client, patience, {
    text: 'select count(*) filter (where confirmed_flush_lsn >= $2::pg_lsn) = cardinality($1::text[]) as "all" from pg_replication_slots where slot_name = any ($1)',
    values: [names, lsn],
  });

/**
 * Whether the replicas that stream have replayed the log up to the place; waits for it up to `patience` ms. Who has replayed a table's exclusive lock has no reader
 * of the table any more, and gets none until the lock's end is replayed.
 */
export const replayed = (client: pg.Client, lsn: string, patience: number): Promise<boolean> =>
  within(client, patience, {
    text: `select coalesce(bool_and(r.replay_lsn >= $1::pg_lsn), true) as "all" from pg_stat_replication r
       left join pg_replication_slots s on s.active_pid = r.pid where r.state = 'streaming' and coalesce(s.slot_type, 'physical') = 'physical'`,
    values: [lsn],
  });

async function within(client: pg.Client, patience: number, query: pg.QueryConfig): Promise<boolean> {
  const end = performance.now() + patience;
  for (;;) {
    const { rows } = await client.query<{ all: boolean }>(query);
    if (rows[0]!.all) return true;
    if (performance.now() >= end) return false;
    await sleep(5);
  }
}
