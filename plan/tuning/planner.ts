import { type Disk, kib } from "../types.ts";
import type { Topic } from "./scope.ts";
import { bool, memory, number } from "./values.ts";

const RANDOM_PAGE: Readonly<Record<Disk, { cost: number; why: string }>> = {
  hdd: { cost: 4, why: "a rotating disk seeks: a random page costs four sequential ones" },
  ssd: { cost: 1.1, why: "an SSD reads a random page nearly as fast as the next one" },
  nvme: { cost: 1.1, why: "NVMe reads a random page nearly as fast as the next one" },
};
const IO_CONCURRENCY: Readonly<Record<Disk, { requests: number; why: string }>> = {
  hdd: { requests: 2, why: "one spindle gains nothing from more requests at once" },
  ssd: { requests: 200, why: "an SSD or EBS volume serves many requests at once" },
  nvme: { requests: 1000, why: "NVMe queues take all that PostgreSQL may ask for" },
};

/** Planner and reading ahead: checklist P3. */
export const plannerTopic = {
  random_page_cost: ({ input: { machine } }) => ({
    value: number(RANDOM_PAGE[machine.disk].cost),
    reason: RANDOM_PAGE[machine.disk].why,
  }),
  effective_io_concurrency: ({ input: { machine } }) => ({
    value: number(IO_CONCURRENCY[machine.disk].requests),
    reason: IO_CONCURRENCY[machine.disk].why,
  }),
  maintenance_io_concurrency: ({ input: { machine } }) => ({
    value: number(Math.max(10, IO_CONCURRENCY[machine.disk].requests)),
    reason: "vacuum and recovery read ahead as far as queries do",
  }),
  io_combine_limit: ({ input: { machine } }) =>
    machine.disk === "hdd"
      ? { value: memory(kib(128)), reason: "PostgreSQL's default" }
      : { value: memory(kib(256)), reason: "17 reads neighbouring blocks in one request: 256kB, the most it allows and one EBS operation" },
  default_statistics_target: ({ input: { workload } }) =>
    workload === "analytics"
      ? { value: number(500), reason: "better estimates are worth slower planning when queries run for seconds" }
      : { value: number(100), reason: "PostgreSQL's default: planning stays fast; skewed columns get their own by ALTER TABLE" },
  jit: ({ input: { workload } }) =>
    workload === "analytics"
      ? { value: bool(true), reason: "compiling pays in queries that run for seconds" }
      : { value: bool(false), reason: "compiling takes longer than a short query, and partitions multiply it" },
} satisfies Topic;
