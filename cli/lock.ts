import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { Failure } from "./failure.ts";
import { type Opened, ownBackend, STATE } from "./stack.ts";

/**
 * Makes this process the only one of ours that changes the stack. The lock is an abstract socket: the kernel lets it go
 * with the process, however that ends.
 *
 * @throws Failure where another run holds it.
 */
export async function alone(stack: string): Promise<void> {
  const name = createHash("sha256").update(`${STATE}:${stack}`).digest("hex").slice(0, 32);
  const server = createServer((socket) => socket.destroy()).unref();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? new Failure(`stack ${stack}: another run is changing it; wait until it has ended`) : error),
    );
    server.listen(`\0pgladder-${name}`, resolve);
  });
}

const LOCK = z.object({ pid: z.int(), hostname: z.string() });

const PATIENCE_SECONDS = 120;

/**
 * Removes the lock that a killed Pulumi left behind: only when its process is gone. One that still ends its last steps is waited for.
 *
 * @throws Failure where a live process, or another machine's, holds the lock.
 */
export async function releaseStaleLock({ name, stack }: Opened, say: (line: string) => void): Promise<void> {
  if (!ownBackend()) return;
  const folder = join(STATE, ".pulumi/locks/organization/pgladder", name);
  for (let waited = 0; ; waited++) {
    const locks = readLocks(folder);
    if (locks.length === 0) return;
    const elsewhere = locks.find((lock) => lock.hostname !== hostname());
    if (elsewhere)
      throw new Failure(
        `stack ${name}: locked by process ${elsewhere.pid} of ${elsewhere.hostname}; when nothing runs there, delete the files in ${folder}`,
      );
    const live = locks.find(({ pid }) => isPulumi(pid));
    if (!live) {
      say("removing the lock of a run that was killed");
      await stack.cancel();
      return;
    }
    if (waited === 0) say(`waiting for process ${live.pid}, which still works on the stack`);
    if (waited === PATIENCE_SECONDS) throw new Failure(`stack ${name}: process ${live.pid} still works on it`);
    await sleep(1_000);
  }
}

function readLocks(folder: string): readonly z.infer<typeof LOCK>[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((file) => {
    try {
      return [LOCK.parse(JSON.parse(readFileSync(join(folder, file), "utf8")))];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      // A lock that was cut off while it was written says nothing about its process.
      return [{ pid: 0, hostname: hostname() }];
    }
  });
}

/** Whether the process is there and is a Pulumi CLI: numbers are used again. */
function isPulumi(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0]!.endsWith("pulumi");
  } catch {
    return false;
  }
}
