import { readFileSync } from "node:fs";
import { type RequestOptions, request } from "node:https";
import type { PatroniDynamic } from "../plan/render/patroni.ts";

export interface Member {
  name: string;
  role: "leader" | "sync_standby" | "quorum_standby" | "replica" | "standby_leader";
  /** `running` for a leader, `streaming` for a replica that follows; anything else is on its way. */
  state: string;
  timeline: number;
  /** Bytes behind the leader; "unknown" while a replica starts. */
  lag?: number | "unknown";
  pending_restart?: boolean;
}

/** Talks to Patroni's REST interface of every node with the agent's certificate. */
export class Patroni {
  readonly nodes: readonly string[];
  readonly #tls: Pick<RequestOptions, "ca" | "cert" | "key">;

  constructor(nodes: readonly string[], files: string) {
    this.nodes = nodes;
    this.#tls = { ca: readFileSync(`${files}/ca.crt`), cert: readFileSync(`${files}/agent.crt`), key: readFileSync(`${files}/agent.key`) };
  }

  /** The cluster's members as the first node that answers sees them; empty while none answers. */
  async members(): Promise<Member[]> {
    for (const node of this.nodes) {
      const answer = await this.#call(node, "GET", "/cluster").catch(() => undefined);
      if (answer?.status === 200) return (JSON.parse(answer.body) as { members: Member[] }).members;
    }
    return [];
  }

  async leader(): Promise<string | undefined> {
    return (await this.members()).find((member) => member.role === "leader" && member.state === "running")?.name;
  }

  /** The cluster-wide configuration in etcd. */
  async config(): Promise<Record<string, unknown>> {
    const { body } = await this.#ask("GET", "/config");
    return JSON.parse(body) as Record<string, unknown>;
  }

  /** Replaces the cluster-wide configuration; every node applies it within one loop (5 s), what needs a restart stays pending. */
  async replaceConfig(config: PatroniDynamic): Promise<void> {
    await this.#ask("PUT", "/config", config);
  }

  /** Makes a node read its files (patroni.yml, certificates) again. */
  async reload(node: string): Promise<void> {
    await this.#must(node, "POST", "/reload", undefined, [200, 202]);
  }

  /** Restarts PostgreSQL on a node and returns when it accepts connections. */
  async restart(node: string): Promise<void> {
    await this.#must(node, "POST", "/restart", {}, [200]);
  }

  /** Hands the leadership over and returns when the candidate leads. */
  async switchover(leader: string, candidate: string): Promise<void> {
    await this.#must(leader, "POST", "/switchover", { leader, candidate }, [200]);
  }

  async #ask(method: string, path: string, body?: unknown) {
    const failures: string[] = [];
    for (const node of this.nodes) {
      try {
        return await this.#must(node, method, path, body, [200]);
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
    throw new Error(failures.join("; "));
  }

  async #must(node: string, method: string, path: string, body: unknown, accept: readonly number[]) {
    const answer = await this.#call(node, method, path, body);
    if (!accept.includes(answer.status))
      throw new Error(`Patroni on ${node}: ${method} ${path} answered ${answer.status}: ${answer.body.trim()}`);
    return answer;
  }

  #call(node: string, method: string, path: string, body?: unknown): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const timeout = method === "GET" ? 3_000 : 60_000;
      const call = request({ host: node, port: 8008, path, method, timeout, ...this.#tls }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      });
      call.on("timeout", () => call.destroy(new Error(`Patroni on ${node}: ${method} ${path} did not answer in ${timeout / 1000} s`)));
      call.on("error", reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
