/** Whether a climb onto shards may begin. */
import type { StackConfig } from "../../plan/config.ts";
import type { LastOutputs } from "../../plan/topology.ts";
import { Failure } from "../failure.ts";
import { examineStack, lines, type Routed } from "./doctor.ts";

/** Seconds between two looks at the statements' counters. */
const BETWEEN_LOOKS = 5;

/**
 * Asks the doctor before rows go onto shards, what the gateway carries included. Nothing to ask where there is no stack yet, or where rows are on shards.
 *
 * @throws Failure with everything that blocks, and how to mend it.
 */
export async function refuseUnready(
  config: StackConfig,
  last: LastOutputs | undefined,
  routed: Routed,
  say: (line: string) => void,
  examine: typeof examineStack = examineStack,
): Promise<void> {
  if (config.stage !== 4 || config.target !== "docker" || !last || last.stage >= 4) return;
  say(`stack ${config.stack}: asking the doctor, with a measurement of what the gateway carries: some ${BETWEEN_LOOKS + 3} s`);
  const examined = await examine(config, { seconds: BETWEEN_LOOKS, measure: true, ...routed }, last);
  if (examined.blocks === 0) return;
  const blocking = { ...examined, findings: examined.findings.filter(({ level }) => level === "blocks"), costs: 0, fine: 0 };
  throw new Failure(`stack ${config.stack}: not yet ready for shards; nothing was changed\n\n${lines(blocking).join("\n")}`);
}
