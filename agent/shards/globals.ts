/** Global tables: written on the gateway, the same on every shard. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { InputError, type Problem } from "../../plan/types.ts";
import { unseen } from "../unseen.ts";
import { dropSlot, letApply, letConnect } from "./replication.ts";
import { inTransaction, onServer, prepare } from "./session.ts";
import { equalize, fromSlot } from "./snapshot.ts";
import { connectionString, qualified } from "./sql.ts";
import type { Fleet, GlobalTable, Shard } from "./types.ts";
import { named } from "./work.ts";

export const PUBLICATION = "ladder_global";
/** Of the subscription on the shard and of its slot on the gateway. */
export const copyOf = (index: number): string => `ladder_global_${index}`;

interface Found {
  name: string;
  kind: string | null;
  persistence: string | null;
  identified: boolean;
}

/** Without an identity PostgreSQL would refuse the application's own updates. */
const FIND = `
select t as name, c.relkind::text as kind, c.relpersistence::text as persistence,
  coalesce(c.relreplident = 'f' or pg_get_replica_identity_index(c.oid) is not null, false) as identified
from unnest($1::text[]) with ordinality as w (t, place) left join pg_class c on c.oid = to_regclass(t) order by place`;

/** The global tables that are there. @throws InputError naming those that cannot be copied. */
async function publishable(gateway: pg.Client, globals: readonly GlobalTable[], log: (line: string) => void): Promise<GlobalTable[]> {
  const { rows } = await gateway.query<Found>(FIND, [globals.map((table) => qualified(table))]);
  const problems: Problem[] = [];
  const there = globals.filter((_, at) => {
    const { name, kind, persistence, identified } = rows[at]!;
    const refuse = (got: string, want: string) => problems.push({ path: `${name}, declared global`, got, want });
    if (kind === null) log(`${name}: got no such table, want what is declared global in the schema's folder`);
    else if (kind !== "r" && kind !== "p") refuse("no table", "a table");
    else if (persistence !== "p") refuse("an unlogged table", `alter table ${name} set logged`);
    else if (!identified) refuse("no primary key", "a primary key, or replica identity full: updates of a published table need one");
    return kind !== null;
  });
  if (problems.length > 0) throw new InputError("global tables (nothing was changed)", problems);
  return there;
}

/** As the catalog gives names: without quotes. */
const keysOf = (tables: readonly GlobalTable[]): string[] => tables.map(({ schema, table }) => `${schema}.${table}`).sort();
const sameKeys = (keys: readonly string[], tables: readonly GlobalTable[]): boolean => [...keys].sort().join() === keysOf(tables).join();

const PUBLISHED = `
select array(select n.nspname || '.' || c.relname from pg_publication_rel r join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
  where r.prpubid = p.oid) as tables from pg_publication p where pubname = '${PUBLICATION}'`;

async function settlePublication(gateway: pg.Client, tables: readonly GlobalTable[]): Promise<void> {
  const list = tables.map((table) => qualified(table)).join(", ");
  const { rows } = await gateway.query<{ tables: string[] }>(PUBLISHED);
  if (rows[0] && sameKeys(rows[0].tables, tables)) return;
  // An empty list is not to be had by SET.
  if (rows[0] && tables.length > 0) await gateway.query(`alter publication ${PUBLICATION} set table ${list}`);
  else
    await gateway.query(
      `drop publication if exists ${PUBLICATION};
       create publication ${PUBLICATION}${tables.length === 0 ? "" : ` for table ${list}`} with (publish_via_partition_root = true)`,
    );
}

interface Copy {
  /** The subscription is there and enabled. */
  enabled: boolean | null;
  tables: string[];
}

const COPY = `
select (select subenabled from pg_subscription where subname = $1 and subdbid = (select oid from pg_database where datname = current_database())) as enabled,
  array(select n.nspname || '.' || c.relname from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid join pg_class c on c.oid = r.srrelid
        join pg_namespace n on n.oid = c.relnamespace where s.subname = $1) as tables`;

const SLOT = `select active, active_pid as pid, invalidation_reason is not null or wal_status = 'lost' as lost from pg_replication_slots where slot_name = $1`;

interface Slot {
  active: boolean;
  pid: number | null;
  lost: boolean;
}

/** Why a shard's copy has to be made; undefined when it follows. */
async function staleness(gateway: pg.Client, shard: pg.Client, index: number, tables: readonly GlobalTable[]): Promise<string | undefined> {
  const { rows: copies } = await shard.query<Copy>(COPY, [copyOf(index)]);
  const { rows: slots } = await gateway.query<Slot>(SLOT, [copyOf(index)]);
  const { enabled, tables: copied } = copies[0]!;
  if (enabled === null) return "no copy yet";
  if (!slots[0]) return "its slot on the gateway is gone";
  if (slots[0].lost) return "the gateway no longer has the changes that it needs";
  if (!enabled) return "its subscription is disabled";
  return sameKeys(copied, tables) ? undefined : "other tables are global now";
}

/** Drops the subscription without its slot, which the gateway may have lost. */
async function unsubscribe(shard: pg.Client, name: string): Promise<void> {
  const { rowCount } = await shard.query("select from pg_subscription where subname = $1", [name]);
  if (rowCount)
    await shard.query(`alter subscription ${name} disable; alter subscription ${name} set (slot_name = none); drop subscription ${name}`);
}

/**
 * Makes a shard's copy equal to the gateway, and keeps it so: a slot and the rows of that very moment, compared with what is there; only what
 * differs is changed, in one transaction with the new subscription. So readers see the old rows until they see the new ones.
 */
async function copyAnew({
  gateway,
  fleet,
  shard,
  tables,
}: {
  gateway: pg.Client;
  fleet: Fleet;
  shard: Shard;
  tables: readonly GlobalTable[];
}): Promise<void> {
  const name = copyOf(shard.index);
  await onServer(shard, (there) => unsubscribe(there, name));
  await dropSlot(gateway, name);
  await fromSlot(fleet.gateway, name, tables, (reader) =>
    onServer(shard, async (there) => {
      await there.query("set idle_in_transaction_session_timeout = 0");
      await inTransaction(there, async () => {
        await letApply(
          there,
          tables.map((table) => qualified(table)),
        );
        await equalize(reader, there, tables);
        await unseen(
          there,
          `create subscription ${name} connection ${pg.escapeLiteral(connectionString(fleet.gateway, fleet))} publication ${PUBLICATION}
             with (create_slot = false, slot_name = ${name}, copy_data = false, enabled = false, origin = none, failover = true, run_as_owner = true)`,
        );
        await there.query(`do $$ begin
          if current_setting('is_superuser')::boolean then alter subscription ${name} set (password_required = false); end if; end $$`);
        await there.query(`alter subscription ${name} owner to ladder_apply; alter subscription ${name} enable`);
      });
    }),
  );
}

export interface GlobalsOptions {
  /** Compares every row again, although all copies follow: definitions have changed. @default false */
  again?: boolean;
}

/**
 * Publishes the global tables on the gateway, keeps a copy of them on every shard, and refuses other writes there. Follows tables that become
 * global or cease to be; a copy whose slot was lost is repaired. Safe to repeat, and meant to be called at every look of the mover.
 *
 * @returns what was done, by shard; empty when everything was as it should be.
 * @throws InputError naming every table that cannot be copied; the first shard's error when the others are done.
 */
export async function settleGlobals(fleet: Fleet, { again = false }: GlobalsOptions = {}): Promise<string[]> {
  const done: string[] = [];
  return onServer(fleet.gateway, async (gateway) => {
    const tables = await publishable(gateway, fleet.globals, fleet.log);
    await letConnect(gateway);
    await settlePublication(gateway, tables);
    const failures: Error[] = [];
    for (const shard of fleet.shards)
      try {
        const why = again
          ? "their definitions have changed"
          : await onServer(shard, (there) => staleness(gateway, there, shard.index, tables));
        if (why !== undefined) {
          await copyAnew({ gateway, fleet, shard, tables });
          done.push(`${shard.database}: global tables copied: ${why}`);
        }
        await guardShard(shard, fleet);
      } catch (error) {
        failures.push(named(shard, error as Error));
      }
    await dropStray(gateway, fleet);
    for (const line of done) fleet.log(line);
    if (failures[0]) throw failures[0];
    return done;
  });
}

/** Slots of shards that are gone would keep the gateway's WAL for ever; one that is in use is somebody's. */
async function dropStray(gateway: pg.Client, { shards }: Fleet): Promise<void> {
  const known = shards.map(({ index }) => copyOf(index));
  await gateway.query(
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name ~ '^ladder_global_[0-9]+$' and slot_name <> all ($1) and not active and database = current_database()",
    [known],
  );
}

/**
 * Refuses writes (LB002) on a shard to global tables and to those that are whole on the gateway; again after migrations.
 *
 * @throws 55P03 when a table is in use.
 */
export async function guardShard(shard: Shard, { tables, globals }: Pick<Fleet, "tables" | "globals">): Promise<void> {
  const there = (of: readonly GlobalTable[]) => of.map((table) => qualified(table));
  await onServer(shard, (client) =>
    client.query(
      `select ladder.guard_shard(array(select to_regclass(t) from unnest($1::text[]) t where to_regclass(t) is not null),
         array(select to_regclass(t) from unnest($2::text[]) t where to_regclass(t) is not null))`,
      [there(tables), there(globals)],
    ),
  );
}

const PATIENCE = 10_000;

/**
 * Waits until every copy has what the gateway has committed by now, at most 10 s.
 *
 * @throws Error naming the copies that are behind.
 */
export async function globalsCaughtUp(gateway: pg.Client): Promise<void> {
  const { rows } = await gateway.query<{ lsn: string }>("select pg_logical_emit_message(false, 'ladder', '', true)::text as lsn");
  const behind = async () => {
    const { rows: late } = await gateway.query<{ slot: string }>(
      "select slot_name as slot from pg_replication_slots where slot_name ~ '^ladder_global_[0-9]+$' and database = current_database() and confirmed_flush_lsn < $1::pg_lsn order by 1",
      [rows[0]!.lsn],
    );
    return late.map(({ slot }) => slot);
  };
  const end = performance.now() + PATIENCE;
  let late = await behind();
  while (late.length > 0) {
    if (performance.now() > end) throw new Error(`global tables: ${late.join(", ")} not there within ${PATIENCE} ms`);
    await sleep(50);
    late = await behind();
  }
}

/** Ends the copies: subscriptions, slots, guards, publication. The shards keep the rows that they have. Safe to repeat. */
export async function dropGlobals(fleet: Fleet): Promise<void> {
  for (const shard of fleet.shards)
    await onServer(shard, async (there) => {
      await unsubscribe(there, copyOf(shard.index));
      await there.query("select ladder.unguard_shard()");
    });
  const gateway = await prepare(await fleet.gateway.connect());
  try {
    for (const { index } of fleet.shards) await dropSlot(gateway, copyOf(index));
    await dropStray(gateway, { ...fleet, shards: [] });
    await gateway.query(`drop publication if exists ${PUBLICATION}`);
  } finally {
    await gateway.end();
  }
}
