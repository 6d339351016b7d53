import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { dockerName } from "../components/docker/container.ts";
import { NODE_FILES } from "../plan/render/patroni.ts";
import type { Target } from "../plan/types.ts";
import { execIn } from "./engine.ts";
import { Failure, messageOf } from "./failure.ts";

const STATUS = z.object({
  stage: z.int(),
  phase: z.enum(["moving", "settled"]),
  moving: z.string().nullable(),
  held: z.array(z.string()),
  done: z.array(z.string()),
});

/** What the mover, which walks the cluster towards what is desired, says about itself. */
export type MoverStatus = z.infer<typeof STATUS>;

/** The running system as one target shows it. */
export interface Running {
  /** @throws Failure where the mover cannot be asked. */
  status(): Promise<MoverStatus>;
  /** PostgreSQL parameters of the cluster's shared configuration; undefined where no node answers. */
  parameters(nodes: readonly string[]): Promise<Readonly<Record<string, string>> | undefined>;
}

const CONFIG = z.object({ postgresql: z.object({ parameters: z.record(z.string(), z.coerce.string()) }) });

class RunningContainers implements Running {
  readonly #stack: string;

  constructor(stack: string) {
    this.#stack = stack;
  }

  async status(): Promise<MoverStatus> {
    const name = dockerName(this.#stack, "agent");
    const { code, stdout, stderr } = await execIn(name, ["node", "/agent/agent.mjs", "status"]).catch((error: unknown) => {
      throw new Failure(`${name} cannot be asked: ${messageOf(error)}`);
    });
    if (code !== 0) throw new Failure(`${name} cannot say how far it is: ${stderr.trim() || `exit code ${code}`}`);
    return STATUS.parse(JSON.parse(stdout));
  }

  async parameters(nodes: readonly string[]): Promise<Readonly<Record<string, string>> | undefined> {
    for (const node of nodes) {
      const ask = ["curl", "-sf", "--cacert", `${NODE_FILES}/ca.crt`, "https://localhost:8008/config"];
      const answer = await execIn(dockerName(this.#stack, node), ask).catch(() => undefined);
      if (answer?.code === 0) return CONFIG.parse(JSON.parse(answer.stdout)).postgresql.parameters;
    }
    return undefined;
  }
}

const TARGETS: Partial<Record<Target, new (stack: string) => Running>> = { docker: RunningContainers };

/** @throws Failure for a target whose mover cannot be asked yet. */
export function runningOn(target: Target, stack: string): Running {
  const Chosen = TARGETS[target];
  if (!Chosen) throw new Failure(`stack ${stack}: the mover on ${target} cannot be asked yet; run pulumi up there (docs/${target}.md)`);
  return new Chosen(stack);
}

const BETWEEN_LOOKS = 1_000;
/** Looks in a row that may fail: a mover that was just replaced needs some seconds. */
const PATIENCE = 90;

/**
 * Waits until the mover has nothing left to do, and says what it does meanwhile. As long as it works there is no limit: copying
 * data may take hours.
 *
 * @throws Failure where the mover cannot be asked for a minute and a half.
 */
export async function untilSettled(
  running: Pick<Running, "status">,
  say: (line: string) => void,
  wait: (ms: number) => Promise<void> = sleep,
): Promise<MoverStatus> {
  let seen: readonly string[] | undefined;
  let shown: string | null = null;
  let failures = 0;
  for (;;) {
    try {
      const status = await running.status();
      failures = 0;
      const fresh = status.done.slice(sharedStart(seen ?? status.done, status.done));
      for (const line of fresh) say(line);
      seen = status.done;
      if (status.phase === "settled") return status;
      if (status.moving !== shown && status.moving !== null && !fresh.includes(status.moving)) say(`${status.moving} …`);
      shown = status.moving;
    } catch (error) {
      if (++failures >= PATIENCE) throw error;
    }
    await wait(BETWEEN_LOOKS);
  }
}

/** How many lines at the start of `after` were at the end of `before`: the mover keeps its newest lines only. */
function sharedStart(before: readonly string[], after: readonly string[]): number {
  for (let k = Math.min(before.length, after.length); k > 0; k--) if (before.slice(-k).every((line, i) => line === after[i])) return k;
  return 0;
}
