/** CPU time of containers: what work costs, whatever else the machine does meanwhile. */
import { setTimeout as sleep } from "node:timers/promises";
import Docker from "dockerode";

const docker = new Docker();
/** For how long the idle rate is looked at, ms. */
const IDLE_MS = 4_000;

/** CPU time that containers have used since they started, ms. @param containers their names or ids */
export async function cpuOf(containers: readonly string[]): Promise<number> {
  const used = containers.map(async (container) => {
    const { cpu_stats } = await docker.getContainer(container).stats({ stream: false, "one-shot": true });
    return cpu_stats.cpu_usage.total_usage / 1_000_000;
  });
  return (await Promise.all(used)).reduce((sum, ms) => sum + ms, 0);
}

/** Ids of a stack's containers. */
export async function containersOf(stack: string): Promise<string[]> {
  const list = await docker.listContainers({ filters: { label: [`pgladder.stack=${stack}`] } });
  return list.map(({ Id }) => Id);
}

/** Counts the CPU time of a stack's containers and of this process beyond what the containers use while nothing is asked of them. */
export class CpuCounter {
  readonly #containers: readonly string[];
  /** ms of CPU a ms. */
  readonly #idle: number;

  private constructor(containers: readonly string[], idle: number) {
    this.#containers = containers;
    this.#idle = idle;
  }

  /** Looks at them for four seconds. */
  static async of(containers: readonly string[]): Promise<CpuCounter> {
    const [before, start] = [await cpuOf(containers), performance.now()];
    await sleep(IDLE_MS);
    return new CpuCounter(containers, ((await cpuOf(containers)) - before) / (performance.now() - start));
  }

  /** Of a piece of work, ms. */
  async during(work: () => Promise<void>): Promise<number> {
    const [before, own, start] = [await cpuOf(this.#containers), process.cpuUsage(), performance.now()];
    await work();
    const wall = performance.now() - start;
    const { user, system } = process.cpuUsage(own);
    return (await cpuOf(this.#containers)) - before - this.#idle * wall + (user + system) / 1000;
  }
}
