import { ms } from "../types.ts";
import type { Topic } from "./scope.ts";
import { number, time } from "./values.ts";

/** The background writer, which cleans buffers so that queries need not. */
export const writerTopic = {
  bgwriter_delay: ({ input }) =>
    input.machine.disk === "hdd"
      ? { value: time(ms(200)), reason: "PostgreSQL's default: more rounds would only move the disk's head" }
      : { value: time(ms(20)), reason: "short rounds find clean buffers ahead of bursts; it sleeps when nothing is dirty" },
  bgwriter_lru_maxpages: ({ input }) =>
    input.machine.disk === "hdd"
      ? { value: number(100), reason: "PostgreSQL's default" }
      : { value: number(1000), reason: "the need of the last rounds sets the pace, not this ceiling" },
} satisfies Topic;
