import { cpus, totalmem } from "node:os";
import type { Host } from "../plan/topology.ts";
import { kib } from "../plan/types.ts";

/** The machine this runs on: cores, and memory in KiB. */
export function thisHost(): Host {
  return { cores: cpus().length, memory: kib(Math.floor(totalmem() / 1_024)) };
}
