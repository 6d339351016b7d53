import { checkEngine } from "../engine.ts";
import { Failure } from "../failure.ts";
import { alone, releaseStaleLock } from "../lock.ts";
import { runningOn } from "../mover.ts";
import { readConfig, readLast } from "../planning.ts";
import { repair } from "../repair.ts";
import type { Report } from "../report.ts";
import { openStack } from "../stack.ts";
import { lookAhead, upAndSettle } from "./up.ts";
import { finishConversions } from "./view.ts";

/**
 * `ladder finish`: ends the way back. Old tables that conversions keep are dropped; parts that an earlier climb left behind are
 * unprotected in one `up` and deleted in the next. The release is set for these runs only and never written into the stack's file, so a run that is stopped leaves nothing behind.
 *
 * @throws Failure while the system still moves: until it is settled, a held part may be the one that leads.
 */
export async function finish({ stack: name }: { stack: string }, { say, result }: Report): Promise<void> {
  await alone(name);
  await checkEngine();
  const asConfigured = await openStack(name);
  const running = runningOn((await readConfig(asConfigured)).target, name);
  await releaseStaleLock(asConfigured, say);
  await repair(asConfigured, say);
  // First: a climb to shards waits for the tables that conversions keep.
  const converted = await finishConversions(name);
  const status = await running.status();
  if (status.phase !== "settled")
    throw new Failure([`stack ${name}: still moving (${status.moving}); finish when it is settled`, ...converted].join("\n"));
  const held = status.held;
  if (held.length === 0) {
    result(converted.length > 0 ? converted : ["nothing is held"], { stack: name, released: [], converted });
    return;
  }
  const releasing = await openStack(name, { overrides: { release: "true" } });
  for (const step of ["taking the protection off", "deleting"]) {
    if (!(await holds(releasing))) break;
    say(`${step}: ${held.join(", ")}`);
    await upAndSettle(releasing, await lookAhead(releasing, say), say);
  }
  if (await holds(releasing)) throw new Failure(`stack ${name}: something is still held; run bin/ladder status`);
  result([...converted, `let go of ${held.join(", ")}`], { stack: name, released: held, converted });
}

async function holds(opened: Awaited<ReturnType<typeof openStack>>): Promise<boolean> {
  const last = await readLast(opened);
  return [...(last?.nodes ?? []), ...(last?.consensus ?? []), ...(last?.cache ?? [])].some((part) => part.held !== false);
}
