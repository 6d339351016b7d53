import type { Workload } from "../types.ts";
import { CITUS_WORKERS, CRON_JOBS, MOVE_PEERS, MOVE_STREAMS, SYNC_PER_PEER } from "./climb.ts";
import type { Topic } from "./scope.ts";
import { number } from "./values.ts";

/** Workers of one query: with many short transactions at once the cores have work already. */
const GATHER_CAP: Readonly<Record<Workload, number>> = { web: 2, oltp: 2, mixed: 4, analytics: 16 };
const MAINTENANCE_CAP: Readonly<Record<Workload, number>> = { web: 4, oltp: 4, mixed: 4, analytics: 8 };

/** Half of the cores, at most `cap`; none on a single core. */
const half = (cores: number, cap: number): number => (cores < 2 ? 0 : Math.min(Math.ceil(cores / 2), cap));
const halfReason = (cores: number, cap: number, rest: string): string =>
  cores < 2 ? "one core: a helper would only take the leader's time" : `half of ${cores} cores, at most ${cap}: ${rest}`;

/** Parallel queries and the pool of background workers. */
export const parallelTopic = {
  max_worker_processes: ({ input, budget }) => {
    const citus = input.citus ? CITUS_WORKERS : 0;
    const sum = budget.parallelWorkers + MOVE_STREAMS + 1 + CRON_JOBS + 1 + citus;
    return {
      value: number(sum),
      reason: `${budget.parallelWorkers} parallel + ${MOVE_STREAMS} logical replication + its launcher + ${CRON_JOBS} pg_cron jobs + its launcher${citus ? ` + ${citus} of Citus` : ""}: static, sized for the climb`,
    };
  },
  max_parallel_workers: ({ budget }) => ({
    value: number(budget.parallelWorkers),
    reason: "one a core: more would only take turns; the budget gives each its work_mem",
  }),
  max_parallel_workers_per_gather: ({ input: { machine, workload } }) => ({
    value: number(half(machine.cores, GATHER_CAP[workload])),
    reason: halfReason(machine.cores, GATHER_CAP[workload], "one query leaves room for the others"),
  }),
  max_parallel_maintenance_workers: ({ input: { machine, workload } }) => ({
    value: number(half(machine.cores, MAINTENANCE_CAP[workload])),
    reason: halfReason(machine.cores, MAINTENANCE_CAP[workload], "an index build shares one maintenance_work_mem among them"),
  }),
  max_logical_replication_workers: () => ({
    value: number(MOVE_STREAMS),
    reason: `${MOVE_PEERS} sources × (1 apply + ${SYNC_PER_PEER} table copies): static, sized for the climb`,
  }),
  max_sync_workers_per_subscription: () => ({
    value: number(SYNC_PER_PEER),
    reason: "two tables are copied at a time for each source: the source still serves its clients",
  }),
} satisfies Topic;
