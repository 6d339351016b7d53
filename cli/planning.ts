import { cpus, totalmem } from "node:os";
import { parseConfig, type StackConfig } from "../plan/config.ts";
import { type LastOutputs, parseLastOutputs, plan, type Topology } from "../plan/topology.ts";
import { kib } from "../plan/types.ts";
import type { Opened } from "./stack.ts";

const PREFIX = "pgladder:";

/** The stack's configuration, checked. @throws InputError with every problem. */
export async function readConfig({ name, stack }: Opened): Promise<StackConfig> {
  const all = Object.entries(await stack.getAllConfig());
  const own = all.flatMap(([key, { value }]) => (key.startsWith(PREFIX) ? [[key.slice(PREFIX.length), value]] : []));
  return parseConfig(Object.fromEntries(own), { stack: name });
}

/** What the stack exported last; undefined before the first run. */
export async function readLast({ stack }: Opened): Promise<LastOutputs | undefined> {
  return parseLastOutputs((await stack.outputs()).topology?.value);
}

/** The system that the next `up` walks towards, as the program plans it. */
export function planned(config: StackConfig, last: LastOutputs | undefined): Topology {
  return plan(config, last, { cores: cpus().length, memory: kib(Math.floor(totalmem() / 1_024)) });
}
