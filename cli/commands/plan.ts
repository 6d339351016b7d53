import type { Stage } from "../../plan/types.ts";
import { checkEngine } from "../engine.ts";
import type { Report } from "../report.ts";
import { openStack } from "../stack.ts";
import { lookAhead, previewLines, previewValue } from "./up.ts";

/** `ladder plan`: what the next `up` would do, in words; changes nothing. */
export async function plan({ stack: name, stage }: { stack: string; stage?: Stage | undefined }, { say, result }: Report): Promise<void> {
  const overrides = stage === undefined ? undefined : { stage: String(stage) };
  await checkEngine();
  const opened = await openStack(name, overrides ? { overrides } : {});
  const ahead = await lookAhead(opened, say);
  result(previewLines(ahead), previewValue(ahead));
}
