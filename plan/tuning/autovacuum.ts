import { type Disk, ms } from "../types.ts";
import { always, type Topic } from "./scope.ts";
import { bool, number, time } from "./values.ts";

/** Cost limit for three workers: at 20 a dirtied page and a pause of 2 ms, 500 is up to 98 MB/s of writes. */
const COST_LIMIT: Readonly<Record<Disk, number>> = { hdd: 200, ssd: 500, nvme: 2000 };

/** Autovacuum; tables that are marked hot or warm get smaller scale factors of their own (checklist M1). */
export const autovacuumTopic = {
  autovacuum: always(bool(true), "dead rows and transaction numbers must be cleaned up on every node"),
  autovacuum_max_workers: ({ input, budget }) => ({
    value: number(budget.autovacuumWorkers),
    reason: `2 + a quarter of ${input.machine.cores} cores, 3 to 10: one big table must not hold up all others; static`,
  }),
  autovacuum_naptime: always(time(ms(15_000)), "a hot table is looked at four times a minute; a look costs next to nothing"),
  autovacuum_vacuum_scale_factor: always(
    number(0.05),
    "vacuum after 5% dead rows (checklist M1, ordinary tables), not 20%: small steps, less bloat",
  ),
  autovacuum_analyze_scale_factor: always(number(0.02), "statistics after 2% changed rows (checklist M1, ordinary tables)"),
  autovacuum_vacuum_insert_scale_factor: always(
    number(0.05),
    "tables that only grow get their visibility map after 5%, so that index-only scans work",
  ),
  autovacuum_vacuum_cost_delay: always(time(ms(2)), "2ms pauses (checklist M1)"),
  autovacuum_vacuum_cost_limit: ({ input, budget }) => ({
    value: number(Math.min(10_000, Math.round((COST_LIMIT[input.machine.disk] * budget.autovacuumWorkers) / 3))),
    reason: `${COST_LIMIT[input.machine.disk]} for three workers on ${input.machine.disk}, and the same for each of ${budget.autovacuumWorkers}: the limit is shared`,
  }),
  log_autovacuum_min_duration: always(time(ms(60_000)), "a run of more than a minute is worth a line"),
} satisfies Topic;
