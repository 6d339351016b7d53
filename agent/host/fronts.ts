/** HAProxy in front of each cluster of a pooler host: one comes and goes, or is started anew, without touching the others. */
import { setTimeout as sleep } from "node:timers/promises";
import type { HostCluster, HostSettings } from "../../plan/pooler-host.ts";
import { haproxyFile, haproxySocket } from "../../plan/render/haproxy-rds.ts";
import { type ReplicaReads, replicaReads, runtime, Servers } from "./haproxy.ts";
import type { Nodes } from "./nodes.ts";
import { type Kept, startHaproxy } from "./processes.ts";

/** How long a HAProxy may take to end, in ms. */
const END = 2_000;

interface Front {
  cluster: HostCluster;
  haproxy: Kept;
  servers: Servers;
  /** Whether reads have a replica. */
  reads: ReplicaReads;
  /** The last thing that it is being told. */
  telling: Promise<void>;
}

export class Fronts {
  #fronts = new Map<string, Front>();
  #log: (line: string) => void;

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  /**
   * Starts what is not there yet, and has what reads another file now start anew: its clients are cut off.
   * @param changed paths of files that changed
   */
  start({ clusters }: HostSettings, changed: readonly string[]): void {
    for (const cluster of clusters) {
      const front = this.#fronts.get(cluster.name);
      if (front === undefined) this.#start(cluster);
      else {
        front.cluster = cluster;
        if (changed.includes(haproxyFile(cluster.name))) front.haproxy.signal("SIGTERM");
      }
    }
  }

  /** Ends those of clusters that are no more. */
  async prune({ clusters }: HostSettings): Promise<void> {
    const gone = [...this.#fronts.keys()].filter((name) => !clusters.some((cluster) => cluster.name === name));
    await Promise.all(gone.map((name) => this.#end(name)));
  }

  /** Tells each HAProxy what changed, one after the other; what it did not hear it is told at the next look. */
  tell(nodes: Nodes): void {
    for (const front of this.#fronts.values())
      front.telling = front.telling.then(async () => {
        const { cluster, servers } = front;
        const commands = servers.commands(cluster, nodes);
        if (commands.length === 0) return;
        for (const command of commands) this.#log(`HAProxy of ${cluster.name}: ${command}`);
        await runtime(haproxySocket(cluster.name), commands).catch(() => servers.forget());
      });
  }

  /**
   * Clusters whose reads have a replica again: connections of read pools that went to the primary meanwhile would stay there for an hour.
   * @throws where the first cluster's HAProxy does not answer: this host serves nobody. A shard's may be starting
   */
  async readsBack(): Promise<string[]> {
    const asked = [...this.#fronts].map(async ([name, front]) => {
      const before = front.reads;
      front.reads = replicaReads(await runtime(haproxySocket(name), ["show stat replicas 2 -1"]));
      // Between two looks they may have gone and come back.
      return front.reads.serve && !(before.serve && before.losses === front.reads.losses) ? [name] : [];
    });
    const [first, ...others] = await Promise.allSettled(asked);
    if (first?.status === "rejected") throw first.reason;
    return [first, ...others].flatMap((answer) => (answer?.status === "fulfilled" ? answer.value : []));
  }

  async leave(): Promise<void> {
    await Promise.all([...this.#fronts.keys()].map((name) => this.#end(name)));
  }

  #start(cluster: HostCluster): void {
    const servers = new Servers();
    const haproxy = startHaproxy(cluster.name, this.#log, () => servers.forget());
    this.#fronts.set(cluster.name, { cluster, haproxy, servers, reads: { serve: false, losses: 0 }, telling: Promise.resolve() });
  }

  async #end(name: string): Promise<void> {
    const { haproxy } = this.#fronts.get(name)!;
    this.#fronts.delete(name);
    const { gone } = haproxy;
    haproxy.signal("SIGTERM");
    await Promise.race([gone, sleep(END)]);
    this.#log(`HAProxy of ${name}: ended`);
  }
}
