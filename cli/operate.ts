import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "./failure.ts";
import { type Change, Progress, whatFailed } from "./progress.ts";
import { type Opened, STATE } from "./stack.ts";

const WORDS = { preview: "the look ahead", up: "the change", destroy: "taking the stack down" } as const;

/** Where the agent finds the application's migrations. */
const AGENT_SCHEMA = "/input/schema";

/**
 * Runs one of Pulumi's operations, with short lines for people and everything else in a file of the state folder.
 *
 * @param targets only these resources, by URN
 * @param schema the application's folder, which its migrations' messages are to name
 * @returns what changed, or would change
 * @throws InputError where the program refused its input, Failure with what went wrong and where the whole log is
 */
export async function operate(
  opened: Opened,
  operation: "preview" | "up" | "destroy",
  { say, targets, schema }: { say: (line: string) => void; targets?: readonly string[]; schema?: string },
): Promise<readonly Change[]> {
  mkdirSync(join(STATE, "logs"), { recursive: true, mode: 0o700 });
  const file = join(STATE, "logs", `${opened.name}-${operation}.log`);
  const log = createWriteStream(file, { mode: 0o600 });
  const progress = new Progress(say, { preview: operation === "preview" });
  const stop = new AbortController();
  const end = (signal: NodeJS.Signals) => {
    say("stopping after the steps that are under way; run the same command again to go on");
    // At a terminal, Ctrl-C reaches the Pulumi CLI without us.
    if (signal === "SIGTERM" || !process.stdin.isTTY) stop.abort();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  // Not `once`: with no listener left, another library would end this process at once.
  for (const signal of signals) process.on(signal, end);
  progress.start();
  try {
    await opened.stack[operation]({
      color: "never",
      refresh: true,
      signal: stop.signal,
      ...(targets ? { target: [...targets] } : {}),
      onOutput: (text) => log.write(text),
      onError: (text) => log.write(text),
      onEvent: (event) => progress.event(event),
    });
    return progress.changes;
  } catch (error) {
    const refusal = opened.refusal();
    if (refusal) throw refusal;
    if (stop.signal.aborted) throw new Failure("stopped");
    const failed = whatFailed(progress.errors);
    throw new Failure(
      `${(schema === undefined ? failed : failed.replaceAll(AGENT_SCHEMA, schema)) || `${WORDS[operation]} did not end well: ${firstLine(error)}`}\nPulumi's whole log: ${file}`,
    );
  } finally {
    progress.stop();
    for (const signal of signals) process.removeListener(signal, end);
    await new Promise((resolve) => log.end(resolve));
  }
}

/** What the Pulumi CLI said last, for errors that came without an event. */
function firstLine(error: unknown): string {
  const lines = (error as Error).message.split("\n").map((line) => line.trim());
  return lines.find((line) => line.startsWith("error:"))?.slice(7) ?? lines.find((line) => line !== "" && !line.startsWith("code:")) ?? "";
}
