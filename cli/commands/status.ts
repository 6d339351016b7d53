import { engine, ifThere } from "../engine.ts";
import { messageOf } from "../failure.ts";
import { runningOn } from "../mover.ts";
import { readConfig, readLast } from "../planning.ts";
import type { Report } from "../report.ts";
import { openStack } from "../stack.ts";

/** `ladder status`: where the stack stands on the ladder, and what is under way. */
export async function status({ stack: name }: { stack: string }, { result }: Report): Promise<void> {
  const opened = await openStack(name);
  const config = await readConfig(opened);
  const last = await readLast(opened);
  const citusImage = (await ifThere(engine.getImage(config.images.citus).inspect())) !== undefined;
  const seen = await runningOn(config.target, name)
    .status()
    .catch((error: unknown) => ({ stage: last?.stage ?? null, phase: "down", moving: messageOf(error), held: [], done: [] }));
  const { stage, phase, moving, held, done } = seen;
  result(
    [
      `stage        ${stage ?? "none yet"}${last && config.stage !== stage ? ` (configured: ${config.stage}, bin/up goes there)` : ""}`,
      `phase        ${phase}${moving ? `: ${moving}` : ""}`,
      `held         ${held.join(", ") || "nothing"}`,
      `nodes        ${last?.nodes.map(({ name: node }) => node).join(", ") ?? "none"}`,
      `Citus image  ${citusImage ? "there" : `not on this engine (${config.images.citus}), stage 5 needs it`}`,
      ...done.slice(-5).map((line) => `done         ${line}`),
    ],
    { stack: name, stage, phase, moving, held, citusImage },
  );
}
