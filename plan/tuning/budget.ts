/**
 * The memory budget of one node: what all parts may hold at the same time fits its memory, or the input is refused.
 * All figures are real numbers until they are handed out, so that more memory never gives a smaller setting.
 *
 * Not counted, because it is short or given back at once: temporary tables' buffers, logical decoding during a move
 * (logical_decoding_work_mem, then it spills to disk), the kernel's page cache.
 */
import { gib, type KiB, kib, mib, type Problem, type Workload } from "../types.ts";
import { RESERVED } from "./climb.ts";
import type { TuningInput } from "./types.ts";
import { clamp, count, roughly, wholeMib } from "./values.ts";

/** Below this a plain sort goes to disk; checklist P1. */
export const WORK_MEM_FLOOR = mib(4);
/** Above this one query can take what all others need; checklist P1. */
export const WORK_MEM_CAP = mib(64);
/**
 * Private memory of one backend. Measured on 17.12: 3.2 MB anonymous and 0.75 MB of page tables after 20 s of pgbench,
 * with four tables; an application with some hundred tables and prepared statements holds more in its caches.
 */
export const CONNECTION_MEMORY = mib(6);
/** How many work_mem one connection may hold at once: a hash may take hash_mem_multiplier of them, a sort one. */
export const WORK_MEM_UNITS: Readonly<Record<Workload, number>> = { web: 2, oltp: 2, mixed: 3, analytics: 4 };
/** hash_mem_multiplier; PostgreSQL's default, and all the units of an analytic query. */
export const HASH_MULTIPLIER: Readonly<Record<Workload, number>> = { web: 2, oltp: 2, mixed: 2, analytics: 4 };

/** Number of an operator's override, in KiB where it is memory; undefined where there is none. */
export type Overridden = (name: string) => number | undefined;

/** What the parts of one node take. */
export interface Budget {
  memory: KiB;
  sharedBuffers: KiB;
  walBuffers: KiB;
  /** Operating system, the server's fixed shared memory and background processes. */
  reserve: KiB;
  maintenance: KiB;
  autovacuumWorkers: number;
  autovacuumMemory: KiB;
  /** Poolers' connections and the reserved ones. */
  connections: number;
  parallelWorkers: number;
  /** work_mem that one backend may hold at once. */
  units: number;
  /** Backends that sort and hash: the poolers' connections and the parallel workers. */
  sorters: number;
  /** What is left for work_mem, all backends together; negative where the rest does not even fit. */
  left: number;
  workMem: KiB;
}

/** Autovacuum workers: two, and one more for every four cores, 3 to 10. */
const autovacuumWorkers = (cores: number): number => clamp(2 + Math.ceil(cores / 4), 3, 10);

/** -1 leaves the choice to PostgreSQL, which never takes more than is computed here. */
const explicit = (value: number | undefined): number | undefined => (value === undefined || value < 0 ? undefined : value);

/** The share of memory that each part gets before rounding, as a function of the machine's memory in KiB. */
function shares(memory: number, overridden: Overridden) {
  const sharedBuffers = overridden("shared_buffers") ?? memory / 4;
  return {
    sharedBuffers,
    walBuffers: explicit(overridden("wal_buffers")) ?? clamp(sharedBuffers / 16, mib(16), mib(64)),
    reserve: Math.max(memory / 10, mib(128)),
    maintenance: overridden("maintenance_work_mem") ?? clamp(memory / 16, mib(64), gib(1)),
    autovacuumMemory: overridden("autovacuum_work_mem") ?? clamp(memory / 64, mib(16), mib(256)),
  };
}

/** Computes the budget; `left` and `workMem` say whether it holds (see budgetProblem). */
export function memoryBudget(input: TuningInput, overridden: Overridden = () => undefined): Budget {
  const { cores, memory } = input.machine;
  const part = shares(memory, overridden);
  const workers = overridden("autovacuum_max_workers") ?? autovacuumWorkers(cores);
  const parallelWorkers = overridden("max_parallel_workers") ?? cores;
  const connections = input.serverConnections + RESERVED;
  const units = Math.max(WORK_MEM_UNITS[input.workload], overridden("hash_mem_multiplier") ?? 0);
  const sorters = input.serverConnections + parallelWorkers;
  const autovacuumEach = part.autovacuumMemory < 0 ? part.maintenance : part.autovacuumMemory;
  const fixed = part.sharedBuffers + part.walBuffers + part.reserve + part.maintenance + workers * autovacuumEach;
  const left = memory - fixed - connections * CONNECTION_MEMORY;
  return {
    memory,
    sharedBuffers: wholeMib(part.sharedBuffers),
    walBuffers: wholeMib(part.walBuffers),
    reserve: kib(part.reserve),
    maintenance: wholeMib(part.maintenance),
    autovacuumWorkers: workers,
    autovacuumMemory: wholeMib(autovacuumEach),
    connections,
    parallelWorkers,
    units,
    sorters,
    left,
    workMem: kib(overridden("work_mem") ?? wholeMib(clamp(left / (units * sorters), 0, WORK_MEM_CAP))),
  };
}

const holds = (budget: Budget, floor: number): boolean => budget.left >= floor * budget.units * budget.sorters;

/**
 * The most server connections that the machine's memory carries with work_mem at its floor; 0 where it carries none.
 * For whoever chooses pool sizes: the budget of a node with more is refused.
 */
export function maxServerConnections(input: TuningInput, overridden: Overridden = () => undefined): number {
  const none = memoryBudget({ ...input, serverConnections: 0 }, overridden);
  const perConnection = CONNECTION_MEMORY + WORK_MEM_FLOOR * none.units;
  return Math.max(0, Math.floor((none.left - WORK_MEM_FLOOR * none.units * none.sorters) / perConnection));
}

/** The least whole GB of memory that carries the input's connections, or undefined below 64 TB. */
function leastMemory(input: TuningInput, overridden: Overridden, floor: number): KiB | undefined {
  const fits = (size: number) => holds(memoryBudget({ ...input, machine: { ...input.machine, memory: gib(size) } }, overridden), floor);
  let low = 0;
  let high = 65_536;
  if (!fits(high)) return undefined;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return gib(high);
}

/** Overrides that can break the budget, the one to blame first. */
const SPENDERS = [
  "work_mem",
  "shared_buffers",
  "maintenance_work_mem",
  "autovacuum_work_mem",
  "wal_buffers",
  "hash_mem_multiplier",
  "autovacuum_max_workers",
  "max_parallel_workers",
] as const;

/** The sum as a reader can follow it. */
function arithmetic(b: Budget, floor: number): string {
  const backends = `${count(b.connections)} connections × ${roughly(CONNECTION_MEMORY)}`;
  const parts = [
    `${roughly(b.memory)} memory`,
    `${roughly(b.sharedBuffers)} shared_buffers`,
    `${roughly(b.walBuffers)} wal_buffers`,
    `${roughly(b.reserve)} for the system`,
    `${roughly(b.maintenance)} maintenance_work_mem`,
    `${b.autovacuumWorkers} autovacuum workers × ${roughly(b.autovacuumMemory)}`,
    `${backends} = ${roughly(b.connections * CONNECTION_MEMORY)}`,
  ];
  const need = `${b.units} × ${count(b.sorters)} backends × ${roughly(floor)} work_mem = ${roughly(b.units * b.sorters * floor)}`;
  const left = b.left < 0 ? `${roughly(-b.left)} too little` : `${roughly(b.left)} left`;
  return `${parts.join(" − ")}: ${left}, and ${need} is needed`;
}

/**
 * The problem of a budget that does not hold, with the arithmetic and the ways out; undefined where it holds.
 * An override of work_mem is its own floor: the operator may go below 4 MB, but not above what fits.
 */
export function budgetProblem(input: TuningInput, overridden: Overridden = () => undefined): Problem | undefined {
  const budget = memoryBudget(input, overridden);
  const floor = overridden("work_mem") ?? WORK_MEM_FLOOR;
  if (holds(budget, floor)) return undefined;
  const spender = SPENDERS.find((name) => overridden(name) !== undefined);
  const sum = arithmetic(budget, floor);
  const most = maxServerConnections(input, overridden);
  const least = leastMemory(input, overridden, floor);
  const ways = [
    ...(most > 0 && overridden("work_mem") === undefined ? [`at most ${count(most)} server connections`] : []),
    ...(least === undefined ? [] : [`at least ${roughly(least)} of memory`]),
  ];
  const want = `${[...(spender ? ["less"] : []), ...ways].join(", or ")} (${sum})`;
  if (!spender) return { path: "serverConnections", got: input.serverConnections, want };
  return { path: `settings.${spender}`, got: input.overrides[spender], want };
}
