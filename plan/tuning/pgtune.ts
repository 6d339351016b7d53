import { type Disk, gib, kib, mib, type Workload } from "../types.ts";
import type { SettingValue, TuningInput } from "./types.ts";
import { bool, memory, number, text } from "./values.ts";

/** PGTune calls an analytic workload a data warehouse. */
const isWarehouse = (workload: Workload) => workload === "analytics";

const WAL: Readonly<Record<Workload, readonly [min: number, max: number]>> = {
  web: [1, 4],
  mixed: [1, 4],
  oltp: [2, 8],
  analytics: [4, 16],
};
const IO: Readonly<Record<Disk, number>> = { hdd: 2, ssd: 200, nvme: 1000 };

/** wal_buffers: 3% of shared_buffers, at most 16 MB; what is above 14 MB counts as 16. */
function walBuffers(sharedBuffers: number): number {
  const share = Math.floor((sharedBuffers * 3) / 100);
  return share > mib(14) ? mib(16) : Math.max(share, 32);
}

/** (memory − shared_buffers) ÷ ((connections + worker processes) × 3), half of it for warehouses and mixed loads, at least 4 MB. */
function workMem({ machine, workload, serverConnections }: TuningInput, sharedBuffers: number): number {
  const workers = machine.cores >= 4 ? machine.cores : 8;
  const share = (machine.memory - sharedBuffers) / ((serverConnections + workers) * 3);
  return Math.max(mib(4), Math.floor(isWarehouse(workload) || workload === "mixed" ? share / 2 : share));
}

function parallel(cores: number, workload: Workload): Record<string, SettingValue> {
  if (cores < 4) return {};
  const half = Math.ceil(cores / 2);
  return {
    max_worker_processes: number(cores),
    max_parallel_workers: number(cores),
    max_parallel_workers_per_gather: number(isWarehouse(workload) ? half : Math.min(half, 4)),
    max_parallel_maintenance_workers: number(Math.min(half, 4)),
  };
}

function autovacuum(cores: number, maintenance: number): Record<string, SettingValue> {
  return {
    ...(cores >= 16 ? { autovacuum_max_workers: number(cores >= 32 ? 5 : 4) } : {}),
    ...(maintenance >= gib(2) ? { autovacuum_work_mem: memory(gib(2)) } : {}),
  };
}

/**
 * What PGTune would answer for the same machine, PostgreSQL 17 on Linux with a database about as large as the memory: for
 * comparison only. Formulas read in le0pard/pgtune, src/features/configuration/configurationSlice.js. It is given the
 * server connections as its number of connections; users who give it their clients get less work_mem.
 */
export function pgtune(input: TuningInput): Readonly<Record<string, SettingValue>> {
  const { machine, workload } = input;
  const sharedBuffers = Math.floor(machine.memory / 4);
  const maintenance = Math.min(Math.floor(machine.memory / (isWarehouse(workload) ? 8 : 16)), gib(8));
  const [minWal, maxWal] = WAL[workload];
  return {
    max_connections: number(input.serverConnections),
    shared_buffers: memory(kib(sharedBuffers)),
    effective_cache_size: memory(kib(Math.floor((machine.memory * 3) / 4))),
    maintenance_work_mem: memory(kib(maintenance)),
    work_mem: memory(kib(workMem(input, sharedBuffers))),
    wal_buffers: memory(kib(walBuffers(sharedBuffers))),
    min_wal_size: memory(gib(minWal)),
    max_wal_size: memory(gib(maxWal)),
    checkpoint_completion_target: number(0.9),
    default_statistics_target: number(isWarehouse(workload) ? 500 : 100),
    random_page_cost: number(machine.disk === "hdd" || isWarehouse(workload) ? 4 : 1.1),
    effective_io_concurrency: number(IO[machine.disk]),
    huge_pages: text(sharedBuffers >= gib(2) ? "try" : "off"),
    wal_compression: text("lz4"),
    ...(isWarehouse(workload) ? {} : { jit: bool(false) }),
    ...parallel(machine.cores, workload),
    ...autovacuum(machine.cores, maintenance),
  };
}
