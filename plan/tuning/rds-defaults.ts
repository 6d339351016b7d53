import { gib, kib, type Machine, mib } from "../types.ts";
import type { SettingValue } from "./types.ts";
import { bool, memory, number, text } from "./values.ts";

/** Bytes in a KiB: the RDS formulas count in bytes. */
const BYTES = 1024;

/**
 * What the default parameter group of RDS for PostgreSQL 17 sets, where it is known: for comparison only. The formulas are
 * the RDS guide's; `log` is to base 2. DBInstanceClassMemory is a little less than the machine's memory, which stands for it here.
 */
export function rdsDefaults({ memory: size }: Machine): Readonly<Record<string, SettingValue>> {
  const bytes = size * BYTES;
  return {
    shared_buffers: memory(kib(Math.floor(bytes / 32_768) * 8)),
    effective_cache_size: memory(kib(Math.floor(bytes / 16_384) * 8)),
    maintenance_work_mem: memory(kib(Math.max(Math.floor((bytes * 1024) / 63_963_136), 65_536))),
    max_connections: number(Math.min(Math.floor(bytes / 9_531_392), 5_000)),
    autovacuum_max_workers: number(Math.max(Math.floor(bytes / 64_371_566_592), 3)),
    autovacuum_vacuum_cost_limit: number(Math.max(Math.floor(Math.log2(bytes / 21_474_836_480) * 600), 200)),
    max_wal_senders: number(20),
    max_wal_size: memory(gib(2)),
    min_wal_size: memory(mib(192)),
    wal_keep_size: memory(gib(2)),
    max_slot_wal_keep_size: number(-1),
    shared_preload_libraries: text("pg_stat_statements"),
    track_activity_query_size: memory(kib(4)),
    ssl: bool(true),
    TimeZone: text("UTC"),
  };
}
