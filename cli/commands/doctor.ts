/** `ladder doctor`: what stands in the way of sharding. */
import * as z from "zod";
import type { Asked } from "../../agent/doctor/command.ts";
import type { Report as Examined } from "../../agent/doctor/index.ts";
import type { StackConfig } from "../../plan/config.ts";
import type { LastOutputs } from "../../plan/topology.ts";
import type { Stage } from "../../plan/types.ts";
import { UsageError } from "../failure.ts";
import { readConfig } from "../planning.ts";
import type { Report } from "../report.ts";
import { openStack } from "../stack.ts";
import { agentOf } from "./view.ts";

export interface DoctorArgs {
  stack: string;
  /** 4: the climb is next, so the gateway is measured. */
  stage?: Stage;
  measure?: boolean;
  /** Seconds between two looks at the statements' counters. */
  seconds: number;
  routed: number;
  routedRole: readonly string[];
}

const LEVEL = z.enum(["blocks", "costs", "fine"]);
/** What the command itself reads of the agent's answer; the rest goes on as it is. */
const EXAMINED = z.looseObject({
  blocks: z.number(),
  costs: z.number(),
  fine: z.number(),
  findings: z.array(z.object({ object: z.string(), level: LEVEL, why: z.string(), fix: z.string() })),
  notes: z.array(z.string()),
});
type Shown = Pick<Examined, "blocks" | "costs" | "fine" | "findings" | "notes">;

/** How much of the load comes past the gateway. */
export type Routed = Pick<DoctorArgs, "routed" | "routedRole">;

/** Asks the agent of a stack. @throws Failure where it cannot be asked. */
export async function examineStack(
  { stack, tables, profiles }: StackConfig,
  { seconds, measure, routed, routedRole }: Routed & { seconds: number; measure: boolean },
  last?: LastOutputs,
): Promise<z.infer<typeof EXAMINED>> {
  const profile = profiles[4].shards!;
  const asked: Asked = { tables, shards: profile.count, nodes: 1 + profile.replicas, seconds, routed, routedRoles: routedRole, measure };
  return EXAMINED.parse(await (await agentOf(stack, last))("doctor", JSON.stringify(asked)));
}

/** Exit code 1 where something blocks. */
export async function doctor(
  { stack, stage, measure = stage === 4, seconds, ...routed }: DoctorArgs,
  { say, result }: Report,
): Promise<number> {
  if (stage !== undefined && stage !== 4)
    throw new UsageError(`--stage: got ${stage}, want 4: what the doctor looks for is in the way of shards`);
  const config = await readConfig(await openStack(stack));
  say(`looking${seconds > 0 ? `, at the statements twice within ${seconds} s` : ""}${measure ? ", and measuring the gateway" : ""}`);
  const examined = await examineStack(config, { seconds, measure, ...routed });
  result(lines(examined), examined);
  return examined.blocks > 0 ? 1 : 0;
}

const TITLES = { blocks: "Blocks: first to be changed", costs: "Costs: works, and this is what changes", fine: "Fine" } as const;

/** Grouped by level, the fix below each finding. */
export function lines({ blocks, costs, fine, findings, notes }: Shown): string[] {
  const counts = { blocks, costs, fine };
  return [
    ...LEVEL.options.flatMap((level) =>
      counts[level] === 0
        ? []
        : [
            `${TITLES[level]} (${counts[level]})`,
            ...findings
              .filter((finding) => finding.level === level)
              .flatMap(({ object, why, fix }) => [`  ${object}: ${why}`, ...(fix === "" ? [] : [`      ${fix}`])]),
            "",
          ],
    ),
    ...notes,
    "",
    `${blocks} block${blocks === 1 ? "" : "s"}, ${costs} cost${costs === 1 ? "" : "s"}, ${fine} fine: ${blocks > 0 ? "a climb to stage 4 is refused until nothing blocks" : "nothing is in the way of a climb to stage 4"}`,
  ];
}
