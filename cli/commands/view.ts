/** What `ladder <view>` and maintenance by hand do: they ask the agent, inside the stack's network. */
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { dockerName } from "../../components/docker/container.ts";
import type { LastOutputs } from "../../plan/topology.ts";
import { execIn } from "../engine.ts";
import { Failure, messageOf } from "../failure.ts";
import { readLast } from "../planning.ts";
import type { Report } from "../report.ts";
import { openStack } from "../stack.ts";
import { type Row, table } from "../table.ts";
import { machines } from "./machines.ts";
import { VIEWS, viewName } from "./views.ts";

export interface ViewArgs {
  stack: string;
  name: string;
  /** primary, all, or a node's name. @default all where the view asks for it, else primary */
  node?: string;
  limit: number;
  /** Seconds between two looks; looks once where there is none. */
  watch?: number;
}

const ROWS = z.array(z.record(z.string(), z.unknown()));
const LINES = z.array(z.string());

/** `ladder <view>`: a table for people, the rows with `--json`. */
export async function view({ stack, name, node, limit, watch }: ViewArgs, report: Report): Promise<void> {
  const { everywhere, hidden = [], from } = VIEWS[name]!;
  const ask = await agentOf(stack);
  for (;;) {
    const asked =
      from === "engine" ? machines(stack) : ask("view", viewName(name), node ?? (everywhere ? "all" : "primary"), String(limit));
    const rows = ROWS.parse(await asked) as Row[];
    const lines = rows.length === 0 ? ["(nothing)"] : table(rows, hidden);
    report.result(watch === undefined ? lines : [new Date().toISOString(), ...lines, ""], rows);
    if (watch === undefined) return;
    await sleep(watch * 1_000);
  }
}

/** `ladder vacuum | reorder | run`: maintenance by hand, as the platform's administrator. */
export async function maintain(
  args: { stack: string; what: "vacuum" | "reorder" | "run"; object: string },
  { result }: Report,
): Promise<void> {
  const ask = await agentOf(args.stack);
  const lines = LINES.parse(await ask("maintain", args.what, args.object));
  result(
    lines.flatMap((line) => line.split("\n")),
    { [args.what]: args.object, said: lines },
  );
}

/** Drops the old tables that conversions keep as their way back. Returns a line for each. */
export async function finishConversions(stack: string): Promise<string[]> {
  return LINES.parse(await (await agentOf(stack))("maintain", "finish"));
}

/** Commands of the agent that answer with one JSON value. */
export async function agentOf(stack: string, known?: LastOutputs): Promise<(...command: string[]) => Promise<unknown>> {
  // Opening it writes its configuration anew, which would undo what an `up` that is under way has set for itself.
  const last = known ?? (await readLast(await openStack(stack)));
  if (!last) throw new Failure(`stack ${stack}: there is nothing to look at yet; bin/up makes it`);
  if (last.target !== "docker") throw new Failure(`stack ${stack}: the agent on ${last.target} cannot be asked yet`);
  const name = dockerName(stack, "agent");
  return async (...command) => {
    const { code, stdout, stderr } = await execIn(name, ["node", "/agent/agent.mjs", ...command]).catch((error: unknown) => {
      throw new Failure(`${name} cannot be asked: ${messageOf(error)}`);
    });
    if (code !== 0) throw new Failure(stderr.trim() || `${name}: exit code ${code}`);
    return JSON.parse(stdout);
  };
}
