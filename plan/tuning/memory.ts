import { mib } from "../types.ts";
import { CONNECTION_MEMORY, HASH_MULTIPLIER } from "./budget.ts";
import { always, type Scope, type Topic } from "./scope.ts";
import { bool, clamp, count, memory, number, roughly, text, wholeMib } from "./values.ts";

const HASH_REASON = {
  web: "one hash of a query may take twice work_mem; the budget counts it",
  oltp: "one hash of a query may take twice work_mem; the budget counts it",
  mixed: "one hash may take twice work_mem beside one sort; the budget counts 3 units a connection",
  analytics: "few connections, big hash joins: one hash may take all 4 units that the budget counts a connection",
} as const;

function workMemReason({ budget: b }: Scope): string {
  const spent = [b.sharedBuffers, b.walBuffers, b.reserve, b.maintenance].map(roughly).join(" − ");
  const autovacuum = `${b.autovacuumWorkers} × ${roughly(b.autovacuumMemory)} autovacuum`;
  const backends = `${count(b.connections)} connections × ${roughly(CONNECTION_MEMORY)}`;
  return `(${roughly(b.memory)} − ${spent} − ${autovacuum} − ${backends}) = ${roughly(b.left)}, ÷ ${b.units} a backend ÷ ${count(b.sorters)} backends that sort, 4 to 64MB`;
}

/** Memory: checklist P1. */
export const memoryTopic = {
  shared_buffers: ({ budget }) => ({
    value: memory(budget.sharedBuffers),
    reason: `a quarter of ${roughly(budget.memory)}: PostgreSQL's cache, the rest of the memory serves as the kernel's`,
  }),
  effective_cache_size: ({ budget }) => ({
    value: memory(wholeMib((budget.memory * 3) / 4)),
    reason: `three quarters of ${roughly(budget.memory)}: what the planner may take as cached, nothing is reserved`,
  }),
  work_mem: (scope) => ({ value: memory(scope.budget.workMem), reason: workMemReason(scope) }),
  hash_mem_multiplier: ({ input }) => ({ value: number(HASH_MULTIPLIER[input.workload]), reason: HASH_REASON[input.workload] }),
  maintenance_work_mem: ({ budget }) => ({
    value: memory(budget.maintenance),
    reason: `a sixteenth of ${roughly(budget.memory)}, 64MB to 1GB: one index build at a time`,
  }),
  autovacuum_work_mem: ({ budget }) => ({
    value: memory(budget.autovacuumMemory),
    reason: `1/64 of ${roughly(budget.memory)}, 16 to 256MB, for each of ${budget.autovacuumWorkers} workers: 17 keeps dead rows in a radix tree and needs little`,
  }),
  logical_decoding_work_mem: ({ budget }) => ({
    value: memory(wholeMib(clamp(budget.memory / 128, mib(16), mib(256)))),
    reason: `1/128 of ${roughly(budget.memory)}, 16 to 256MB, for each WAL sender of a move; more spills to disk`,
  }),
  vacuum_buffer_usage_limit: ({ budget }) => ({
    value: memory(wholeMib(clamp(budget.sharedBuffers / 64, mib(2), mib(64)))),
    reason: "1/64 of shared_buffers, 2 to 64MB: a bigger ring, so that vacuum waits less often for the WAL flush of its own pages",
  }),
  huge_pages: ({ input }) =>
    input.platform === "rds"
      ? undefined
      : { value: text("try"), reason: "fewer page tables where the host has huge pages; nothing fails where it has none" },
  default_toast_compression: always(text("lz4"), "several times faster than pglz at about the same size"),
  track_io_timing: always(bool(true), "read and write times in EXPLAIN and pg_stat_statements; the clock costs nanoseconds a block"),
} satisfies Topic;
