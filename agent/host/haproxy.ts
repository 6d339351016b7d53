/** Tells HAProxy where servers are, and lets them in when they have proved their role. */
import { connect } from "node:net";
import type { HostCluster } from "../../plan/pooler-host.ts";
import { MAX_LAG } from "../../plan/render/haproxy-rds.ts";
import type { Nodes } from "./nodes.ts";

/** Runs commands of HAProxy's runtime interface, in order, and returns all it says. */
export function runtime(path: string, commands: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = "";
    socket.setTimeout(2_000, () => socket.destroy(new Error("HAProxy: no answer in 2 s")));
    socket.on("connect", () => socket.write(`${commands.join("; ")}\n`));
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text.trim()));
  });
}

/** What this program has told HAProxy about one server of one backend. */
interface Told {
  address: string;
  ready: boolean;
}

/** The servers of one HAProxy, kept to what the program sees. */
export class Servers {
  #told = new Map<string, Told>();

  /** HAProxy was started anew and knows nothing. */
  forget(): void {
    this.#told.clear();
  }

  /** The commands that HAProxy has not had yet. */
  commands({ primaries, replicas }: Pick<HostCluster, "primaries" | "replicas">, nodes: Nodes): string[] {
    const writes = (name: string) => nodes.isPrimary(name);
    const reads = (name: string) => nodes.isReplica(name, MAX_LAG);
    const states = new Map(nodes.states().map((state) => [state.name, state]));
    return [
      ...["write", "primary_for_reads"].flatMap((backend) => primaries.map((name) => ({ backend, name, proved: writes(name) }))),
      ...replicas.map((name) => ({ backend: "replicas", name, proved: reads(name) })),
    ].flatMap(({ backend, name, proved }) => this.#one(`${backend}/${name}`, states.get(name)?.address ?? null, proved));
  }

  #one(server: string, address: string | null, proved: boolean): string[] {
    const told = this.#told.get(server);
    if (address === null) {
      this.#told.delete(server);
      return told?.ready ? [`set server ${server} state maint`, `shutdown sessions server ${server}`] : [];
    }
    if (!told && !proved) return [];
    const moved = told?.address !== address;
    // Sessions to the old address would wait for a server that is gone.
    const commands = moved ? [`set server ${server} addr ${address}`, ...(told ? [`shutdown sessions server ${server}`] : [])] : [];
    const admit = proved && !told?.ready;
    if (admit) commands.push(`set server ${server} state ready`);
    this.#told.set(server, { address, ready: told?.ready === true || admit });
    return commands;
  }
}

/** HAProxy's backend `replicas`: whether any of its servers takes reads, and how often it has lost the last one that did. */
export interface ReplicaReads {
  serve: boolean;
  losses: number;
}

/** @param stat what `show stat` says */
export function replicaReads(stat: string): ReplicaReads {
  const [header = "", ...rows] = stat.split("\n").filter((line) => line.trim() !== "");
  const columns = header.replace(/^# /, "").split(",");
  const backend = rows.map((row) => row.split(",")).find(([name, server]) => name === "replicas" && server === "BACKEND");
  const number = (column: string) => Number(backend?.[columns.indexOf(column)] ?? 0);
  return { serve: number("act") > 0, losses: number("chkdown") };
}
