/** What the servers have and lack for a move to shards. */
import type pg from "pg";
import { block, cost, count, type Finding, fine, size } from "./finding.ts";

interface Facts {
  version: number;
  versionName: string;
  walLevel: string;
  slots: number;
  slotsUsed: number;
  senders: number;
  sendersUsed: number;
  workers: number;
  logicalWorkers: number;
  logicalWorkersUsed: number;
  connections: number;
  connectionsUsed: number;
  bytes: number;
  encoding: string;
  fdw: boolean;
  clock: number;
  kept: { slot: string; active: boolean; bytes: number; status: string }[];
}

const FACTS = `
select current_setting('server_version_num')::int as version, current_setting('server_version') as "versionName", current_setting('wal_level') as "walLevel",
 current_setting('max_replication_slots')::int as slots, (select count(*)::int from pg_replication_slots) as "slotsUsed",
 current_setting('max_wal_senders')::int as senders, (select count(*)::int from pg_stat_replication) as "sendersUsed",
 current_setting('max_worker_processes')::int as workers, current_setting('max_logical_replication_workers')::int as "logicalWorkers",
 (select count(*)::int from pg_stat_activity where backend_type like 'logical replication%') as "logicalWorkersUsed",
 current_setting('max_connections')::int as connections, (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as "connectionsUsed",
 pg_database_size(current_database())::float8 as bytes, (select pg_encoding_to_char(encoding) from pg_database where datname = current_database()) as encoding,
 exists (select from pg_available_extensions where name = 'postgres_fdw') as fdw, extract(epoch from clock_timestamp())::float8 as clock,
 (select coalesce(json_agg(json_build_object('slot', slot_name, 'active', active, 'status', wal_status,
    'bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8) order by slot_name), '[]') from pg_replication_slots where restart_lsn is not null) as kept`;

/** What is known of the stack beside the server. */
export interface Surroundings {
  /** Shards that the climb would make. */
  shards: number;
  /** Bytes of the volume of the primary, and of each shard's; where it is known. */
  storage?: number | undefined;
  shardStorage?: number | undefined;
  /** One disk for all nodes: its free bytes, and the nodes of each shard. */
  shared?: { free: number; nodes: number } | undefined;
}

/** Behind by more than that a slot is a danger for the disk. */
const BEHIND = 2 ** 30;
const FULL = 0.8;

/** @param bytes of all sharded tables; of all global ones */
export async function serverFindings(
  client: pg.Client,
  { shards, storage, shardStorage, shared }: Surroundings,
  { sharded, global, textKeys }: { sharded: number; global: number; textKeys: boolean },
): Promise<Finding[]> {
  const began = Date.now();
  const facts = (await client.query<Facts>(FACTS)).rows[0]!;
  const here = (began + Date.now()) / 2_000;
  const found: Finding[] = [];
  if (facts.version < 170_000)
    found.push(block("server", `PostgreSQL ${facts.versionName}`, "PostgreSQL 17: replication slots that survive a fail-over"));
  if (facts.walLevel !== "logical")
    found.push(block("server", `wal_level is ${facts.walLevel}`, "alter system set wal_level = logical -- and a restart"));
  // Two streams to each shard, its rows and the global tables, and two tables copied at a time for two shards.
  const wanted = { slots: 2 * shards + 4, senders: 2 * shards + 4, workers: shards };
  const lacks = (name: string, most: number, used: number, want: number) => {
    if (most - used < want)
      found.push(
        block(
          "server",
          `${name}: ${most - used} of ${most} are free, ${shards} shards want ${want}`,
          `pgladder:settings: { ${name}: "${used + want}" } -- and a restart`,
        ),
      );
  };
  lacks("max_replication_slots", facts.slots, facts.slotsUsed, wanted.slots);
  lacks("max_wal_senders", facts.senders, facts.sendersUsed, wanted.senders);
  lacks("max_logical_replication_workers", facts.logicalWorkers, facts.logicalWorkersUsed, wanted.workers);
  lacks("max_worker_processes", facts.workers, facts.logicalWorkersUsed, wanted.workers + 4);
  if (!facts.fdw)
    found.push(block("server", "the extension postgres_fdw is not installed", "install it: package postgresql-17, or the node image"));
  if (textKeys && facts.encoding !== "UTF8")
    found.push(block("server", `keys of type text in encoding ${facts.encoding}`, "UTF8: routers hash its bytes"));
  for (const { slot, active, bytes, status } of facts.kept) {
    if (status === "lost")
      found.push(cost(`slot ${slot}`, "its WAL is gone", `select pg_drop_replication_slot('${slot.replaceAll("'", "''")}')`));
    else if (bytes > BEHIND)
      found.push(
        cost(
          `slot ${slot}`,
          `${active ? "" : "nobody reads it; "}it keeps ${size(bytes)} of WAL`,
          active
            ? "find out why its reader is slow: bin/ladder replication-slots"
            : `select pg_drop_replication_slot('${slot.replaceAll("'", "''")}')`,
        ),
      );
  }
  const drift = Math.abs(facts.clock - here);
  if (drift > 1) found.push(cost("server", `its clock and the agent's differ by ${count(drift)} s`, "time synchronization on both"));
  const disk = diskFindings(facts.bytes, { sharded, global }, { shards, storage, shardStorage, shared });
  const fit =
    found.length === 0
      ? [
          fine(
            "server",
            `PostgreSQL ${facts.versionName}, wal_level logical, enough slots, senders and workers for ${shards} shards, clock`,
          ),
        ]
      : found;
  return [...fit, ...disk];
}

function diskFindings(
  bytes: number,
  { sharded, global }: { sharded: number; global: number },
  { shards, storage, shardStorage, shared }: Surroundings,
): Finding[] {
  const each = sharded / shards + global;
  const need = `a shard gets about ${size(each)}: ${size(sharded)} in ${shards} parts, ${size(global)} of global tables`;
  const found: Finding[] = [];
  if (storage !== undefined && bytes > FULL * storage)
    found.push(
      block(
        "disk",
        `the database has ${size(bytes)} of ${size(storage)}: WAL is kept while the shards copy`,
        "pgladder:primary: { storage: … }",
      ),
    );
  if (shardStorage !== undefined && each > FULL * shardStorage)
    found.push(block("disk", `${need}; it has ${size(shardStorage)}`, "pgladder:shards: { storage: … }, or more shards"));
  if (shared !== undefined && each * shards * shared.nodes > FULL * shared.free)
    found.push(
      block(
        "disk",
        `${need}, on ${shared.nodes} nodes each: ${size(each * shards * shared.nodes)}; ${size(shared.free)} are free`,
        "a larger disk",
      ),
    );
  if (found.length === 0)
    found.push(
      fine(
        "disk",
        `${need}${shardStorage === undefined ? "" : `, of ${size(shardStorage)}`}; the database has ${size(bytes)}${storage === undefined ? "" : ` of ${size(storage)}`}, and keeps the old tables until finish`,
      ),
    );
  return found;
}
