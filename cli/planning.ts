import { thisHost } from "../components/host.ts";
import { ownConfig } from "../plan/config/own.ts";
import { parseConfig, type StackConfig } from "../plan/config.ts";
import { type LastOutputs, parseLastOutputs, plan, type Topology } from "../plan/topology.ts";
import type { Opened } from "./stack.ts";

/** The stack's configuration, checked. @throws InputError with every problem. */
export async function readConfig({ name, stack }: Opened): Promise<StackConfig> {
  const all = Object.entries(await stack.getAllConfig()).map(([key, { value }]) => [key, value]);
  return parseConfig(ownConfig(Object.fromEntries(all)), { stack: name });
}

/** What the stack exported last; undefined before the first run. */
export async function readLast({ stack }: Opened): Promise<LastOutputs | undefined> {
  return parseLastOutputs((await stack.outputs()).topology?.value);
}

/** The system that the next `up` walks towards, as the program plans it. */
export function planned(config: StackConfig, last: LastOutputs | undefined): Topology {
  return plan(config, last, thisHost());
}
